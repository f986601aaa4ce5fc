package recording_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// file is a Sink in memory that remembers how it was used.
type file struct {
	bytes.Buffer
	writes, syncs int
	durable       int // bytes at the last Sync
	fail          error
}

func (f *file) Write(p []byte) (int, error) {
	if f.fail != nil {
		return 0, f.fail
	}
	f.writes++
	return f.Buffer.Write(p)
}

func (f *file) Sync() error {
	f.syncs++
	f.durable = f.Len()
	return f.fail
}

func session() sekisho.Session {
	return sekisho.Session{
		ID:            "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa",
		SignIn:        "sin_bbbbbbbbbbbbbbbbbbbbbbbbbb",
		Identity:      sekisho.Identity{Subject: "alice@example.com", Issuer: "https://idp.example.com", Groups: []string{"ops"}},
		Target:        "web1",
		Login:         "root",
		Audit:         sekisho.AuditStrict,
		ClientAddress: "192.0.2.7",
		Gateway:       "tokyo",
		Started:       time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC),
	}
}

func newKey(t testing.TB) *recording.PrivateKey {
	t.Helper()
	k, err := recording.GenerateKey(recording.MLKEM768X25519, "test")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newSigner(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func newWriter(t testing.TB, to ...*recording.PrivateKey) (*recording.Writer, *file) {
	t.Helper()
	f := &file{}
	var recipients []recording.Recipient
	for _, k := range to {
		recipients = append(recipients, k.Recipient())
	}
	w, err := recording.NewWriter(f, recording.Header{Session: session()}, recipients, newSigner(1))
	if err != nil {
		t.Fatal(err)
	}
	return w, f
}

// write makes a whole recording: a nil entry in the list stands for a Flush.
func write(t testing.TB, to *recording.PrivateKey, entries ...*recording.Entry) ([]byte, recording.Summary) {
	t.Helper()
	w, f := newWriter(t, to)
	for _, e := range entries {
		err := error(nil)
		if e == nil {
			err = w.Flush()
		} else {
			err = w.Append(*e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	sum, err := w.Close(recording.EndDone, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return f.Bytes(), sum
}

// read gives all entries, with copies of their data, and the error that ended them.
func read(data []byte, key *recording.PrivateKey) ([]recording.Entry, error) {
	r, err := recording.NewReader(bytes.NewReader(data), key)
	if err != nil {
		return nil, err
	}
	var all []recording.Entry
	for {
		e, err := r.Next()
		if err != nil {
			return all, err
		}
		e.Data = bytes.Clone(e.Data)
		all = append(all, e)
	}
}

// merge joins the pieces of a stream that belong to one moment, which a writer may split.
func merge(entries []recording.Entry) (all []recording.Entry) {
	for _, e := range entries {
		if n := len(all) - 1; n >= 0 && e.Kind >= recording.Output && e.Kind <= recording.Input &&
			e.Kind == all[n].Kind && e.At == all[n].At && e.Channel == all[n].Channel {
			all[n].Data = append(bytes.Clone(all[n].Data), e.Data...)
			continue
		}
		all = append(all, e)
	}
	return all
}

func TestRoundTrip(t *testing.T) {
	key := newKey(t)
	kinds := []recording.Kind{
		recording.Output, recording.Stderr, recording.Input, recording.Exec, recording.EOF, recording.Note,
	}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 7))
		w, f := newWriter(t, key)
		var want []recording.Entry
		at := time.Duration(0)
		for range random.IntN(60) {
			at += time.Duration(random.Int64N(1<<random.IntN(46))) * time.Microsecond
			e := recording.Entry{
				Kind:    kinds[random.IntN(len(kinds))],
				At:      at,
				Channel: random.Uint32(),
				Data:    bytes.Repeat([]byte{byte(random.Uint32())}, random.IntN(1<<random.IntN(17))%(recording.MaxData+1)),
			}
			if err := w.Append(e); err != nil {
				t.Fatal(err)
			}
			want = append(want, e)
			if random.IntN(4) == 0 {
				if err := w.Flush(); err != nil {
					t.Fatal(err)
				}
				if f.durable != f.Len() {
					t.Fatalf("seed %d: %d of %d bytes durable after Flush", seed, f.durable, f.Len())
				}
			}
		}
		sum, err := w.Close(recording.EndStopped, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		got, err := read(f.Bytes(), key)
		if !errors.Is(err, io.EOF) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := cmp.Diff(merge(want), merge(got), cmp.Comparer(bytes.Equal)); d != "" {
			t.Fatalf("seed %d: (-want +got)\n%s", seed, d)
		}
		if sum.Bytes != int64(f.Len()) {
			t.Errorf("seed %d: summary says %d bytes, the file has %d", seed, sum.Bytes, f.Len())
		}
	}
}
