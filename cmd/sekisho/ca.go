package main

// caCmd is for certificates and the CAs that sign them.
type caCmd struct {
	List         caListCmd         `cmd:"" help:"List the CAs with their keys."`
	Status       caStatusCmd       `cmd:"" help:"Show where the keys of the CAs stand, and which hosts lag."`
	Show         caShowCmd         `cmd:"" help:"Print the public keys of a CA, for sshd or for known_hosts."`
	Create       caCreateCmd       `cmd:"" help:"Make a CA."`
	Rotate       caRotateCmd       `cmd:"" help:"Take a CA to its next key, step by step."`
	IDs          caIDsCmd          `cmd:"" name:"ids" hidden:"" help:"Print CAs, for completion."`
	Issuers      caIssuersCmd      `cmd:"" help:"List the ways to get certificates, with their rules."`
	Names        caNamesCmd        `cmd:"" hidden:"" help:"Print issuers that may be asked, for completion."`
	Sign         caSignCmd         `cmd:"" help:"Get a certificate from an issuer."`
	Certificates caCertificatesCmd `cmd:"" help:"List certificates that were ever issued."`
	Explain      caExplainCmd      `cmd:"" help:"Say who is behind a line of a server's log, a Key ID or a certificate."`
	VerifyCert   caVerifyCmd       `cmd:"" name:"verify-cert" help:"Check that a certificate was issued here, by the audit log."`
	Token        caTokenCmd        `cmd:"" help:"Make, list and end API tokens for programs."`
	Revoke       caRevokeCmd       `cmd:"" help:"Revoke a person, a sign-in, a certificate, a key or a CA's key."`
	Lift         caLiftCmd         `cmd:"" help:"End a revocation."`
	Revocations  caRevocationsCmd  `cmd:"" help:"List what is revoked."`
	KRL          caKRLCmd          `cmd:"" name:"krl" help:"Get the revocation list for sshd or ssh."`
}
