package recording_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sekisho/sekisho/recording"
)

// prose is text as programs print it, never twice the same.
func prose(random *rand.Rand, size int) []byte {
	var b []byte
	for len(b) < size {
		b = fmt.Appendf(b, "drwxr-xr-x %d root root %8d Nov %2d 11:%02d /usr/share/doc/lib%x\r\n",
			random.IntN(9), random.IntN(1<<20), random.IntN(30), random.IntN(60), random.IntN(1<<16))
	}
	return b[:size]
}

func noise(random *rand.Rand, size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// Whatever is written comes back, of any size and kind, over the borders of frames and segments.
func TestPressedFrames(t *testing.T) {
	key := newKey(t)
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 3))
		w, f := newWriter(t, key)
		var want []recording.Entry
		plain := 0
		for range 60 {
			size := random.IntN(1 << random.IntN(17))
			data := [][]byte{prose(random, size), noise(random, size), make([]byte, size)}[random.IntN(3)]
			data = data[:min(len(data), recording.MaxData)]
			e := recording.Entry{Kind: recording.Output, Channel: uint32(random.IntN(3)), Data: data}
			err := w.Append(e)
			switch random.IntN(8) {
			case 0, 1, 2, 3:
				err = errors.Join(err, w.Flush())
			case 4:
				_, cut := w.Cut()
				err = errors.Join(err, cut)
			}
			if err != nil {
				t.Fatal(err)
			}
			want, plain = append(want, e), plain+size
		}
		if _, err := w.Close(recording.EndDone, 0); err != nil {
			t.Fatal(err)
		}
		got, err := read(f.Bytes(), key)
		if !errors.Is(err, io.EOF) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if d := cmp.Diff(merge(want), merge(got), cmp.Comparer(bytes.Equal)); d != "" {
			t.Fatalf("seed %d: (-want +got)\n%s", seed, d)
		}
		if held := recording.Dictionary(w); held > 8<<10 {
			t.Errorf("seed %d: the writer keeps %d bytes", seed, held)
		}
	}
}

func TestTextShrinks(t *testing.T) {
	key := newKey(t)
	random := rand.New(rand.NewPCG(1, 1))
	for name, c := range map[string]struct {
		data []byte
		most float64
	}{
		"text":  {prose(random, 1<<20), 0.45},
		"zeros": {make([]byte, 1<<20), 0.02},
		"noise": {noise(random, 1<<20), 1.004},
	} {
		data, _ := write(t, key, out(string(c.data)))
		if ratio := float64(len(data)) / float64(len(c.data)); ratio > c.most {
			t.Errorf("%s takes %.3f of its size", name, ratio)
		}
	}
	line := strings.Repeat("root@web1:~# ls -l /srv\r\n", 4)
	w, f := newWriter(t, key)
	for n := range 20 {
		before := f.Len()
		if err := errors.Join(w.Append(*out(line)), w.Flush()); err != nil {
			t.Fatal(err)
		}
		if took := f.Len() - before; n > 0 && took > len(line)/2 {
			t.Errorf("line %d of %d bytes takes %d", n, len(line), took)
		}
	}
}

// Bulk is stored once much was compressed at once, unless it shrinks to next to nothing; it is compressed again when
// time has passed.
func TestBulkStaysFast(t *testing.T) {
	w, err := recording.NewWriter(discard{io.Discard}, recording.Header{Session: session()}, []recording.Recipient{newKey(t).Recipient()}, newSigner(1))
	if err != nil {
		t.Fatal(err)
	}
	text := prose(rand.New(rand.NewPCG(1, 1)), 8<<20)
	ratio := func(at time.Duration, data []byte) float64 {
		t.Helper()
		before := w.Segment().Bytes
		if err := errors.Join(w.Append(recording.Entry{Kind: recording.Output, At: at, Data: data}), w.Flush()); err != nil {
			t.Fatal(err)
		}
		return float64(w.Segment().Bytes-before) / float64(len(data))
	}
	for i := range 3 {
		if r := ratio(0, text); r > 0.5 {
			t.Errorf("%d MiB at once: %.2f of their size", 8*(i+1), r)
		}
	}
	ratio(0, text)
	if r := ratio(0, text); r < 1 {
		t.Errorf("40 MiB at once: %.2f of their size", r)
	}
	if r := ratio(time.Second, text); r > 0.5 {
		t.Errorf("a second later: %.2f of their size", r)
	}
	ratio(time.Second, text)
	ratio(time.Hour, make([]byte, 20<<20))
	if r := ratio(time.Hour, make([]byte, 20<<20)); r > 0.05 {
		t.Errorf("40 MiB of zeros at once: %.2f of their size", r)
	}
}

