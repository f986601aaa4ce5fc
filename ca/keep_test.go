package ca_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
)

// hsm is a key store that can be unplugged.
type hsm struct {
	mu     sync.Mutex
	keys   map[string]ssh.Signer
	gone   atomic.Bool
	opened atomic.Int32
}

var errUnplugged = errors.New("key store pkcs11:token=ca: the token is gone: plug it in")

type hsmKey struct {
	ssh.Signer
	at *hsm
}

func (k hsmKey) Sign(random io.Reader, data []byte) (*ssh.Signature, error) {
	if k.at.gone.Load() {
		return nil, errUnplugged
	}
	return k.Signer.Sign(random, data)
}

func (h *hsm) open(_ context.Context, store string) (ca.Opened, error) {
	h.opened.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone.Load() {
		return ca.Opened{}, errUnplugged
	}
	return ca.Opened{Signer: hsmKey{h.keys[store], h}, Check: func(context.Context) error {
		if h.gone.Load() {
			return errUnplugged
		}
		return nil
	}}, nil
}

func (h *hsm) create(ctx context.Context, name, store, _ string) (string, ca.Opened, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", ca.Opened{}, err
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if store == "" {
		store = "pkcs11:token=ca;object=" + name
	}
	h.mu.Lock()
	if h.keys == nil {
		h.keys = map[string]ssh.Signer{}
	}
	h.keys[store] = signer
	h.mu.Unlock()
	if err != nil {
		return "", ca.Opened{}, err
	}
	o, err := h.open(ctx, store)
	return store, o, err
}

type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time        { return noon.Add(time.Duration(c.at.Load())) }
func (c *clock) pass(by time.Duration) { c.at.Add(int64(by)) }
func (h *hsm) ca(name string) *sekisho.CA {
	store, o, err := h.create(context.Background(), name, "", "")
	if err != nil {
		panic(err)
	}
	return ca.First(name, ca.TypeOf(name), store, o.PublicKey(), noon)
}

// While the key store is away people hear a sentence, the log what to do, and no certificate is made; then it goes on.
func TestUnplugged(t *testing.T) {
	h, b, c := &hsm{}, &book{events: []*sekisho.Event{{Kind: sekisho.EventStarted}}}, &clock{}
	var cas []*sekisho.CA
	for _, name := range []string{ca.UserCA, ca.GatewayCA, ca.HostCA} {
		cas = append(cas, h.ca(name))
	}
	h.gone.Store(true)
	h.opened.Store(0)
	a, err := ca.New(ca.Config{CAs: cas, Open: h.open, Note: b.note, Now: c.now})
	if err != nil {
		t.Fatalf("no start while a key store is away: %v", err)
	}
	refused := func(what string) {
		t.Helper()
		cert, err := a.People(t.Context(), alice(t))
		if cert != nil || !errors.Is(err, errUnplugged) || !strings.HasPrefix(sekisho.Say(err), "The certificate authority cannot sign now") {
			t.Errorf("%s: %v, %q", what, err, sekisho.Say(err))
		}
		if a.Trouble(ca.UserCA, cas[0].Keys[0].Fingerprint) == nil {
			t.Errorf("%s: no trouble is told", what)
		}
	}
	refused("at the start")
	for range 20 { // the store is not asked for each of them
		refused("again")
	}
	if n := h.opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
	h.gone.Store(false)
	c.pass(5 * time.Second)
	if _, err := a.People(t.Context(), alice(t)); err != nil {
		t.Fatalf("plugged in again: %v", err)
	}
	h.gone.Store(true)
	refused("in the middle")
	if err := a.CheckKeys(t.Context()); !errors.Is(err, errUnplugged) {
		t.Errorf("checked: %v", err)
	}
	h.gone.Store(false)
	c.pass(5 * time.Second)
	if err := a.CheckKeys(t.Context()); err != nil || a.Trouble(ca.UserCA, cas[0].Keys[0].Fingerprint) != nil {
		t.Errorf("checked: %v", err)
	}
}

