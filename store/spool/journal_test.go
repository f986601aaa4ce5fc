package spool_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/spool"
)

// A journal is played back up to where it is torn, wherever that is, and whatever stands there.
func FuzzJournal(f *testing.F) {
	session := "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	frames := [][]byte{append(header(), frame(60, 0)...), frame(90, 0), frame(50, 0)}
	whole := spool.Journal(frames, session)
	f.Add(whole)
	f.Add(whole[:len(whole)-1])
	f.Add([]byte("sekspool"))
	f.Fuzz(func(t *testing.T, journal []byte) {
		dir := t.TempDir()
		cfg, _ := config(t, dir)
		for _, part := range []string{"journal", "segments"} {
			ok(t, os.MkdirAll(filepath.Join(cfg.Dir, part), 0o700))
		}
		ok(t, os.WriteFile(filepath.Join(cfg.Dir, "journal", "x.log"), journal, 0o600))
		ok(t, os.WriteFile(filepath.Join(cfg.Dir, "segments", session+".000000.seg"), nil, 0o600))
		s, err := spool.Open(context.Background(), cfg)
		ok(t, err)
		ok(t, s.Close())
	})
}

// Every cut of the journal gives a prefix of the frames.
func TestJournalTorn(t *testing.T) {
	session := sekisho.NewID("ses")
	frames := [][]byte{append(header(), frame(60, 0)...), frame(90, 0), frame(50, 0)}
	whole, all := spool.Journal(frames, session), bytes.Join(frames, nil)
	for cut := len(whole); cut > 0; cut -= 7 {
		dir := t.TempDir()
		cfg, _ := config(t, dir)
		for _, part := range []string{"journal", "segments"} {
			ok(t, os.MkdirAll(filepath.Join(cfg.Dir, part), 0o700))
		}
		torn := bytes.Clone(whole)
		if cut < len(torn) {
			torn[cut] ^= 1
		}
		ok(t, os.WriteFile(filepath.Join(cfg.Dir, "journal", "x.log"), torn, 0o600))
		ok(t, os.WriteFile(filepath.Join(cfg.Dir, "segments", session+".000000.seg"), nil, 0o600))
		h := open(t, dir)
		got := h.read(session)
		left := h.Left()
		if !bytes.HasPrefix(all, got) || len(left) != 1 || left[0].Whole.Bytes != int64(len(got)) {
			t.Fatalf("cut at %d: %d bytes, %+v", cut, len(got), left)
		}
		if cut == len(whole) && len(got) != len(all) {
			t.Fatalf("%d bytes of a whole journal, want %d", len(got), len(all))
		}
		ok(t, h.Discard(session))
		h.close()
	}
}
