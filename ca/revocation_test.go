package ca_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/krl"
)

// ledger is an audit log, its inventory and a store of revocations, all in memory and shared by processes.
type ledger struct {
	mu      sync.Mutex
	clock   time.Time
	events  []*sekisho.Event
	rows    map[string]sekisho.Revocation
	noteErr error
	saveErr error
	noting  func(*sekisho.Event) // before a line is written

	authority *ca.Authority
}

func newLedger() *ledger {
	return &ledger{clock: noon, events: []*sekisho.Event{{Kind: sekisho.EventStarted}}, rows: map[string]sekisho.Revocation{}}
}

func (l *ledger) now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clock
}

func (l *ledger) pass(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clock = l.clock.Add(d)
}

func (l *ledger) note(_ context.Context, events ...*sekisho.Event) error {
	if l.noting != nil {
		l.noting(events[0])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.noteErr != nil {
		return l.noteErr
	}
	for _, ev := range events {
		ev.Seq, ev.Time = int64(len(l.events)), l.clock
		copied := *ev
		l.events = append(l.events, &copied)
	}
	return nil
}

func (l *ledger) query(_ context.Context, q sekisho.EventQuery) (lines [][]byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range slices.Backward(l.events) {
		if (q.Before == 0 || ev.Seq < q.Before) && (q.Kind == "" || q.Kind == ev.Kind) && len(lines) < q.Limit {
			line, err := json.Marshal(ev)
			if err != nil {
				return nil, err
			}
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func (l *ledger) certificates(_ context.Context, q sekisho.CertificateQuery) (out []*sekisho.Event, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ev := range slices.Backward(l.events) {
		c := ev.Certificate
		if c == nil || q.Before != 0 && ev.Seq >= q.Before || len(out) >= q.Limit || !q.Since.IsZero() && ev.Time.Before(q.Since) ||
			!q.ValidAt.IsZero() && (ev.Time.After(q.ValidAt) || !q.ValidAt.Before(c.ValidBefore)) {
			continue
		}
		id, err := sekisho.ParseKeyID(c.KeyID + "/0")
		if err != nil {
			return nil, err
		}
		if (q.Subject == "" || q.Subject == id.Subject) && (q.SignIn == "" || q.SignIn == id.SignIn) &&
			(q.Key == "" || q.Key == c.Key) && (q.CA == "" || q.CA == c.CA) && (q.Type == "" || q.Type == c.Type) {
			out = append(out, ev)
		}
	}
	return out, nil
}

func (l *ledger) SaveRevocation(_ context.Context, r *sekisho.Revocation) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.saveErr != nil {
		return l.saveErr
	}
	l.rows[r.ID] = *r
	return nil
}

func (l *ledger) Revocation(_ context.Context, id string) (*sekisho.Revocation, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.rows[id]
	if !ok {
		return nil, sekisho.ErrNotFound
	}
	return &r, nil
}

func (l *ledger) UnliftedRevocations(context.Context) (all []*sekisho.Revocation, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.rows {
		if r.Lifted.IsZero() {
			all = append(all, &r)
		}
	}
	slices.SortFunc(all, func(a, b *sekisho.Revocation) int { return int(a.Seq - b.Seq) })
	return all, nil
}

func (l *ledger) cas(context.Context) ([]*sekisho.CA, error) { return l.authority.CAs(), nil }

// process opens revocations as one process does.
func (l *ledger) process(t testing.TB) *ca.Revocations {
	t.Helper()
	b, err := ca.OpenRevocations(t.Context(), ca.RevocationsConfig{
		Store: l, Certificates: l.certificates, Events: l.query, Note: l.note, CAs: l.cas, Now: l.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// office is a CA that asks what is revoked.
type office struct {
	*ledger
	t    testing.TB
	ca   *ca.Authority
	book *ca.Revocations
}

func newOffice(t testing.TB) *office {
	t.Helper()
	o := &office{ledger: newLedger(), t: t}
	o.book = o.process(t)
	var err error
	o.ca, err = ca.New(ca.Config{User: newKey(t), Gateway: newKey(t), Host: newKey(t), Note: o.note, Now: o.now, Refuse: o.book.Refuse})
	if err != nil {
		t.Fatal(err)
	}
	o.authority = o.ca
	return o
}

// certify gives a person's certificate by a sign-in.
func (o *office) certify(subject, signIn string, key ssh.PublicKey) (*ssh.Certificate, error) {
	return o.ca.People(o.t.Context(), ca.PeopleRequest{
		SignIn: &sekisho.SignIn{ID: signIn, Identity: sekisho.Identity{Subject: subject}, Created: o.now(), Expires: o.now().Add(8 * time.Hour)},
		Target: &sekisho.Target{Name: "web1", Logins: []string{"root"}}, Login: "root", Key: key, Limits: sekisho.Limits{TTL: time.Hour}, Request: "tok_" + signIn,
	})
}

func (o *office) mustCertify(subject, signIn string, key ssh.PublicKey) *ssh.Certificate {
	o.t.Helper()
	cert, err := o.certify(subject, signIn, key)
	if err != nil {
		o.t.Fatal(err)
	}
	return cert
}

func (o *office) revoke(kind sekisho.RevocationKind, value string) *sekisho.Revocation {
	o.t.Helper()
	r, _, err := o.book.Revoke(o.t.Context(), &sekisho.Revocation{Kind: kind, Value: value, Reason: "test"}, &sekisho.Event{Actor: "alice@example.com"})
	if err != nil {
		o.t.Fatal(err)
	}
	return r
}

// keygen has ssh-keygen say whether a list revokes a key or certificate.
func keygen(t testing.TB, list []byte, key ssh.PublicKey) bool {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string][]byte{"krl": list, "k.pub": ssh.MarshalAuthorizedKey(key)} {
		if err := os.WriteFile(dir+"/"+name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, _ := exec.Command("ssh-keygen", "-Q", "-f", dir+"/krl", dir+"/k.pub").CombinedOutput()
	switch text := string(out); {
	case strings.HasSuffix(text, ": REVOKED\n"):
		return true
	case strings.HasSuffix(text, ": ok\n"):
		return false
	default:
		t.Fatalf("ssh-keygen says %q", text)
		return false
	}
}

func number(cert *ssh.Certificate) string { return strconv.FormatUint(cert.Serial, 10) }

// What each kind revokes, and nothing else: at doors, at the CA, and in the list as ssh-keygen reads it.
func TestRevoked(t *testing.T) {
	for kind, value := range map[sekisho.RevocationKind]func(*ssh.Certificate) string{
		sekisho.RevokedPerson:      func(*ssh.Certificate) string { return "mallory@example.com" },
		sekisho.RevokedSignIn:      func(*ssh.Certificate) string { return "sin_m" },
		sekisho.RevokedCertificate: number,
		sekisho.RevokedKeyID:       func(c *ssh.Certificate) string { return c.KeyId },
		sekisho.RevokedKey:         func(c *ssh.Certificate) string { return ssh.FingerprintSHA256(c.Key) },
		sekisho.RevokedCA:          func(c *ssh.Certificate) string { return ssh.FingerprintSHA256(c.SignatureKey) },
	} {
		t.Run(string(kind), func(t *testing.T) {
			o := newOffice(t)
			key := newPublic(t)
			hers, his := o.mustCertify("mallory@example.com", "sin_m", key), o.mustCertify("ken@example.com", "sin_k", newPublic(t))
			session := &sekisho.Session{ID: "ses_1", Identity: sekisho.Identity{Subject: "mallory@example.com"}, SignIn: "sin_m", Key: ssh.FingerprintSHA256(key), Request: "tok_sin_m"}
			other := &sekisho.Session{ID: "ses_2", Identity: sekisho.Identity{Subject: "ken@example.com"}, SignIn: "sin_k", Request: "tok_sin_k2"}
			check := func(when string, revoked bool) {
				t.Helper()
				list, err := o.book.Users(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for what, got := range map[string]bool{
					"certificate": o.book.Certificate(hers) != nil, "session": o.book.Session(session) != nil, "list": keygen(t, list.KRL, hers),
				} {
					if got != revoked {
						t.Errorf("%s: %s: revoked is %v", when, what, got)
					}
				}
				everybody := kind == sekisho.RevokedCA && revoked
				if got := keygen(t, list.KRL, his); got != everybody || (o.book.Certificate(his) != nil) != everybody || o.book.Session(other) != nil {
					t.Errorf("%s: ken's certificate is revoked: %v", when, got)
				}
			}
			check("before", false)
			r := o.revoke(kind, value(hers))
			check("revoked", true)
			again := o.revoke(kind, value(hers))
			if again.ID != r.ID || int64(o.book.Number()) != r.Seq {
				t.Errorf("revoked twice: %+v, then %+v; number %d", r, again, o.book.Number())
			}
			_, err := o.certify("mallory@example.com", "sin_m", key)
			var refused *sekisho.Refusal
			if issued := kind == sekisho.RevokedCertificate || kind == sekisho.RevokedKeyID; (err == nil) != issued {
				t.Errorf("a new certificate: %v", err)
			} else if !issued && (!errors.As(err, &refused) || !strings.Contains(refused.Next, r.ID)) {
				t.Errorf("refused with %v", err)
			}
			lifted, err := o.book.Lift(t.Context(), r.ID, "a mistake", &sekisho.Event{Actor: "bob@example.com"})
			if err != nil || lifted.LiftedBy != "bob@example.com" || lifted.LiftedSeq <= r.Seq || int64(o.book.Number()) != lifted.LiftedSeq {
				t.Fatalf("%+v, %v", lifted, err)
			}
			check("lifted", false)
		})
	}
}

// Nobody gets a certificate in the gap between the question and the line: mallory's is noted, and her revocation comes
// before it is signed.
func TestRevokedWhileSigning(t *testing.T) {
	o := newOffice(t)
	o.noting = func(ev *sekisho.Event) {
		if ev.Kind == sekisho.EventCertificate {
			o.noting = nil
			o.revoke(sekisho.RevokedPerson, "mallory@example.com")
		}
	}
	cert, err := o.certify("mallory@example.com", "sin_m", newPublic(t))
	if err == nil {
		t.Fatalf("certificate %d was signed beyond line %d", cert.Serial, o.book.Number())
	}
}

// While a revocation is being noted it holds already, and no list has it.
func TestRevokedWhileNoting(t *testing.T) {
	o := newOffice(t)
	cert := o.mustCertify("mallory@example.com", "sin_m", newPublic(t))
	o.noting = func(ev *sekisho.Event) {
		if ev.Kind != sekisho.EventRevoked {
			return
		}
		if o.book.Certificate(cert) == nil {
			t.Error("not revoked yet")
		}
		if list, err := o.book.Users(t.Context()); err != nil || list.Number != 0 || list.Entries != 0 {
			t.Errorf("list %+v, %v", list, err)
		}
	}
	o.revoke(sekisho.RevokedPerson, "mallory@example.com")
	o.noting, o.noteErr = nil, errors.New("disk is on fire")
	if _, _, err := o.book.Revoke(t.Context(), &sekisho.Revocation{Kind: sekisho.RevokedPerson, Value: "ken@example.com"}, &sekisho.Event{}); err == nil {
		t.Error("revoked without a line")
	}
	if err := o.book.Person("ken@example.com"); err != nil {
		t.Errorf("what was not noted holds: %v", err)
	}
}

// Processes that see the same log make the same bytes, whatever they had seen before, and what one has done the others
// take over.
func TestSameBytes(t *testing.T) {
	o := newOffice(t)
	old := o.process(t)
	var certs []*ssh.Certificate
	for i := range 40 {
		certs = append(certs, o.mustCertify("mallory@example.com", fmt.Sprintf("sin_%d", i%7), newPublic(t)))
		o.mustCertify("ken@example.com", "sin_k", newPublic(t))
	}
	o.revoke(sekisho.RevokedSignIn, "sin_3")
	o.revoke(sekisho.RevokedKey, ssh.FingerprintSHA256(certs[5].Key))
	r := o.revoke(sekisho.RevokedCertificate, number(certs[0]))
	o.revoke(sekisho.RevokedKeyID, certs[1].KeyId)
	if _, err := o.book.Users(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.pass(time.Minute)
	o.revoke(sekisho.RevokedPerson, "mallory@example.com")
	if _, err := o.book.Lift(t.Context(), r.ID, "", &sekisho.Event{Actor: "bob"}); err != nil {
		t.Fatal(err)
	}
	o.pass(30 * time.Minute) // the time at which a list is made does not matter
	if changed, err := old.Refresh(t.Context()); err != nil || !changed {
		t.Fatalf("refresh: %v, %v", changed, err)
	}
	if changed, err := old.Refresh(t.Context()); err != nil || changed {
		t.Fatalf("refresh again: %v, %v", changed, err)
	}
	for what, of := range map[string]func(*ca.Revocations) (*ca.RevocationList, error){
		"users": func(b *ca.Revocations) (*ca.RevocationList, error) { return b.Users(t.Context()) },
		"hosts": func(b *ca.Revocations) (*ca.RevocationList, error) { return b.Hosts(t.Context()) },
	} {
		want, err := of(o.book)
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string]*ca.Revocations{"one that was there": old, "a new one": o.process(t)} {
			got, err := of(b)
			if err != nil || got.Number != want.Number || !bytes.Equal(got.KRL, want.KRL) {
				t.Errorf("%s: %s makes other bytes: %v", what, name, err)
			}
		}
		if parsed, err := krl.Parse(want.KRL); err != nil || parsed.Number != o.book.Number() {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What was noted holds although the process died before it was kept.
func TestRevocationsCatchUp(t *testing.T) {
	o := newOffice(t)
	kept := o.revoke(sekisho.RevokedPerson, "eve@example.com")
	o.saveErr = errors.New("killed")
	until := o.now().Add(time.Hour)
	want := &sekisho.Revocation{Kind: sekisho.RevokedPerson, Value: "mallory@example.com", Reason: "stolen laptop", Until: until}
	if _, _, err := o.book.Revoke(t.Context(), want, &sekisho.Event{Actor: "alice@example.com"}); err == nil {
		t.Fatal("kept")
	}
	if _, err := o.book.Lift(t.Context(), kept.ID, "", &sekisho.Event{Actor: "bob@example.com"}); err == nil {
		t.Fatal("kept")
	}
	o.saveErr = nil
	next := o.process(t)
	if next.Person("mallory@example.com") == nil || next.Person("eve@example.com") != nil || next.Number() != uint64(len(o.events)-1) {
		t.Errorf("not what the log says: number %d", next.Number())
	}
	for _, r := range o.rows {
		if r.Value == "mallory@example.com" && (r.By != "alice@example.com" || r.Reason != "stolen laptop" || !r.Until.Equal(until) || !r.At.Equal(noon)) {
			t.Errorf("kept %+v", r)
		}
	}
}

// Certificates that have expired leave the list at its next number, and a revocation ends by itself.
func TestRevocationsEnd(t *testing.T) {
	o := newOffice(t)
	cert := o.mustCertify("mallory@example.com", "sin_m", newPublic(t))
	r, _, err := o.book.Revoke(t.Context(), &sekisho.Revocation{Kind: sekisho.RevokedPerson, Value: "mallory@example.com", Until: o.now().Add(3 * time.Hour)}, &sekisho.Event{})
	if err != nil {
		t.Fatal(err)
	}
	listed := func() bool {
		list, err := o.book.Users(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return keygen(t, list.KRL, cert)
	}
	if !listed() {
		t.Error("not in the first list")
	}
	o.pass(2 * time.Hour)
	if !listed() {
		t.Error("a list has changed at its number")
	}
	o.revoke(sekisho.RevokedSignIn, "sin_x")
	if listed() {
		t.Error("expired, and still in the list")
	}
	o.pass(time.Hour)
	if err := o.book.Person("mallory@example.com"); err != nil {
		t.Errorf("its time is up: %v", err)
	}
	before := o.book.Number()
	if err := o.book.Expire(t.Context()); err != nil || o.book.Number() <= before || !o.rows[r.ID].Lifted.Equal(o.now()) {
		t.Errorf("not lifted: %v, number %d", err, o.book.Number())
	}
	// A longer one is another one, and holds for as long.
	o.book.Revoke(t.Context(), &sekisho.Revocation{Kind: sekisho.RevokedPerson, Value: "eve@example.com", Until: o.now().Add(time.Hour)}, &sekisho.Event{})
	o.revoke(sekisho.RevokedPerson, "eve@example.com")
	o.pass(2 * time.Hour)
	if o.book.Person("eve@example.com") == nil {
		t.Error("the longer one does not hold")
	}
}

// mallory's certificate was issued before the clock was set back. It is in the list.
func TestRevokedAfterTheClockWasSetBack(t *testing.T) {
	o := newOffice(t)
	cert := o.mustCertify("mallory@example.com", "sin_m", newPublic(t))
	o.pass(-10 * time.Minute)
	o.revoke(sekisho.RevokedPerson, "mallory@example.com")
	list, err := o.book.Users(t.Context())
	if err != nil || !keygen(t, list.KRL, cert) || list.Entries != 1 {
		t.Errorf("%+v, %v", list, err)
	}
}

// Host certificates are in the hosts' list, and their names are nobody's.
func TestRevokedHosts(t *testing.T) {
	o := newOffice(t)
	cert, err := o.ca.Hosts(t.Context(), ca.HostRequest{Names: []string{"web1"}, Key: newPublic(t), TTL: time.Hour, Actor: "connector:rack1"})
	if err != nil {
		t.Fatal(err)
	}
	o.revoke(sekisho.RevokedPerson, "web1")
	if err := o.book.Certificate(cert); err != nil {
		t.Errorf("a host is no person: %v", err)
	}
	o.revoke(sekisho.RevokedCertificate, number(cert))
	hosts, err := o.book.Hosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	users, err := o.book.Users(t.Context())
	if err != nil || !keygen(t, hosts.KRL, cert) || keygen(t, users.KRL, cert) || o.book.Certificate(cert) == nil || hosts.Entries != 1 {
		t.Errorf("hosts %+v, users %+v, %v", hosts, users, err)
	}
}

func TestRevocationsAreBounded(t *testing.T) {
	o := newOffice(t)
	for i := range ca.MaxRevocations {
		id := fmt.Sprintf("rev_%d", i)
		o.rows[id] = sekisho.Revocation{ID: id, Kind: sekisho.RevokedKey, Value: ssh.FingerprintSHA256(newPublic(t)), Seq: 1}
	}
	o.events = append(o.events, &sekisho.Event{Seq: 1, Kind: sekisho.EventRevoked, Detail: map[string]string{"revocation": "rev_0"}})
	if err := o.book.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := o.book.Users(t.Context())
	if err != nil || list.Entries != ca.MaxRevocations {
		t.Fatalf("%v, %v", list, err)
	}
	_, _, err = o.book.Revoke(t.Context(), &sekisho.Revocation{Kind: sekisho.RevokedPerson, Value: "x@example.com"}, &sekisho.Event{})
	if r := (*sekisho.Refusal)(nil); !errors.As(err, &r) {
		t.Errorf("one more: %v", err)
	}
}
