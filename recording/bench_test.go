package recording_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

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

// BenchmarkAppend seals bulk output in packets as OpenSSH sends them, of what shrinks and what does not.
func BenchmarkAppend(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2))
	base := make([]byte, 0, 4<<20)
	for len(base) < 3<<20 {
		base = base64.StdEncoding.AppendEncode(base, noise(random, 57))
	}
	text := prose(random, 4<<20)
	for name, data := range map[string][]byte{
		"zeros": make([]byte, 4<<20), "text": text, "slow-text": text, "noise": noise(random, 4<<20), "base64": base,
	} {
		b.Run(name, func(b *testing.B) {
			w, e := benchWriter(b), recording.Entry{Kind: recording.Output}
			b.SetBytes(32 << 10)
			b.ReportAllocs()
			at, before := 0, cpu()
			for b.Loop() {
				if at += 32 << 10; at+32<<10 > len(data) {
					at = 0
				}
				e.Data = data[at : at+32<<10]
				if name == "slow-text" { // so slow that all of it is compressed
					e.At += 3 * time.Millisecond
				}
				if err := w.Append(e); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpu()-before).Seconds()/(float64(b.N)*32/1024/1024), "CPU-s/GB")
		})
	}
}

// cpu is the time that this process had on the processors.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFlush appends and flushes small pieces: an echoed key, a prompt, a line, a page.
func BenchmarkFlush(b *testing.B) {
	text := prose(rand.New(rand.NewPCG(1, 2)), 1<<20)
	for _, size := range []int{1, 40, 120, 150, 300, 2000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			sink := &counting{}
			w, err := recording.NewWriter(sink, recording.Header{Session: session()}, []recording.Recipient{newKey(b).Recipient()}, newSigner(1))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			n, at := sink.n, 0
			for b.Loop() {
				if at += size; at+size > len(text) {
					at = 0
				}
				if err := errors.Join(w.Append(recording.Entry{Kind: recording.Output, Data: text[at : at+size]}), w.Flush()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(sink.n-n)/float64(b.N), "B/frame")
		})
	}
}

type counting struct{ n int }

func (c *counting) Write(p []byte) (int, error) { c.n += len(p); return len(p), nil }
func (c *counting) Sync() error                 { return nil }

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

// BenchmarkRead opens a recording of 16 MiB of text; B/s are those of what it holds.
func BenchmarkRead(b *testing.B) {
	key := newKey(b)
	w, f := newWriter(b, key)
	text := prose(rand.New(rand.NewPCG(1, 2)), 16<<20)
	if err := w.Append(recording.Entry{Kind: recording.Output, Data: text}); err != nil {
		b.Fatal(err)
	}
	if _, err := w.Close(recording.EndDone, 0); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(text)))
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
