package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeStore is a store with a key that can be swapped, whose links break, hang and sign wrongly when they are told to.
type fakeStore struct {
	key                       atomic.Pointer[ecdsa.PrivateKey]
	gone, wrong, hanging, mad atomic.Bool
	resume                    chan struct{}
	dials, open, done         atomic.Int32
}

func newFakeStore(t *testing.T) *fakeStore {
	f := &fakeStore{resume: make(chan struct{})}
	f.swap(t)
	return f
}

func (f *fakeStore) swap(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	f.key.Store(key)
}

func (f *fakeStore) store() store {
	return store{
		dial: func(context.Context) (link, error) {
			if f.gone.Load() {
				return nil, errors.New("it is not plugged in")
			}
			f.dials.Add(1)
			f.open.Add(1)
			return fakeLink{f, f.key.Load()}, nil
		},
		fail:  func(err error) error { return &Error{Store: "fake", Cause: err, Fix: "mend it"} },
		links: 4,
		done:  func() error { f.done.Add(1); return nil },
	}
}

type fakeLink struct {
	*fakeStore
	key *ecdsa.PrivateKey
}

func (l fakeLink) public(context.Context) (crypto.PublicKey, error) {
	if l.gone.Load() {
		return nil, errors.New("it is gone")
	}
	return l.key.Public(), nil
}

func (l fakeLink) sign(_ context.Context, data []byte, hash crypto.Hash) ([]byte, error) {
	if l.mad.Load() {
		panic("at the disco")
	}
	if l.hanging.Load() {
		<-l.resume
	}
	if l.gone.Load() {
		return nil, errors.New("it is gone")
	}
	signature, err := l.key.Sign(rand.Reader, data, hash)
	if l.wrong.Load() {
		signature[len(signature)-1] ^= 1
	}
	return signature, err
}

func (l fakeLink) close() error { l.fakeStore.open.Add(-1); return nil }

var digest = sha256.Sum256([]byte("x"))

func (f *fakeStore) openKey(t *testing.T) *remote {
	t.Helper()
	key, err := openRemote(t.Context(), f.store(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func wantError(t *testing.T, err, is error, words ...string) {
	t.Helper()
	var of *Error
	if !errors.As(err, &of) || is != nil && !errors.Is(err, is) {
		t.Errorf("%#v", err)
	}
	for _, w := range append(words, "fake", "mend it") {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("%v: want %q", err, w)
		}
	}
}

// A store that goes away and comes back: signing fails in between, and no link stays open.
func TestRemoteComesBack(t *testing.T) {
	f := newFakeStore(t)
	key := f.openKey(t)
	for range 3 {
		f.gone.Store(true)
		for range 3 {
			_, err := key.Sign(nil, digest[:], crypto.SHA256)
			wantError(t, err, nil, "not plugged in")
			wantError(t, key.Check(t.Context()), nil, "not plugged in")
		}
		if n := f.open.Load(); n != 0 {
			t.Errorf("%d links are open to what is gone", n)
		}
		f.gone.Store(false)
		if _, err := key.Sign(nil, digest[:], crypto.SHA256); err != nil {
			t.Error(err)
		}
	}
	if err := key.Close(); err != nil || f.open.Load() != 0 || f.done.Load() != 1 {
		t.Errorf("%v, %d links, done %d times", err, f.open.Load(), f.done.Load())
	}
}

// Links are used again, and there are no more than were said.
func TestRemoteKeepsLinks(t *testing.T) {
	f := newFakeStore(t)
	key := f.openKey(t)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			if _, err := key.Sign(nil, digest[:], crypto.SHA256); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := f.dials.Load(); n > 4 {
		t.Errorf("%d links were made", n)
	}
	key.Close()
	if _, err := key.Sign(nil, digest[:], crypto.SHA256); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// A swapped key and a faulty store sign nothing, not even when the store is made to come back with another key.
func TestRemoteSwappedAndFaulty(t *testing.T) {
	f := newFakeStore(t)
	key := f.openKey(t)
	f.wrong.Store(true)
	signature, err := key.Sign(nil, digest[:], crypto.SHA256)
	wantError(t, err, errSignature)
	if signature != nil {
		t.Error("the signature was handed out")
	}
	f.wrong.Store(false)
	first := f.key.Load()
	f.swap(t)
	signature, err = key.Sign(nil, digest[:], crypto.SHA256)
	wantError(t, err, errOtherKey)
	if signature != nil {
		t.Error("another key signed")
	}
	wantError(t, key.Check(t.Context()), errOtherKey)
	f.key.Store(first)
	if _, err := key.Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Error(err)
	}
	key.Close()
	if f.open.Load() != 0 {
		t.Errorf("%d links are open", f.open.Load())
	}
}

// A store that hangs costs each caller the time that was said, and all of them no more calls than links.
func TestRemoteHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStore(t)
		key := f.openKey(t)
		f.hanging.Store(true)
		start := time.Now()
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() {
				_, err := key.Sign(nil, digest[:], crypto.SHA256)
				wantError(t, err, nil)
				if !errors.Is(err, errStuck) && !errors.Is(err, errBusy) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(start); took != time.Second { // of the test's own clock
			t.Errorf("they waited %v", took)
		}
		if n := f.open.Load(); n > 4 {
			t.Errorf("%d calls hang", n)
		}
		_, err := key.Sign(nil, digest[:], crypto.SHA256)
		wantError(t, err, errBusy)
		f.hanging.Store(false)
		close(f.resume)
		synctest.Wait()
		if _, err := key.Sign(nil, digest[:], crypto.SHA256); err != nil {
			t.Error(err)
		}
		if err := key.Close(); err != nil || f.open.Load() != 0 || f.done.Load() != 1 {
			t.Errorf("%v, %d links, done %d times", err, f.open.Load(), f.done.Load())
		}
	})
}

// Closed while it signs, a key lets the store go with the last signature.
func TestRemoteClosedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStore(t)
		key := f.openKey(t)
		f.hanging.Store(true)
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				if _, err := key.Sign(nil, digest[:], crypto.SHA256); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := key.Close(); err != nil || f.done.Load() != 0 {
			t.Errorf("%v, done %d times", err, f.done.Load())
		}
		f.hanging.Store(false)
		close(f.resume)
		all.Wait()
		synctest.Wait()
		if f.open.Load() != 0 || f.done.Load() != 1 {
			t.Errorf("%d links, done %d times", f.open.Load(), f.done.Load())
		}
	})
}

// A panic in a library fails the signature, and nothing else.
func TestRemotePanics(t *testing.T) {
	f := newFakeStore(t)
	key := f.openKey(t)
	defer key.Close()
	f.mad.Store(true)
	_, err := key.Sign(nil, digest[:], crypto.SHA256)
	wantError(t, err, nil, "panicked: at the disco")
	if n := f.open.Load(); n != 0 {
		t.Errorf("%d links are open", n)
	}
	f.mad.Store(false)
	if _, err := key.Sign(nil, digest[:], crypto.SHA256); err != nil {
		t.Error(err)
	}
}

func TestRemoteWrongHash(t *testing.T) {
	f := newFakeStore(t)
	key := f.openKey(t)
	defer key.Close()
	_, err := key.Sign(nil, digest[:31], crypto.SHA256)
	wantError(t, err, nil, "31 bytes")
	_, err = key.Sign(nil, digest[:], crypto.Hash(0))
	wantError(t, err, nil, "hash 0")
}
