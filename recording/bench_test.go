package recording_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/sekisho/sekisho/recording"
)

// discard is a Sink that costs nothing, so that sealing alone is measured.
type discard struct{ io.Writer }

func (discard) Sync() error { return nil }

func benchWriter(b testing.TB) *recording.Writer {
	w, err := recording.NewWriter(discard{io.Discard}, recording.Header{Session: session()},
		[]recording.Recipient{newKey(b).Recipient()}, newSigner(1))
	if err != nil {
		b.Fatal(err)
	}
	return w
}

// BenchmarkAppend seals bulk output in packets as OpenSSH sends them.
func BenchmarkAppend(b *testing.B) {
	w, e := benchWriter(b), recording.Entry{Kind: recording.Output, Data: make([]byte, 32<<10)}
	b.SetBytes(int64(len(e.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Append(e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkKeystroke appends and flushes one echoed key.
func BenchmarkKeystroke(b *testing.B) {
	w, e := benchWriter(b), recording.Entry{Kind: recording.Output, Data: []byte("x")}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Append(e); err != nil {
			b.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNewWriter is what opening a session costs.
func BenchmarkNewWriter(b *testing.B) {
	key, signer := newKey(b), newSigner(1)
	for b.Loop() {
		_, err := recording.NewWriter(discard{io.Discard}, recording.Header{Session: session()},
			[]recording.Recipient{key.Recipient()}, signer)
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead opens a recording of 16 MiB.
func BenchmarkRead(b *testing.B) {
	key := newKey(b)
	w, f := newWriter(b, key)
	e := recording.Entry{Kind: recording.Output, Data: make([]byte, 32<<10)}
	for range 512 {
		if err := w.Append(e); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := w.Close(recording.EndDone, 0); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(f.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := recording.Verify(bytes.NewReader(f.Bytes()), recording.VerifyOptions{Key: key}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop buffers at random")
	}
	w, e := benchWriter(t), recording.Entry{Kind: recording.Output, Data: make([]byte, 20<<10)}
	allocs := testing.AllocsPerRun(500, func() {
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	})
	if allocs >= 1 {
		t.Errorf("Append and Flush allocate %v times", allocs)
	}
}
