package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/audit"
)

// exitNotGood is the exit code for a genuine certificate that has expired or is revoked.
const exitNotGood = 4

// maxProofFile is how large a file with a proof may be.
const maxProofFile = 1 << 20

type caVerifyCmd struct {
	File  string `arg:"" name:"file" help:"The certificate, such as id_ed25519-cert.pub, or - for standard input."`
	Key   string `placeholder:"KEY" help:"The audit log's verifier key, if not the one that login has learned."`
	Proof string `type:"existingfile" placeholder:"FILE" help:"Check offline, by a proof that --save has written."`
	Save  string `placeholder:"FILE" help:"Keep the proof in a file, to check it offline later."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

func (*caVerifyCmd) Help() string {
	return `Says whether a certificate is one that was issued here. Its signature is checked, then that its line is in the audit log, and that the line says the same: serial, Key ID, key, CA, principals, validity, extensions and options. The proof that the line is in the log is checked on this machine against the log's key that login has learned; nothing the server says about it is believed. A certificate that somebody has made with a stolen CA key is found so: its line is missing, or another's.

The server says whether the certificate is revoked; offline that is not known. That the log has not been written anew since it was last seen is what "sekisho audit verify" shows.

Exits with 0 if the certificate is genuine and good now, 4 if it is genuine and has expired or is revoked, 3 if it is not genuine, 1 if that could not be found out.

Examples:

    sekisho ca verify-cert id_ed25519-cert.pub
    sekisho ca verify-cert id_ed25519-cert.pub --save evidence.json
    sekisho ca verify-cert id_ed25519-cert.pub --proof evidence.json --key sekisho.example.com/audit+1a2b3c4d+AQ...
`
}

// verdictInfo is what was found out, as --json shows it.
type verdictInfo struct {
	Genuine bool      `json:"genuine"`
	Why     string    `json:"why,omitempty"` // it is not
	Serial  uint64    `json:"serial"`
	KeyID   string    `json:"key_id"`
	Until   time.Time `json:"valid_before"`
	Expired bool      `json:"expired"`
	Revoked string    `json:"revoked,omitempty"`
	// Lines is the size of the tree that the proof is for.
	Lines int64 `json:"lines,omitempty"`
}

func (cmd *caVerifyCmd) Run(a *app) error {
	cert, err := cmd.certificate(a)
	if err != nil {
		return err
	}
	check, err := a.newCheck(cmd.Key, cmd.Proof != "")
	if err != nil {
		return err
	}
	v := verdictInfo{
		Serial: cert.Serial, KeyID: cert.KeyId, Until: time.Unix(int64(min(cert.ValidBefore, 253402300799)), 0).UTC(),
		Expired: uint64(time.Now().Unix()) >= cert.ValidBefore,
	}
	in, err := cmd.inclusion(a, check, cert, &v)
	if err != nil {
		return err
	}
	if in != nil {
		if err := provedBy(in, check, cert, &v); err != nil {
			return err
		}
	}
	if err := cmd.save(in); err != nil {
		return err
	}
	return cmd.report(a, v)
}

// provedBy holds a certificate against its proven line. A proof that does not hold is an error, a certificate that does not
// fit a verdict.
func provedBy(in *audit.Inclusion, check *check, cert *ssh.Certificate, v *verdictInfo) error {
	if err := audit.CheckInclusion(in, check.key); err != nil {
		return wrong(err)
	}
	size, err := audit.CheckpointSize(in.Checkpoint)
	if err != nil {
		return wrong(err)
	}
	v.Lines = size
	ev, err := parseEvent([]byte(in.Line))
	if err != nil {
		return err
	}
	if err := audit.CheckCertificate(cert, ev); err != nil {
		v.Why = err.Error()
		return nil
	}
	v.Genuine = true
	return nil
}

// certificate reads the one certificate that there is.
func (cmd *caVerifyCmd) certificate(a *app) (*ssh.Certificate, error) {
	in := a.in
	if cmd.File != "-" {
		f, err := os.Open(cmd.File)
		if err != nil {
			return nil, &sekisho.Refusal{Sentence: "The certificate cannot be read: " + err.Error() + ".", Next: "Name a file such as id_ed25519-cert.pub.", Cause: err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if cert, ok := key.(*ssh.Certificate); ok && err == nil {
		return cert, nil
	}
	return nil, &sekisho.Refusal{Sentence: fmt.Sprintf("%s holds no SSH certificate.", cmd.File), Next: "Name a file such as id_ed25519-cert.pub.", Cause: err}
}

// inclusion gives the proof to check: from the file, or from the server, which also says by what the certificate is revoked.
// nil: the server knows no certificate of that serial, and the verdict says so.
func (cmd *caVerifyCmd) inclusion(a *app, check *check, cert *ssh.Certificate, v *verdictInfo) (*audit.Inclusion, error) {
	if cmd.Proof != "" {
		in, err := readProof(cmd.Proof)
		if err == nil && in.Seq != int64(cert.Serial) {
			return nil, &sekisho.Refusal{
				Sentence: fmt.Sprintf("%s proves line %d of the audit log, and this certificate says that it is %d.", plain(cmd.Proof), in.Seq, cert.Serial),
				Next:     "Name the file that --save has written for this certificate, or leave --proof out to ask the server.",
			}
		}
		return in, err
	}
	res, err := check.client.Certificates().Prove(a.ctx, connect.NewRequest(&apiv1.ProveRequest{Serial: cert.Serial}))
	if connect.CodeOf(err) == connect.CodeNotFound {
		v.Why = fmt.Sprintf("no certificate with the serial %d was issued here", cert.Serial)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	in := &audit.Inclusion{Seq: int64(cert.Serial), Line: string(res.Msg.Event), Checkpoint: res.Msg.Checkpoint}
	for _, h := range res.Msg.Proof {
		if len(h) != tlog.HashSize {
			return nil, wrong(fmt.Errorf("a hash of the proof has %d bytes", len(h)))
		}
		in.Proof = append(in.Proof, tlog.Hash(h))
	}
	_, err = a.certificates(&apiv1.ListCertificatesRequest{Before: cert.Serial + 1}, 1, func(one *apiv1.IssuedCertificate) error {
		if one.Serial == cert.Serial {
			v.Revoked = one.Revoked
		}
		return nil
	})
	return in, err
}

func readProof(path string) (*audit.Inclusion, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := &audit.Inclusion{}
	if err := json.NewDecoder(io.LimitReader(f, maxProofFile)).Decode(in); err != nil {
		return nil, &sekisho.Refusal{Sentence: path + " holds no proof.", Next: "Write one with --save.", Cause: err}
	}
	return in, nil
}

func (cmd *caVerifyCmd) save(in *audit.Inclusion) error {
	if cmd.Save == "" || in == nil {
		return nil
	}
	text, err := json.MarshalIndent(in, "", "  ")
	if err != nil {
		return err
	}
	if err := replace(cmd.Save, append(text, '\n')); err != nil {
		return fmt.Errorf("keep the proof: %w", err)
	}
	return nil
}

func (cmd *caVerifyCmd) report(a *app, v verdictInfo) error {
	if cmd.JSON {
		if err := a.json(v); err != nil {
			return err
		}
	}
	switch {
	case !v.Genuine:
		return &exitError{exitNotOurs, &sekisho.Refusal{
			Sentence: "This certificate is not one that was issued here: " + v.Why + ".",
			Next:     "If a CA of yours has signed it, its key is in other hands: tell those who look after security.",
			Cause:    errors.New(v.Why),
		}}
	case v.Revoked != "":
		return &exitError{exitNotGood, &sekisho.Refusal{Sentence: fmt.Sprintf("Certificate %d is genuine and revoked (%s).", v.Serial, v.Revoked), Next: "It must not be let in anywhere."}}
	case v.Expired:
		return &exitError{exitNotGood, &sekisho.Refusal{Sentence: fmt.Sprintf("Certificate %d is genuine and has expired.", v.Serial), Next: "Nobody lets it in any more."}}
	case cmd.JSON:
		return nil
	}
	_, err := fmt.Fprintf(a.out, "Certificate %d is genuine: %s, valid until %s. Its line is in the audit log of %s.\n", v.Serial, plain(v.KeyID), local(v.Until), count(int(v.Lines), "line"))
	if cmd.Proof != "" {
		fmt.Fprintln(a.err, "Whether it is revoked is not known offline.")
	}
	return err
}
