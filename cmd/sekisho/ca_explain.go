package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

const (
	// maxExplained is how many lines one command explains, maxExplainedFile how large a file with them may be.
	maxExplained     = 100
	maxExplainedFile = 16 << 20
	// exitNotOurs is the exit code for what leads to no certificate, or is not what it says it is.
	exitNotOurs = 3
)

type caExplainCmd struct {
	Text []string `arg:"" name:"text|file" help:"A Key ID, a serial, a line of a server's log, a file with one, a certificate file such as id_ed25519-cert.pub, or - for standard input."`
	JSON bool     `name:"json" help:"Print JSON, an object for each line."`
}

func (*caExplainCmd) Help() string {
	return `Leads from what a server says of a certificate to the person behind it: who it was made for, by which sign-in, what was decided by which policies, what the certificate says, whether it is revoked, and the sessions and recordings in which it was used.

It takes a Key ID, a serial, a certificate, or lines of a stock sshd's log as files, syslog or the journal have them, also where they are cut. Of several lines those that name certificates are explained, 100 at the most, each under its line, and each certificate once.

Whoever connects to a server chooses some words of its log. So all that a line says is held against the certificate, and what does not fit is told as doubtful: then believe the server's other records, not the line.

A line about a plain key leads to who published it (sekisho keys publish), if you may see that.

You may ask about your own certificates, and about all if a policy lets you read the audit log. Exits with 0 if all was found and fits, 3 if something leads to no certificate that was issued here or is doubtful, 1 if it could not be looked up.

Examples:

    sekisho ca explain alice@example.com/people/sin_k5xq.../tok_4fnb.../1042
    sekisho ca explain 1042
    sekisho ca explain ~/.ssh/id_ed25519-cert.pub
    ssh web1 journalctl -u ssh -g ID.*serial -n 5 | sekisho ca explain -
`
}

func (cmd *caExplainCmd) Run(a *app) error {
	texts, err := cmd.texts(a)
	if err != nil {
		return err
	}
	c, err := a.signedIn()
	if err != nil {
		return err
	}
	bad, again, seen := 0, 0, map[string]bool{}
	for _, text := range texts {
		res, err := c.Certificates().Explain(a.ctx, connect.NewRequest(&apiv1.ExplainRequest{Text: text}))
		if err != nil {
			return err
		}
		if len(res.Msg.Published) > 0 && res.Msg.Doubt == "" {
			// A plain key that somebody has published: there is no certificate to look for.
		} else if res.Msg.Certificate == nil || res.Msg.Doubt != "" {
			bad++
		} else if id := fmt.Sprint(res.Msg.Certificate.Serial); !cmd.JSON && seen[id] {
			again++
			continue
		} else {
			seen[id] = true
		}
		if !cmd.JSON && len(texts) > 1 {
			fmt.Fprintln(a.out, a.bold(plain(text)))
		}
		if err := cmd.print(a, res.Msg); err != nil {
			return err
		}
		if !cmd.JSON && len(texts) > 1 {
			fmt.Fprintln(a.out)
		}
	}
	if again > 0 {
		fmt.Fprintf(a.err, "%s more, of certificates that are explained above.\n", count(again, "line"))
	}
	if bad > 0 {
		return &exitError{exitNotOurs, &sekisho.Refusal{
			Sentence: fmt.Sprintf("Of %s, %d cannot be relied on.", count(len(texts), "text"), bad), Next: "See above what does not fit.",
		}}
	}
	return nil
}

func (cmd *caExplainCmd) print(a *app, m *apiv1.ExplainResponse) error {
	if cmd.JSON {
		return json.NewEncoder(escaping{a.out}).Encode(newExplained(m))
	}
	return a.explained(m, time.Now())
}

// texts are what is to be explained: what is given, or the lines of a file.
func (cmd *caExplainCmd) texts(a *app) ([]string, error) {
	text := strings.Join(cmd.Text, " ")
	in := a.in
	if text != "-" {
		f, err := os.Open(text)
		if err != nil && looksLikeFile(text) {
			return nil, &sekisho.Refusal{Sentence: fmt.Sprintf("%s cannot be read: %s.", plain(text), cause(err)), Next: "Name a certificate's file, or give the text itself.", Cause: err}
		}
		if err != nil {
			return []string{text}, nil
		}
		defer f.Close()
		in = f
	}
	read, err := io.ReadAll(io.LimitReader(in, maxExplainedFile+1))
	if err != nil {
		return nil, fmt.Errorf("read what is to be explained: %w", err)
	}
	if len(read) > maxExplainedFile {
		return nil, &sekisho.Refusal{Sentence: "That is more than 16 MiB.", Next: "Pick the lines that you want explained, for instance with grep."}
	}
	var all, named []string
	for line := range strings.Lines(string(read)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		all = append(all, line)
		if strings.Contains(line, "-CERT SHA256:") || strings.Contains(line, "certificate ID") {
			named = append(named, line)
		}
	}
	switch {
	case len(all) == 1:
		return all, nil
	case len(named) == 0:
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("None of %s names a certificate.", count(len(all), "line")),
			Next:     "sshd's log does where it says Accepted publickey; with LogLevel VERBOSE it does more often.",
		}
	case len(named) > maxExplained:
		fmt.Fprintf(a.err, "Only the last %d of %d lines are explained.\n", maxExplained, len(named))
		named = named[len(named)-maxExplained:]
	}
	return named, nil
}

