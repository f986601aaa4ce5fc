package main

// caCmd is for certificates and the CAs that sign them.
type caCmd struct {
	Issuers caIssuersCmd `cmd:"" help:"List the ways to get certificates, with their rules."`
}
