package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

type caCertificatesCmd struct {
	Person    string `placeholder:"WHO" help:"Only certificates of this person, or of this host."`
	Issuer    string `placeholder:"NAME" help:"Only those of this issuer, such as people."`
	Principal string `placeholder:"NAME" help:"Only those with this principal, such as root:web1."`
	Key       string `placeholder:"SHA256:…" help:"Only those for the key with this fingerprint."`
	SignIn    string `placeholder:"ID" help:"Only those that rest on this sign-in."`
	Request   string `placeholder:"ID" help:"Only those made for this session or target token."`
	Target    string `placeholder:"NAME" help:"Only those for this target."`
	CA        string `name:"ca" placeholder:"SHA256:…" help:"Only those signed by the CA key with this fingerprint."`
	Type      string `enum:",user,host" default:"" placeholder:"TYPE" help:"Only user or only host certificates."`
	Since     string `placeholder:"TIME" help:"Only those issued from this time on: 2h, 7d, 2026-11-22, or RFC 3339."`
	Until     string `placeholder:"TIME" help:"Only those issued before this time."`
	Valid     bool   `help:"Only those that are valid now and not revoked."`
	Limit     int    `default:"50" help:"How many at the most."`
	All       bool   `help:"All that match, however many."`
	JSON      bool   `name:"json" help:"Print JSON, an object a line."`
}

func (*caCertificatesCmd) Help() string {
	return `Lists certificates that were ever issued, newest first, valid or not: all of them if a policy lets you read the audit log, else your own. The list is made from the audit log, and complete.

SERIAL is the number of the certificate's line in the audit log, STATE says whether it is good now. With --json each certificate is one object: its serial, the revocation that it falls under, and its line of the audit log.

Examples:

    sekisho ca certificates --person alice@example.com --valid
    sekisho ca certificates --principal root:db1 --since 7d
    sekisho ca certificates --all --json | jq -r .event.certificate.issuer | sort | uniq -c
`
}

// issuedInfo is a certificate as --json shows it.
type issuedInfo struct {
	Serial  uint64          `json:"serial"`
	Revoked string          `json:"revoked,omitempty"`
	Event   json.RawMessage `json:"event"`
}

func (cmd *caCertificatesCmd) Run(a *app) error {
	if cmd.Limit < 1 || cmd.Limit > 1_000_000 {
		return &usageError{"--limit must be between 1 and 1000000; --all gives all"}
	}
	if cmd.All {
		cmd.Limit = math.MaxInt
	}
	req, err := cmd.request(time.Now())
	if err != nil {
		return err
	}
	for _, flag := range []struct{ name, value string }{{"--key", cmd.Key}, {"--ca", cmd.CA}} {
		if flag.value != "" && !strings.HasPrefix(flag.value, "SHA256:") {
			return &usageError{fmt.Sprintf("%s %q is no fingerprint: want SHA256:…, as ssh-keygen -lf FILE prints it", flag.name, flag.value)}
		}
	}
	var rows [][]string
	enc := json.NewEncoder(escaping{a.out})
	more, err := a.certificates(req, cmd.Limit, func(one *apiv1.IssuedCertificate) error {
		if cmd.JSON {
			return enc.Encode(issuedInfo{one.Serial, one.Revoked, one.Event})
		}
		row, err := issuedRow(one, time.Now())
		rows = append(rows, row)
		return err
	})
	if err != nil {
		return err
	}
	if !cmd.JSON {
		if err := a.table([]string{"SERIAL", "ISSUED", "ISSUER", "WHO", "PRINCIPALS", "UNTIL", "STATE"}, rows); err != nil {
			return err
		}
	}
	if more {
		fmt.Fprintf(a.err, "Only the newest are shown, %d; more with --limit or --all.\n", cmd.Limit)
	}
	return nil
}

func (cmd *caCertificatesCmd) request(now time.Time) (*apiv1.ListCertificatesRequest, error) {
	req := &apiv1.ListCertificatesRequest{
		Subject: cmd.Person, Issuer: cmd.Issuer, Principal: cmd.Principal, Key: cmd.Key, SignIn: cmd.SignIn, Request: cmd.Request,
		Target: cmd.Target, Ca: cmd.CA, Type: cmd.Type, Valid: cmd.Valid,
	}
	for _, t := range []struct {
		text string
		to   **timestamppb.Timestamp
	}{{cmd.Since, &req.Since}, {cmd.Until, &req.Until}} {
		at, err := parseSince(t.text, now)
		if err != nil {
			return nil, err
		}
		if !at.IsZero() {
			*t.to = timestamppb.New(at)
		}
	}
	return req, nil
}

// certificates asks for pages until there are enough or no more, and yields each certificate; more says that there are.
func (a *app) certificates(req *apiv1.ListCertificatesRequest, limit int, yield func(*apiv1.IssuedCertificate) error) (more bool, err error) {
	c, err := a.signedIn()
	if err != nil {
		return false, err
	}
	for limit > 0 {
		req.Limit = int32(min(limit, maxAsked))
		res, err := c.Certificates().List(a.ctx, connect.NewRequest(req))
		if err != nil {
			return false, err
		}
		for _, one := range res.Msg.Certificates {
			if req.Before > 0 && one.Serial >= req.Before {
				return false, fmt.Errorf("the server's pages overlap at certificate %d", one.Serial)
			}
			req.Before = one.Serial
			if err := yield(one); err != nil {
				return false, err
			}
			limit--
		}
		if !res.Msg.More || len(res.Msg.Certificates) == 0 {
			return false, nil
		}
	}
	return true, nil
}

func issuedRow(one *apiv1.IssuedCertificate, now time.Time) ([]string, error) {
	ev, err := certificateEvent(one.Event)
	if err != nil {
		return nil, err
	}
	rec := ev.Certificate
	id, _ := sekisho.ParseKeyID(fmt.Sprintf("%s/%d", rec.KeyID, one.Serial))
	return []string{
		fmt.Sprint(one.Serial), local(ev.Time), cell(rec.Issuer), cell(id.Subject), cell(strings.Join(rec.Principals, ",")),
		local(rec.ValidBefore), certificateState(one, rec, now),
	}, nil
}

func certificateState(one *apiv1.IssuedCertificate, rec *sekisho.CertificateRecord, now time.Time) string {
	switch {
	case one.Revoked != "":
		return "revoked " + quoted(one.Revoked)
	case !now.Before(rec.ValidBefore):
		return "expired"
	}
	return "valid"
}

// certificateEvent reads the line of a certificate.
func certificateEvent(line []byte) (*sekisho.Event, error) {
	ev, err := parseEvent(line)
	if err != nil {
		return nil, err
	}
	if ev.Certificate == nil {
		return nil, fmt.Errorf("the server's line %d is no certificate's", ev.Seq)
	}
	return ev, nil
}