// looksLikeFile reports whether a text is meant as the name of a file rather than a Key ID.
func looksLikeFile(text string) bool {
	return !strings.Contains(text, " ") && (strings.HasSuffix(text, ".pub") || strings.HasSuffix(text, ".log") || strings.HasPrefix(text, "/") || strings.HasPrefix(text, "."))
}

// explainedInfo is what is known as --json shows it.
type explainedInfo struct {
	Found       string            `json:"found"`
	KeyID       string            `json:"key_id,omitempty"`
	Doubt       string            `json:"doubt,omitempty"`
	Certificate *issuedInfo       `json:"certificate,omitempty"`
	SignIn      *signInInfo       `json:"sign_in,omitempty"`
	Events      []json.RawMessage `json:"events"`

	Published []publishedKeyInfo `json:"published,omitempty"`
}

type signInInfo struct {
	ID      string    `json:"id"`
	Subject string    `json:"subject"`
	Name    string    `json:"name,omitempty"`
	Device  string    `json:"device,omitempty"`
	Issuer  string    `json:"issuer"`
	Address string    `json:"client_address"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Ended   bool      `json:"ended"`
}

func newExplained(m *apiv1.ExplainResponse) explainedInfo {
	e := explainedInfo{Found: m.Found, KeyID: m.KeyId, Doubt: m.Doubt, Events: []json.RawMessage{}}
	if c := m.Certificate; c != nil {
		e.Certificate = &issuedInfo{c.Serial, c.Revoked, c.Event}
	}
	if s := m.SignIn; s != nil {
		e.SignIn = &signInInfo{s.Id, s.Subject, s.Name, s.Device, s.Issuer, s.ClientAddress, asTime(s.Created), asTime(s.Expires), m.SignInEnded}
	}
	for _, p := range m.Published {
		e.Published = append(e.Published, newPublishedKeyInfo(p))
	}
	for _, line := range m.Events {
		e.Events = append(e.Events, line)
	}
	return e
}

// explained prints what is known in lines of a name and a value. Much of it was chosen by others.
func (a *app) explained(m *apiv1.ExplainResponse, now time.Time) error {
	put := func(name, value string) {
		if value != "" {
			fmt.Fprintf(a.out, "%-11s %s\n", name, plain(value))
		}
	}
	if m.Doubt != "" {
		put("DOUBTFUL", m.Doubt)
	}
	for _, p := range m.Published {
		k := newPublishedKeyInfo(p)
		put("Published", fmt.Sprintf("%s, key %s, %s", k.ID, k.Fingerprint, k.state(now)))
		put("By", k.By)
		put("For", k.Login+" on "+k.places())
		put("Reason", k.Reason)
		put("Valid", local(k.Published)+" to "+local(k.Expires))
	}
	if len(m.Published) > 0 {
		return nil
	}
	if m.Certificate == nil {
		put("Certificate", "none that was issued here")
		put("Key ID", m.KeyId)
		return nil
	}
	ev, err := certificateEvent(m.Certificate.Event)
	if err != nil {
		return err
	}
	rec := ev.Certificate
	id, err := sekisho.ParseKeyID(fmt.Sprintf("%s/%d", rec.KeyID, m.Certificate.Serial))
	if err != nil {
		return errors.New("the server's answer does not make sense: " + err.Error())
	}
	put("Certificate", fmt.Sprintf("%d, %s, issued %s by the issuer %s", m.Certificate.Serial, rec.Type, local(ev.Time), rec.Issuer))
	put("Key ID", id.String())
	put(map[bool]string{true: "Host", false: "Person"}[rec.Type == "host"], id.Subject)
	put("Signed in", signedInWords(m))
	put("Request", id.Request)
	put("For", strings.TrimPrefix(ev.Login+"@"+ev.Target, "@"))
	put("From", ev.ClientAddress)
	put("Principals", strings.Join(rec.Principals, ", "))
	put("Extensions", strings.Join(rec.Extensions, ", "))
	put("Options", strings.Join(rec.Options, ", "))
	put("Key", rec.Key)
	put("CA", rec.CA)
	put("Valid", local(rec.ValidAfter)+" to "+local(rec.ValidBefore))
	put("State", certificateState(m.Certificate, rec, now))
	return a.trail(m)
}

func signedInWords(m *apiv1.ExplainResponse) string {
	s := m.SignIn
	if s == nil {
		return ""
	}
	state := "live"
	if m.SignInEnded {
		state = "ended"
	}
	return fmt.Sprintf("%s, %s on %s from %s, by %s, %s", s.Id, local(asTime(s.Created)), quoted(s.Device), s.ClientAddress, s.Issuer, state)
}

// trail prints the events around a certificate.
func (a *app) trail(m *apiv1.ExplainResponse) error {
	var rows [][]string
	for _, line := range m.Events {
		ev, err := parseEvent(line)
		if err != nil {
			return err
		}
		if ev.Seq != int64(m.Certificate.Serial) {
			rows = append(rows, eventRow(ev))
		}
	}
	if len(rows) == 0 {
		return nil
	}
	fmt.Fprintln(a.out)
	return a.table([]string{"SEQ", "TIME", "KIND", "WHO", "TARGET", "DECISION", "WHAT"}, rows)
}
