package recording_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

func TestHeaderIsDurableFirst(t *testing.T) {
	key := newKey(t)
	_, f := newWriter(t, key)
	if f.writes != 1 || f.durable != f.Len() || f.Len() == 0 {
		t.Errorf("after NewWriter: %d writes, %d of %d bytes durable", f.writes, f.durable, f.Len())
	}
	r, err := recording.NewReader(bytes.NewReader(f.Bytes()), key)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(session(), r.Header().Session); d != "" {
		t.Errorf("session (-want +got)\n%s", d)
	}
	if _, err := r.Next(); !errors.Is(err, recording.ErrCut) {
		t.Errorf("a recording that goes on: %v", err)
	}
}

func TestFlush(t *testing.T) {
	w, f := newWriter(t, newKey(t))
	f.writes, f.syncs = 0, 0
	for range 10 {
		if err := w.Append(*out("key")); err != nil {
			t.Fatal(err)
		}
	}
	if f.writes != 0 {
		t.Error("small entries are written one by one")
	}
	for range 2 {
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if f.writes != 1 || f.syncs != 2 || f.durable != f.Len() {
		t.Errorf("%d writes, %d syncs, %d of %d bytes durable", f.writes, f.syncs, f.durable, f.Len())
	}
}

func TestFramesAreBounded(t *testing.T) {
	key := newKey(t)
	big := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	data, _ := write(t, key, out(string(big)), out("tail"))
	_, frames, _ := split(t, data)
	for _, f := range frames {
		if len(f) > recording.MaxFrame {
			t.Errorf("a frame of %d bytes", len(f))
		}
	}
	got, err := read(data, key)
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	var text []byte
	for _, e := range got {
		text = append(text, e.Data...)
	}
	if !bytes.Equal(text, append(big, "tail"...)) {
		t.Error("a long output does not come back as it was")
	}
}

func TestRefusedEntries(t *testing.T) {
	w, _ := newWriter(t, newKey(t))
	long := make([]byte, recording.MaxData+1)
	for name, e := range map[string]recording.Entry{
		"kind 0":        {},
		"session's own": {Kind: 1},
		"end's own":     {Kind: 2},
		"unknown kind":  {Kind: 200},
		"before start":  {Kind: recording.Output, At: -1},
		"long command":  {Kind: recording.Exec, Data: long},
	} {
		if err := w.Append(e); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := w.Append(*out("still works")); err != nil {
		t.Error(err)
	}
	if _, err := w.Close("", 0); err == nil {
		t.Error("an end without a reason: accepted")
	}
	if _, err := w.Close(recording.EndDone, 0); err != nil {
		t.Error(err)
	}
	if err := w.Append(*out("too late")); err == nil {
		t.Error("Append after Close: accepted")
	}
	if _, err := w.Close(recording.EndDone, 0); err == nil {
		t.Error("Close after Close: accepted")
	}
}

func TestSinkThatFails(t *testing.T) {
	full := errors.New("disk full")
	w, f := newWriter(t, newKey(t))
	f.fail = full
	if err := w.Append(*out("x")); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); !errors.Is(err, full) {
		t.Errorf("Flush: %v", err)
	}
	f.fail = nil
	if err := w.Append(*out("y")); !errors.Is(err, full) {
		t.Errorf("Append after a failed write: %v", err)
	}
	if _, err := w.Close(recording.EndDone, 0); !errors.Is(err, full) {
		t.Errorf("Close after a failed write: %v", err)
	}
	f = &file{fail: full}
	_, err := recording.NewWriter(f, recording.Header{Session: session()}, []recording.Recipient{newKey(t).Recipient()}, newSigner(1))
	if !errors.Is(err, full) {
		t.Errorf("NewWriter: %v", err)
	}
}

func TestRefusedHeaders(t *testing.T) {
	to := newKey(t).Recipient()
	many := make([]recording.Recipient, recording.MaxRecipients+1)
	for i := range many { // of the kind that takes most room
		k, err := recording.GenerateKey(recording.MLKEM768P256, "")
		if err != nil {
			t.Fatal(err)
		}
		many[i] = k.Recipient()
	}
	for name, c := range map[string]struct {
		change     func(*sekisho.Session)
		recipients []recording.Recipient
	}{
		"no recipient":       {recipients: nil},
		"empty recipient":    {recipients: []recording.Recipient{{}}},
		"recipient twice":    {recipients: []recording.Recipient{to, to}},
		"too many":           {recipients: many},
		"no id":              {func(s *sekisho.Session) { s.ID = "" }, []recording.Recipient{to}},
		"id that is a path":  {func(s *sekisho.Session) { s.ID = "../x" }, []recording.Recipient{to}},
		"no start":           {func(s *sekisho.Session) { s.Started = time.Time{} }, []recording.Recipient{to}},
		"endless membership": {func(s *sekisho.Session) { s.Identity.Name = strings.Repeat("x", 1<<16) }, []recording.Recipient{to}},
	} {
		s := session()
		if c.change != nil {
			c.change(&s)
		}
		if _, err := recording.NewWriter(&file{}, recording.Header{Session: s}, c.recipients, newSigner(1)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	f := &file{}
	if _, err := recording.NewWriter(f, recording.Header{Session: session()}, many[:recording.MaxRecipients], newSigner(1)); err != nil {
		t.Error(err)
	}
	if f.Len() > recording.MaxHeader+recording.MaxFrame {
		t.Errorf("header and first frame take %d bytes", f.Len())
	}
}