// What the writer compresses, other people's inflaters read: with a dictionary, or with none and the dictionary in
// front as FORMAT.md says.
func TestOthersUnfold(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	shrunk := 0
	for range 400 {
		size := 40 + random.IntN(1<<(6+random.IntN(10)))
		all := prose(random, size+8192)
		if random.IntN(4) == 0 {
			all = bytes.Repeat(noise(random, 1+random.IntN(300)), 100_000)[:size+8192]
		}
		past, plain := all[random.IntN(8193):8192], all[8192:]
		pressed := recording.Shrink(plain, past)
		if pressed == nil {
			continue
		}
		shrunk++
		in := bytes.NewReader(pressed)
		got, err := io.ReadAll(flate.NewReaderDict(in, past))
		if err != nil || !bytes.Equal(got, plain) || in.Len() > 0 {
			t.Fatalf("%d bytes after %d: %v, %d bytes left", size, len(past), err, in.Len())
		}
		n := len(past)
		stored := append([]byte{0, byte(n), byte(n >> 8), byte(^n), byte(^n >> 8)}, past...)
		in = bytes.NewReader(append(stored, pressed...))
		got, err = io.ReadAll(flate.NewReader(in))
		if err != nil || !bytes.Equal(got[n:], plain) || in.Len() > 0 {
			t.Fatalf("%d bytes after a stored block of %d: %v, %d bytes left", size, n, err, in.Len())
		}
	}
	if shrunk < 300 {
		t.Errorf("%d of 400 shrink", shrunk)
	}
}

// The gateway itself may be the liar: what does not decompress to at most one frame's entries is refused.
func TestPressedFramesAreBounded(t *testing.T) {
	key := newKey(t)
	deflate := func(plain, dictionary []byte) []byte {
		var b bytes.Buffer
		z, err := flate.NewWriterDict(&b, 9, dictionary)
		if err != nil {
			t.Fatal(err)
		}
		z.Write(plain)
		z.Close()
		return b.Bytes()
	}
	note := append([]byte{byte(recording.Note), 0, 0, 100}, bytes.Repeat([]byte("n"), 100)...)
	long := func(size int) []byte {
		head := []byte{byte(recording.Output), 0, 0, 0, 0, 0}
		data := size - len(head)
		head[3], head[4], head[5] = byte(data)|0x80, byte(data>>7)|0x80, byte(data>>14)
		return append(head, make([]byte, data)...)
	}
	for name, c := range map[string]struct {
		raw  []byte
		good bool
	}{
		"as it should be":    {deflate(note, nil), true},
		"as long as can be":  {deflate(long(65503), nil), true},
		"a byte too long":    {deflate(long(65516), nil), false},
		"a bomb":             {deflate(make([]byte, 10<<20), nil), false},
		"cut off":            {deflate(note, nil)[:12], false},
		"a byte behind":      {append(deflate(note, nil), 0), false},
		"a stream behind":    {append(deflate(note, nil), deflate(note, nil)...), false},
		"no DEFLATE":         {[]byte("this is no DEFLATE at all"), false},
		"another dictionary": {deflate(note, note), false},
		"nothing":            {[]byte{1, 0, 0, 0xff, 0xff}, false},
		"before the past":    {[]byte{0x2b, 0x03, 0x12, 0x80, 0xff, 0x07}, false},
	} {
		w, f := newWriter(t, key)
		if _, err := w.Cut(); err != nil { // so that the dictionary is empty
			t.Fatal(err)
		}
		if err := recording.PressRaw(w, c.raw); err != nil {
			t.Fatal(err)
		}
		_, err := read(f.Bytes(), key)
		if got := errors.Is(err, recording.ErrCut) && !errors.Is(err, recording.ErrInvalid); got != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzPressed: a frame of any bytes that says it is compressed ends in entries or an error.
func FuzzPressed(f *testing.F) {
	key := newKey(f)
	f.Add([]byte{1, 0, 0, 0xff, 0xff})
	f.Add([]byte{0x2b, 0x03, 0x12, 0x80, 0xff, 0x07})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 4 || len(b) > 60_000 {
			return
		}
		w, out := newWriter(t, key)
		if err := recording.PressRaw(w, b); err != nil {
			t.Fatal(err)
		}
		got, err := read(out.Bytes(), key)
		if !errors.Is(err, recording.ErrCut) && !errors.Is(err, recording.ErrInvalid) {
			t.Error(err)
		}
		size := 0
		for _, e := range got {
			size += len(e.Data)
		}
		if size > recording.MaxFrame {
			t.Errorf("one frame gives %d bytes", size)
		}
	})
}
