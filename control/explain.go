package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/ca"
)

// What a text to be explained was taken for.
const (
	foundSerial      = "serial"
	foundKeyID       = "key ID"
	foundCertificate = "certificate"
	foundLogLine     = "log line"
)

const (
	maxSessionsTold = 20              // sessions of a certificate that Explain tells of, the newest
	clockDrift      = 5 * time.Minute // by which a host's clock may be off before its log is doubted
)

// clue is what a text says of a certificate.
type clue struct {
	found  string
	serial uint64 // 0: none
	keyID  string // as far as it is there
	whole  bool   // all of it is
	bare   bool   // a line names a key and no certificate
	key    string // fingerprints
	ca     string
	cert   *ssh.Certificate
	line   *ca.LogLine
	odd    []string // what does not fit within the text
}

// Explain leads from a text to the certificate that it is of.
func (d certificates) Explain(ctx context.Context, req *connect.Request[apiv1.ExplainRequest]) (*connect.Response[apiv1.ExplainResponse], error) {
	who, err := d.known(ctx, req, scopeRead)
	if err != nil {
		return nil, err
	}
	c, err := readClue(req.Msg.Text)
	if err != nil {
		return nil, malformed(err)
	}
	res := &apiv1.ExplainResponse{Found: c.found, KeyId: c.keyID}
	if c.bare {
		if res.Published, err = d.publicationsOf(ctx, who, c.key); err != nil {
			return nil, err
		}
		if len(res.Published) == 0 {
			res.Doubt = "the line names a key without a certificate, and you know of nobody who published it"
		}
		return connect.NewResponse(res), nil
	}
	line, err := d.follow(ctx, c)
	if err != nil {
		return nil, err
	}
	if line != nil {
		one, ev, err := d.issued(line)
		if err != nil {
			return nil, err
		}
		if err := d.maySee(ctx, who, ev); err != nil {
			return nil, err
		}
		c.compare(ev)
		res.Certificate, res.KeyId = one, keyIDOf(ev).String()
		if res.Events, err = d.around(ctx, ev); err != nil {
			return nil, err
		}
		if err := d.signInOf(ctx, ev, res); err != nil {
			return nil, err
		}
	}
	res.Doubt = strings.Join(c.odd, "; ")
	return connect.NewResponse(res), nil
}

// bareKey is how sshd ends a line of its log about a plain public key that was shown.
var bareKey = regexp.MustCompile(`publickey for .* ssh2: [A-Z0-9-]+ (SHA256:[A-Za-z0-9+/]{43})$`)

// readClue finds out what a text is.
func readClue(text string) (*clue, error) {
	if len(text) > ca.MaxLogLine {
		return nil, fmt.Errorf("the text has %d bytes: want %d at most", len(text), ca.MaxLogLine)
	}
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return &clue{found: foundSerial, serial: n}, nil
	}
	if key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text)); err == nil {
		cert, ok := key.(*ssh.Certificate)
		if !ok {
			return nil, errors.New("that is a key without a certificate: look for it with sekisho ca certificates --key")
		}
		return certificateClue(cert), nil
	}
	if id, err := sekisho.ParseKeyID(text); err == nil {
		return &clue{found: foundKeyID, serial: id.Serial, keyID: text, whole: true}, nil
	}
	if strings.Contains(text, "\n") {
		return nil, errors.New("the text has several lines: give one")
	}
	l, err := ca.ParseLogLine(text)
	if m := bareKey.FindStringSubmatch(text); err != nil && m != nil {
		return &clue{found: foundLogLine, bare: true, key: m[1]}, nil
	}
	if err != nil {
		return nil, errors.New("the text is no serial, no Key ID, no certificate, and no line of sshd's log that names one")
	}
	return lineClue(l), nil
}

