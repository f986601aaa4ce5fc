package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caRevokeCmd struct {
	Person      string        `xor:"what" placeholder:"EMAIL" help:"A person: all that they have, and they get nothing new."`
	SignIn      string        `xor:"what" placeholder:"ID" help:"A sign-in, with its certificates."`
	Certificate string        `xor:"what" placeholder:"SERIAL" help:"One certificate."`
	KeyID       string        `name:"key-id" xor:"what" placeholder:"KEYID" help:"All certificates with this Key ID, whatever CA has signed them."`
	Key         string        `xor:"what" placeholder:"KEY" help:"An SSH key, alone or in any certificate: its SHA256 fingerprint, its line, or a .pub file."`
	CA          string        `name:"ca" xor:"what" placeholder:"KEY" help:"A CA's key: nothing that it signed is good. Named as with --key."`
	Reason      string        `required:"" placeholder:"TEXT" help:"Why, for administrators; the audit log keeps it. At most 200 characters."`
	For         time.Duration `placeholder:"DURATION" help:"End it by itself after this time, such as 72h. By default it holds until it is lifted."`
	Yes         bool          `help:"Revoke the key by which a CA issues although nothing is issued by that CA from then on."`
	JSON        bool          `name:"json" help:"Print JSON."`
}

func (*caRevokeCmd) Help() string {
	return `Takes back what is good. At the gateways it acts at once: open sessions end, new ones are refused with a sentence, sign-ins end. Hosts whose sshd a connector keeps in step go by the new list when it asks the next time, within a minute; other hosts when they fetch it (docs/revocation.md).

Your own sign-ins, certificates and keys you may always revoke; everything else where a policy allows it (the action revokeCertificates on House::"sekisho"). Revoking what is revoked gives the revocation that there is.

A person who is revoked cannot sign in until the revocation is lifted (sekisho ca lift). Revoking the key by which a CA issues ends what rests on that CA until another key issues: it needs --yes, and sekisho ca rotate should follow.

Exits with 0 once it is in force, with 1 if it was refused, with 2 if the command line makes no sense.

Examples:

    sekisho ca revoke --person mallory@example.com --reason "left the company"
    sekisho ca revoke --certificate 4711 --reason "laptop lost"
    sekisho ca revoke --key ~/.ssh/id_ed25519.pub --reason "private key was in a backup" --json
    sekisho ca revoke --person ken@example.com --for 72h --reason "suspended until Monday"
`
}

// what is the kind and the value that are named.
func (cmd *caRevokeCmd) what() (kind, value string, err error) {
	for k, v := range map[string]string{
		"person": cmd.Person, "sign-in": cmd.SignIn, "certificate": cmd.Certificate, "key-id": cmd.KeyID, "key": cmd.Key, "ca": cmd.CA,
	} {
		if v != "" {
			kind, value = k, v
		}
	}
	if kind == "" {
		return "", "", &usageError{"name what to revoke: --person, --sign-in, --certificate, --key-id, --key or --ca"}
	}
	if kind == "key" || kind == "ca" {
		value, err = keyText(value)
	}
	return kind, value, err
}

// keyText takes a fingerprint or a key's line as it is, and reads anything else as a file.
func keyText(v string) (string, error) {
	if strings.HasPrefix(v, "SHA256:") || strings.Contains(v, " ") {
		return strings.TrimSpace(v), nil
	}
	f, err := os.Open(v)
	if err != nil {
		return "", &usageError{fmt.Sprintf("%q is no SHA256 fingerprint, no public key line and no file", v)}
	}
	defer f.Close()
	b := make([]byte, 16<<10)
	n, _ := f.Read(b)
	line, _, _ := strings.Cut(strings.TrimSpace(string(b[:n])), "\n")
	if strings.HasPrefix(line, "-----BEGIN") {
		return "", &usageError{v + " is a private key: name the public one, " + v + ".pub"}
	}
	return line, nil
}

func (cmd *caRevokeCmd) Run(a *app) error {
	kind, value, err := cmd.what()
	if err != nil {
		return err
	}
	m := &apiv1.RevokeRequest{Kind: kind, Value: value, Reason: cmd.Reason, Confirm: cmd.Yes}
	if cmd.For < 0 {
		return &usageError{"--for must be more than nothing"}
	}
	if cmd.For > 0 {
		m.Until = timestamppb.New(time.Now().Add(cmd.For))
	}
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	res, err := c.Certificates().Revoke(a.ctx, connect.NewRequest(m))
	if err != nil {
		return err
	}
	return cmd.report(a, res.Msg)
}

// revoked is what came of it, as --json shows it.
type revoked struct {
	revocationInfo
	Certificates int      `json:"certificates"`
	SignIns      int      `json:"sign_ins"`
	Sessions     []string `json:"sessions"`
}

func (cmd *caRevokeCmd) report(a *app, m *apiv1.RevokeResponse) error {
	r := newRevocationInfo(m.Revocation)
	if cmd.JSON {
		return a.json(revoked{r, int(m.Certificates), int(m.SignIns), append([]string{}, m.Sessions...)})
	}
	_, err := fmt.Fprintf(a.out, "%s: %s %s is revoked.\n%s, %s and %s fall under it. Hosts go by list %d once they have it: sekisho ca revocations.\n",
		plain(r.ID), plain(r.Kind), plain(r.Value), count(int(m.Certificates), "valid certificate"), count(int(m.SignIns), "sign-in"),
		count(len(m.Sessions), "open session"), r.Number)
	if err == nil && m.Certificates == 0 && m.SignIns == 0 && (r.Kind == "person" || r.Kind == "key-id" || r.Kind == "key") {
		_, err = fmt.Fprintln(a.err, "Nothing that is valid now falls under it: check that it is written right.")
	}
	return err
}