// A key store that holds another key than it did signs nothing.
func TestSwappedKey(t *testing.T) {
	h, b := &hsm{}, &book{events: []*sekisho.Event{{Kind: sekisho.EventStarted}}}
	var cas []*sekisho.CA
	for _, name := range []string{ca.UserCA, ca.GatewayCA, ca.HostCA} {
		cas = append(cas, h.ca(name))
	}
	h.keys[cas[0].Keys[0].Store] = h.keys[cas[1].Keys[0].Store]
	a, err := ca.New(ca.Config{CAs: cas, Open: h.open, Note: b.note, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	if cert, err := a.People(t.Context(), alice(t)); cert != nil || err == nil || !strings.Contains(err.Error(), "which is not the key") {
		t.Errorf("got %v, %v", cert, err)
	}
}

// Certificates are made while keys step, each by a key that is trusted; and what cannot be noted or kept is not gone by.
func TestStepsWhileSigning(t *testing.T) {
	h, b, c := &hsm{}, &book{events: []*sekisho.Event{{Kind: sekisho.EventStarted}}}, &clock{}
	var kept atomic.Pointer[sekisho.CA]
	var fail atomic.Bool
	a, err := ca.New(ca.Config{
		User: newKey(t), Gateway: newKey(t), Host: newKey(t), Create: h.create, Open: h.open, Note: b.note, Now: c.now,
		Save: func(_ context.Context, c *sekisho.CA) error {
			if fail.Load() {
				return errors.New("disk full")
			}
			kept.Store(c)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		req := alice(t)
		work.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				cert, err := a.People(context.Background(), req)
				if err != nil {
					t.Errorf("during a rotation: %v", err)
					return
				}
				// Its key may have stepped on since: here nobody waits for what it signed.
				if a.Expiry(ca.UserCA, ssh.FingerprintSHA256(cert.SignatureKey)).Unix() != int64(cert.ValidBefore) {
					t.Error("it is not known until when a certificate is valid")
					return
				}
			}
		})
	}
	o := ca.Order{Actor: "boss@example.com"}
	for round := range 5 {
		seen, err := a.CA(ca.UserCA)
		if err != nil {
			t.Fatal(err)
		}
		fail.Store(true)
		if _, err := a.Announce(t.Context(), seen, "", "", o); err == nil {
			t.Error("announced what was not kept")
		}
		fail.Store(false)
		next, err := a.Announce(t.Context(), seen, "pkcs11:object="+strings.Repeat("a", round+1), "", o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Announce(t.Context(), seen, "", "", o); !errors.Is(err, sekisho.ErrTaken) {
			t.Errorf("from what is no more: %v", err)
		}
		for s, ok := ca.Next(next); ok; s, ok = ca.Next(next) {
			if next, err = a.Step(t.Context(), next, s, ca.Facts{Now: c.now(), LastExpiry: c.now()}, o); err != nil {
				t.Fatal(err)
			}
		}
		if kept.Load() != next || len(a.Lines().User) != 1 {
			t.Errorf("kept %v", kept.Load())
		}
	}
	close(over)
	work.Wait()
	if _, err := a.Step(t.Context(), kept.Load(), ca.Step{}, ca.Facts{}, ca.Order{Force: true}); err == nil {
		t.Error("forced without a reason")
	}
}

// A key that cannot sign does not become the only one that does.
func TestNoStepToABrokenKey(t *testing.T) {
	h, b := &hsm{}, &book{events: []*sekisho.Event{{Kind: sekisho.EventStarted}}}
	a, err := ca.New(ca.Config{User: newKey(t), Gateway: newKey(t), Host: newKey(t), Create: h.create, Open: h.open, Note: b.note, Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	seen, _ := a.CA(ca.UserCA)
	next, err := a.Announce(t.Context(), seen, "", "", ca.Order{})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := ca.Next(next)
	if next, err = a.Step(t.Context(), next, s, ca.Facts{Now: noon}, ca.Order{}); err != nil {
		t.Fatal(err)
	}
	h.gone.Store(true)
	s, _ = ca.Next(next)
	if _, err := a.Step(t.Context(), next, s, ca.Facts{Now: noon}, ca.Order{Force: true, Reason: "at any price"}); !errors.Is(err, errUnplugged) {
		t.Errorf("stepped to a key that cannot sign: %v", err)
	}
	if _, err := a.People(t.Context(), alice(t)); err != nil {
		t.Errorf("the key that signs: %v", err)
	}
}