func certificateClue(cert *ssh.Certificate) *clue {
	c := &clue{
		found: foundCertificate, serial: cert.Serial, keyID: cert.KeyId, whole: true, cert: cert,
		key: ssh.FingerprintSHA256(cert.Key), ca: ssh.FingerprintSHA256(cert.SignatureKey),
	}
	return c
}

func lineClue(l *ca.LogLine) *clue {
	c := &clue{found: foundLogLine, keyID: l.KeyID, whole: l.Whole, key: l.Key, ca: l.CA, line: l}
	if l.Several {
		c.odd = append(c.odd, "the line reads as if it named several certificates: whoever connected chose words of it")
	}
	id, err := sekisho.ParseKeyID(l.KeyID)
	switch {
	case l.HasSerial:
		c.serial = l.Serial
	case l.Whole && err == nil:
		c.serial = id.Serial
	}
	return c
}

// follow finds the line of the certificate that the clue leads to: by serial, or where there is none by its key, or by what
// it was made for. nil: it leads to none.
func (d *door) follow(ctx context.Context, c *clue) ([]byte, error) {
	if c.serial != 0 || c.line == nil || c.line.HasSerial {
		line, err := d.certificate(ctx, c.serial)
		if err == nil && line == nil {
			c.odd = append(c.odd, fmt.Sprintf("no certificate with the serial %d was issued here", c.serial))
		}
		return line, err
	}
	var q sekisho.CertificateQuery
	fields := strings.Split(c.keyID, "/")
	switch {
	case c.key != "":
		q.Key = c.key
	case len(fields) == 5 && fields[2] != "-" && fields[3] != "-":
		q.SignIn, q.Request = fields[2], fields[3]
	default:
		c.odd = append(c.odd, "too little of it is left to lead to a certificate")
		return nil, nil
	}
	q.Limit = 2
	lines, err := d.Store.CertificateLines(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	if len(lines) == 0 {
		c.odd = append(c.odd, "no certificate like that was issued here")
		return nil, nil
	}
	if len(lines) > 1 {
		c.odd = append(c.odd, "the text is cut before the serial, and fits several certificates: this is the newest")
	}
	return lines[0], nil
}

// compare holds everything that the text says against the certificate's line.
func (c *clue) compare(ev *sekisho.Event) {
	rec, id := ev.Certificate, keyIDOf(ev).String()
	doubt := func(format string, args ...any) { c.odd = append(c.odd, fmt.Sprintf(format, args...)) }
	if c.whole && c.keyID != id || !strings.HasPrefix(id, c.keyID) {
		doubt("its Key ID is %.300q, and that of certificate %d is %q", c.keyID, ev.Seq, id)
	}
	if c.key != "" && c.key != rec.Key {
		doubt("its key is %s, and that of certificate %d is %s", c.key, ev.Seq, rec.Key)
	}
	if c.ca != "" && c.ca != rec.CA {
		doubt("its CA is %s, and that of certificate %d is %s", c.ca, ev.Seq, rec.CA)
	}
	if c.cert != nil && len(c.odd) == 0 {
		if err := audit.CheckCertificate(c.cert, ev); err != nil {
			doubt("%v", err)
		}
	}
	if c.line == nil || c.line.Time.IsZero() || c.line.Outcome != "accepted" {
		return
	}
	if at := c.line.Time; at.Before(rec.ValidAfter.Add(-clockDrift)) || at.After(rec.ValidBefore.Add(clockDrift)) {
		doubt("the line is of %s, and the certificate is valid from %s to %s", at.Format(time.RFC3339), rec.ValidAfter.Format(time.RFC3339), rec.ValidBefore.Format(time.RFC3339))
	}
}

// signInOf adds the sign-in that a certificate rests on, if it is still kept.
func (d *door) signInOf(ctx context.Context, ev *sekisho.Event, res *apiv1.ExplainResponse) error {
	id := keyIDOf(ev).SignIn
	if id == "" {
		return nil
	}
	s, err := d.Store.SignIn(ctx, id)
	if errors.Is(err, sekisho.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read sign-in: %w", err)
	}
	res.SignIn, res.SignInEnded = signInMessage(s, ""), !s.Live(d.Now())
	return nil
}

// trail gathers lines of the audit log, each once.
type trail struct {
	d     *door
	lines map[int64][]byte
}

// around gives the lines that belong to a certificate, oldest first: the sign-in, the decision, its own, and the sessions
// that used it with their recordings.
func (d *door) around(ctx context.Context, ev *sekisho.Event) ([][]byte, error) {
	t := &trail{d: d, lines: map[int64][]byte{}}
	id := keyIDOf(ev)
	own := func(e *sekisho.Event) bool { return e.Seq == ev.Seq }
	err := t.find(ctx, sekisho.EventQuery{Kind: sekisho.EventCertificate, Before: ev.Seq + 1, Limit: 1}, 1, own)
	if err == nil && id.SignIn != "" {
		err = t.find(ctx, sekisho.EventQuery{Kind: sekisho.EventSignIn, Actor: id.Subject, Before: ev.Seq}, 1,
			func(e *sekisho.Event) bool { return e.SignIn == id.SignIn })
	}
	if err == nil {
		err = t.find(ctx, sekisho.EventQuery{Kind: sekisho.EventDecision, Before: ev.Seq, Limit: 1}, 1, func(e *sekisho.Event) bool {
			return e.Seq == ev.Seq-1 && e.SignIn == ev.SignIn && e.Target == ev.Target && e.Login == ev.Login
		})
	}
	if err == nil {
		err = t.sessions(ctx, ev, id)
	}
	if err != nil {
		return nil, err
	}
	out := make([][]byte, 0, len(t.lines))
	for _, seq := range slices.Sorted(maps.Keys(t.lines)) {
		out = append(out, t.lines[seq])
	}
	return out, nil
}

// find takes the first lines of an answer that fit, at most so many.
func (t *trail) find(ctx context.Context, q sekisho.EventQuery, most int, fits func(*sekisho.Event) bool) error {
	if q.Limit == 0 {
		q.Limit = maxList
	}
	lines, err := t.d.Events.Query(ctx, q)
	if err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}
	for _, line := range lines {
		var e sekisho.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("read line of the audit log: %w", err)
		}
		if !fits(&e) {
			continue
		}
		t.lines[e.Seq] = bytes.Clone(line)
		if most--; most == 0 {
			return nil
		}
	}
	return nil
}

