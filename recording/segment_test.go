package recording_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// part is a segment with what it holds.
type part struct {
	recording.Segment
	entries []recording.Entry
}

// parts writes a recording of n segments, with a few frames in each.
func parts(t testing.TB, key *recording.PrivateKey, n int) (data []byte, all []part) {
	t.Helper()
	w, f := newWriter(t, key)
	random := rand.New(rand.NewPCG(uint64(n), 5))
	at := time.Duration(0)
	for i := range n {
		var p part
		for range 3 {
			at += time.Duration(random.IntN(1e9)) / 1000 * 1000
			e := recording.Entry{Kind: recording.Output, At: at, Data: prose(random, 50+random.IntN(500))}
			if err := errors.Join(w.Append(e), w.Flush()); err != nil {
				t.Fatal(err)
			}
			p.entries = append(p.entries, e)
		}
		if i < n-1 {
			s, err := w.Cut()
			if err != nil {
				t.Fatal(err)
			}
			p.Segment = s
		}
		all = append(all, p)
	}
	if _, err := w.Close(recording.EndDone, at); err != nil {
		t.Fatal(err)
	}
	all[n-1].Segment = w.Segment()
	return f.Bytes(), all
}

func manifest(t testing.TB, data []byte, all []part) recording.Manifest {
	t.Helper()
	e, err := recording.Intact(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	m := recording.Manifest{Session: e.Header.Session.ID, Header: e.Header.Hash, State: sekisho.RecordingClosed, Chain: e.Chain}
	for _, p := range all {
		m.Segments = append(m.Segments, p.Segment)
	}
	return m
}

func readAt(data []byte, s recording.Segment, key *recording.PrivateKey) (all []recording.Entry, h recording.Header, err error) {
	body := data[min(max(s.Offset, 0), int64(len(data))):]
	r, err := recording.NewReaderAt(bytes.NewReader(data), bytes.NewReader(body), s, key)
	if err != nil {
		return nil, h, err
	}
	for {
		e, err := r.Next()
		if err != nil {
			return all, r.Header(), err
		}
		e.Data = bytes.Clone(e.Data)
		all = append(all, e)
	}
}

func TestSegmentsJoin(t *testing.T) {
	key := newKey(t)
	data, all := parts(t, key, 5)
	offset, frame := int64(0), int64(0)
	for i, p := range all {
		if p.Index != i || p.Offset != offset || p.Frame != frame || p.Frames < 3 {
			t.Errorf("segment %d: %+v", i, p.Segment)
		}
		first := p.entries[0].At
		if i == 0 {
			first = 0 // the session's description
		}
		if p.First != first || p.Last != p.entries[2].At {
			t.Errorf("segment %d: from %s to %s", i, p.First, p.Last)
		}
		offset, frame = offset+p.Bytes, frame+p.Frames
	}
	if offset != int64(len(data)) {
		t.Errorf("the segments have %d of %d bytes", offset, len(data))
	}
}

func TestReadFromEverySegment(t *testing.T) {
	key := newKey(t)
	data, all := parts(t, key, 5)
	for i := range all {
		var want []recording.Entry
		for _, p := range all[i:] {
			want = append(want, p.entries...)
		}
		for name, s := range map[string]recording.Segment{"whole": all[i].Segment, "beginning": all[i].Beginning()} {
			got, h, err := readAt(data, s, key)
			if !errors.Is(err, io.EOF) {
				t.Fatalf("segment %d, %s: %v", i, name, err)
			}
			if d := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); d != "" {
				t.Errorf("segment %d, %s (-want +got)\n%s", i, name, d)
			}
			if h.Session.Login != "root" {
				t.Errorf("segment %d: the session is not described", i)
			}
		}
		// With the header alone, and the segment alone.
		s := all[i].Segment
		header, _, _ := split(t, data)
		r, err := recording.NewReaderAt(bytes.NewReader(header), bytes.NewReader(data[s.Offset:s.Offset+s.Bytes]), s, key)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for err == nil {
			if _, err = r.Next(); err == nil {
				n++
			}
		}
		if n != 3 || i < 4 && !errors.Is(err, recording.ErrCut) || i == 4 && !errors.Is(err, io.EOF) {
			t.Errorf("segment %d alone: %d entries, %v", i, n, err)
		}
	}
}

// Whoever changes what the index says of a segment is found, by the reader and by Verify.
func TestWrongFacts(t *testing.T) {
	key := newKey(t)
	data, all := parts(t, key, 4)
	for name, change := range map[string]func(s *recording.Segment){
		"index":             func(s *recording.Segment) { s.Index++ },
		"a byte later":      func(s *recording.Segment) { s.Offset++ },
		"a byte earlier":    func(s *recording.Segment) { s.Offset-- },
		"a frame later":     func(s *recording.Segment) { s.Frame++ },
		"a frame earlier":   func(s *recording.Segment) { s.Frame-- },
		"a byte more":       func(s *recording.Segment) { s.Bytes++ },
		"a frame less":      func(s *recording.Segment) { s.Frames-- },
		"another chain":     func(s *recording.Segment) { s.Chain = strings.Repeat("0", 64) },
		"no chain":          func(s *recording.Segment) { s.Chain = "" },
		"begins later":      func(s *recording.Segment) { s.First += time.Microsecond },
		"ends later":        func(s *recording.Segment) { s.Last += time.Microsecond },
		"endless":           func(s *recording.Segment) { s.Bytes = 1<<63 - 1 },
		"before everything": func(s *recording.Segment) { s.Offset = -1 },
		"another segment's": func(s *recording.Segment) { s.Offset, s.Bytes = all[1].Offset, all[1].Bytes },
	} {
		for i := range all {
			if i == 1 && strings.HasPrefix(name, "another segment") {
				continue
			}
			s := all[i].Segment
			change(&s)
			_, _, err := readAt(data, s, key)
			if name == "index" && i > 0 {
				err = recording.ErrInvalid // an index proves nothing of itself; the manifest's check below finds it
			}
			if !errors.Is(err, recording.ErrInvalid) && !(errors.Is(err, recording.ErrCut) && s.Offset != all[i].Offset) {
				t.Errorf("segment %d, %s: the reader says %v", i, name, err) // lengths read in the wrong place may reach beyond the end
			}
			m := manifest(t, data, all)
			m.Segments[i] = s
			_, err = recording.Verify(bytes.NewReader(data), recording.VerifyOptions{Key: key, Manifest: &m})
			if !errors.Is(err, recording.ErrInvalid) {
				t.Errorf("segment %d, %s: Verify says %v", i, name, err)
			}
		}
	}
}