// sessions finds the sessions that a certificate was used for: a gateway's was made for one, and of the others the
// beginnings of sessions say by which certificate or for which request they came.
func (t *trail) sessions(ctx context.Context, ev *sekisho.Event, id sekisho.KeyID) error {
	var sessions []string
	if ev.Session != "" {
		sessions = append(sessions, ev.Session)
	} else if id.SignIn != "" {
		serial := strconv.FormatInt(ev.Seq, 10)
		err := t.find(ctx, sekisho.EventQuery{Kind: sekisho.EventSessionStarted, Actor: id.Subject, Target: ev.Target, Since: ev.Time}, maxSessionsTold,
			func(e *sekisho.Event) bool {
				used := e.Detail["certificate"] == serial || id.Request != "" && e.Detail["request"] == id.Request
				if used {
					sessions = append(sessions, e.Session)
				}
				return used
			})
		if err != nil {
			return err
		}
	}
	for _, s := range sessions {
		for _, kind := range []string{sekisho.EventSessionStarted, sekisho.EventSessionEnded, sekisho.EventSessionRefused, sekisho.EventRecordingOpened, sekisho.EventRecordingClosed, sekisho.EventRecordingCut} {
			if err := t.find(ctx, sekisho.EventQuery{Kind: kind, Session: s, Limit: 1}, 1, func(*sekisho.Event) bool { return true }); err != nil {
				return err
			}
		}
	}
	return nil
}