func TestVerifyManifest(t *testing.T) {
	key := newKey(t)
	data, all := parts(t, key, 4)
	other, others := parts(t, key, 4)
	for _, k := range []*recording.PrivateKey{nil, key} {
		m := manifest(t, data, all)
		report, err := recording.Verify(bytes.NewReader(data), recording.VerifyOptions{Key: k, Manifest: &m})
		if err != nil || report.Segments != 4 {
			t.Errorf("its own manifest: %d segments, %v", report.Segments, err)
		}
		foreign := manifest(t, other, others)
		short := m
		short.Segments = m.Segments[:3]
		open := short
		open.State, open.Chain = sekisho.RecordingOpen, ""
		for name, c := range map[string]struct {
			m    recording.Manifest
			good bool
		}{"another's": {foreign, false}, "one segment less": {short, false}, "from before": {open, true}} {
			_, err := recording.Verify(bytes.NewReader(data), recording.VerifyOptions{Key: k, Manifest: &c.m})
			if (err == nil) != c.good {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestCut(t *testing.T) {
	key := newKey(t)
	w, f := newWriter(t, key)
	first, err := w.Cut()
	if err != nil || first.Index != 0 || first.Frames != 1 || first.Bytes != int64(f.Len()) || first.Chain != w.HeaderHash() {
		t.Errorf("the first segment: %+v, %v", first, err)
	}
	empty, err := w.Cut()
	if err != nil || empty.Index != 1 || empty.Frames != 0 || empty.Bytes != 0 || empty.Offset != first.Bytes || empty != w.Segment() {
		t.Errorf("an empty segment: %+v, %v", empty, err)
	}
	if _, err := w.Close(recording.EndDone, 0); err != nil {
		t.Fatal(err)
	}
	last := w.Segment()
	if last.Index != 1 || last.Frames != 1 || last.Offset+last.Bytes != int64(f.Len()) {
		t.Errorf("the last segment: %+v", last)
	}
	if _, err := w.Cut(); err == nil {
		t.Error("Cut after Close: accepted")
	}
	if _, _, err := readAt(f.Bytes(), last, key); !errors.Is(err, io.EOF) {
		t.Errorf("a segment with the end alone: %v", err)
	}
	if _, err := recording.Verify(bytes.NewReader(f.Bytes()), recording.VerifyOptions{Key: key}); err != nil {
		t.Error(err)
	}
}

func TestIntact(t *testing.T) {
	key := newKey(t)
	data, all := parts(t, key, 3)
	header, frames, end := split(t, data)
	for n := range len(data) + 1 {
		e, err := recording.Intact(bytes.NewReader(data[:n]))
		if n < len(header) {
			if !errors.Is(err, recording.ErrCut) {
				t.Fatalf("%d bytes: %v", n, err)
			}
			continue
		}
		whole, size := 0, len(header)
		for _, f := range frames {
			if size+len(f) > n {
				break
			}
			whole, size = whole+1, size+len(f)
		}
		complete := n == len(data)
		if complete {
			size += len(end)
		}
		if err != nil || int(e.Frames) != whole || int(e.Bytes) != size || e.Complete != complete || (e.Torn != nil) != (n > size) {
			t.Fatalf("%d bytes: %+v, %v; want %d frames, %d bytes", n, e, err, whole, size)
		}
		if e.Frames > 0 {
			s := all[e.Segment.Index]
			if e.Segment.Offset != s.Offset || e.Segment.Frame != s.Frame || e.Segment.Chain != s.Chain || e.Segment.Offset+e.Segment.Bytes != e.Bytes {
				t.Fatalf("%d bytes: segment %+v of %+v", n, e.Segment, s.Segment)
			}
		}
		for name, tail := range map[string][]byte{"zeros": make([]byte, 100), "text": bytes.Repeat([]byte("text"), 25)} {
			if n > size {
				break
			}
			torn, err := recording.Intact(bytes.NewReader(append(data[:n:n], tail...)))
			if err != nil || torn.Bytes != e.Bytes || torn.Chain != e.Chain || torn.Torn == nil || torn.Complete != complete {
				t.Fatalf("%d bytes and %s: %+v, %v", n, name, torn, err)
			}
		}
	}
	broken := errors.New("the disk is broken")
	if _, err := recording.Intact(io.MultiReader(bytes.NewReader(data[:len(header)+10]), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("a disk that fails: %v", err)
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// The log has how far a recording went that the gateway did not close: nobody can cut it further unseen.
func TestVerifyCut(t *testing.T) {
	key := newKey(t)
	data, _ := parts(t, key, 3)
	header, frames, _ := split(t, data)
	noted := join(header, frames[:6], nil)
	e, err := recording.Intact(bytes.NewReader(noted))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*recording.PrivateKey{nil, key} {
		opts := recording.VerifyOptions{Key: k, Cut: e.Chain}
		report, err := recording.Verify(bytes.NewReader(noted), opts)
		if !errors.Is(err, recording.ErrCut) || errors.Is(err, recording.ErrInvalid) || !report.Noted {
			t.Errorf("as it was noted: %v, noted %v", err, report.Noted)
		}
		for name, other := range map[string][]byte{"shorter": join(header, frames[:5], nil), "longer": join(header, frames[:7], nil), "closed": data} {
			report, err := recording.Verify(bytes.NewReader(other), opts)
			if !errors.Is(err, recording.ErrInvalid) || errors.Is(err, recording.ErrCut) || report.Noted {
				t.Errorf("%s: %v, noted %v", name, err, report.Noted)
			}
		}
	}
}

func FuzzManifest(f *testing.F) {
	data, all := parts(f, newKey(f), 3)
	m := manifest(f, data, all)
	text, err := m.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	m.State, m.Chain, m.Segments = sekisho.RecordingOpen, "", nil
	text, _ = m.Encode()
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := recording.ParseManifest(b)
		if err != nil {
			if !errors.Is(err, recording.ErrInvalid) {
				t.Error(err)
			}
			return
		}
		if again, err := m.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q parses, but encodes to %q (%v)", b, again, err)
		}
	})
}

func TestManifest(t *testing.T) {
	data, all := parts(t, newKey(t), 4)
	m := manifest(t, data, all)
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := recording.ParseManifest(text)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, back); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	for name, at := range map[int]time.Duration{0: 0, 1: all[1].First, 2: all[2].First + 1, 3: time.Hour * 1000} {
		if s, ok := m.At(at); !ok || s.Index != name {
			t.Errorf("at %s: segment %d, not %d", at, s.Index, name)
		}
	}
	for name, change := range map[string]func(string) string{
		"a space":         func(s string) string { return " " + s },
		"no newline":      strings.TrimSpace,
		"two":             func(s string) string { return s + s },
		"unknown member":  func(s string) string { return strings.Replace(s, "{", `{"x":1,`, 1) },
		"a member twice":  func(s string) string { return strings.Replace(s, "{", `{"format":2,`, 1) },
		"capitals":        func(s string) string { return strings.Replace(s, `"session"`, `"Session"`, 1) },
		"another format":  func(s string) string { return strings.Replace(s, `"format":2`, `"format":3`, 1) },
		"another state":   func(s string) string { return strings.Replace(s, `"closed"`, `"open"`, 1) },
		"missing segment": func(s string) string { return strings.Replace(s, `{"index":1`, `{"index":7`, 1) },
		"no JSON":         func(string) string { return "segments" },
	} {
		if _, err := recording.ParseManifest([]byte(change(string(text)))); !errors.Is(err, recording.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
