package spool_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/blob"
	"github.com/sekisho/sekisho/store/spool"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_CHILD"); dir != "" {
		child(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// header is the clear part of a recording, as far as the spool looks at it.
func header() []byte {
	h := append([]byte("sekisho\x00\x00\x02\x00\x00"), 0, 0, 0, 200)
	return append(h, noise(200+64)...)
}

// frame has n bytes in all.
func frame(n int, flags byte) []byte {
	f := binary.BigEndian.AppendUint32(nil, uint32(n-5))
	return append(append(f, flags), noise(n-5)...)
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	if n > 0 {
		b[n-1] |= 1
	}
	return b
}

type house struct {
	*spool.Spool
	t     *testing.T
	dir   string
	blobs *blob.Folder
}

// config is small and quick; files of the journal turn over often.
func config(t *testing.T, dir string) (spool.Config, *blob.Folder) {
	t.Helper()
	blobs, err := blob.Open(filepath.Join(dir, "recordings"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	return spool.Config{Dir: filepath.Join(dir, "spool"), Blobs: blobs, JournalBytes: 256 << 10, Retry: time.Millisecond}, blobs
}

func open(t *testing.T, dir string, change ...func(*spool.Config)) *house {
	t.Helper()
	cfg, blobs := config(t, dir)
	for _, c := range change {
		c(&cfg)
	}
	s, err := spool.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Spool: s, t: t, dir: dir, blobs: blobs}
	t.Cleanup(h.close)
	return h
}

func (h *house) close() {
	if h.Spool != nil {
		if err := h.Spool.Close(); err != nil {
			h.t.Error(err)
		}
	}
	h.Spool = nil
}

func (h *house) create() (string, *spool.File) {
	h.t.Helper()
	session := sekisho.NewID("ses")
	f, err := h.Create(session)
	if err != nil {
		h.t.Fatal(err)
	}
	return session, f
}

func write(t *testing.T, f *spool.File, parts ...[]byte) {
	t.Helper()
	for _, p := range parts {
		if _, err := f.Write(p); err != nil {
			t.Fatal(err)
		}
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) read(session string) []byte {
	h.t.Helper()
	r, size, err := h.Reader(context.Background(), session)
	ok(h.t, err)
	defer r.Close()
	got, err := io.ReadAll(r)
	ok(h.t, err)
	if size != int64(len(got)) {
		h.t.Errorf("told to be %d bytes, and is %d", size, len(got))
	}
	return got
}

// idle waits until all that is closed is stored.
func (h *house) idle() {
	h.t.Helper()
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		left, _ := filepath.Glob(filepath.Join(h.dir, "spool", "segments", "*.closed"))
		if st := h.Stats(); st.Waiting == 0 && !st.StoreDown && len(left) == 0 {
			return
		}
		if time.Since(begun) > 30*time.Second {
			h.t.Fatalf("not stored after 30 s: %+v", h.Stats())
		}
	}
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: %d bytes, not the %d that were written", what, len(got), len(want))
	}
}

// A recording is written in segments, read while it is written, stored, removed, and read from the store.
func TestLife(t *testing.T) {
	h := open(t, t.TempDir())
	session, f := h.create()
	var all []byte
	add := func(p []byte) {
		write(t, f, p)
		all = append(all, p...)
	}
	add(append(header(), frame(100, 0)...))
	for segment := range 3 {
		for _, n := range []int{50, 16 << 10, 60 << 10, 70, 100_000, 40, 65} {
			add(frame(n, 0))
			if n == 65 || n == 100_000 {
				continue
			}
			ok(t, f.Sync())
			same(t, "while it is written", h.read(session), all)
		}
		ok(t, f.Sync())
		if segment < 2 {
			ok(t, f.Cut(fmt.Appendf(nil, `{"segments":%d}`, segment+1)))
			same(t, "when it was cut", h.read(session), all)
		}
	}
	if n, size := f.Segment(); n != 2 || size == 0 {
		t.Errorf("segment %d of %d bytes", n, size)
	}
	ok(t, f.Close([]byte(`{"segments":3,"state":"closed"}`)))
	same(t, "when it was closed", h.read(session), all)
	h.idle()
	same(t, "from the store", h.read(session), all)
	left, _ := filepath.Glob(filepath.Join(h.dir, "spool", "segments", "*"))
	if len(left) != 0 || h.Stats().Bytes != 0 {
		t.Errorf("left in the spool: %q, %d bytes", left, h.Stats().Bytes)
	}
	objects, err := h.blobs.List(context.Background(), session+"/")
	ok(t, err)
	var names []string
	for _, o := range objects {
		names = append(names, o.Name)
	}
	want := []string{blob.Segment(session, 0), blob.Segment(session, 1), blob.Segment(session, 2), blob.Manifest(session)}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("stored %q", names)
	}
	if text, _ := os.ReadFile(filepath.Join(h.dir, "recordings", blob.Manifest(session))); string(text) != `{"segments":3,"state":"closed"}` {
		t.Errorf("manifest %q", text)
	}
	h.close()
	again := open(t, h.dir)
	same(t, "after a restart", again.read(session), all)
	if left := again.Left(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

func TestNothing(t *testing.T) {
	h := open(t, t.TempDir())
	if _, _, err := h.Reader(context.Background(), sekisho.NewID("ses")); !errors.Is(err, sekisho.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	session, f := h.create()
	if _, err := h.Create(session); err == nil {
		t.Error("made twice")
	}
	for _, name := range []string{"", "../x", "ses_", sekisho.NewID("sin")} {
		if _, err := h.Create(name); err == nil {
			t.Errorf("made %q", name)
		}
	}
	ok(t, f.Discard())
	if left, _ := filepath.Glob(filepath.Join(h.dir, "spool", "segments", "*")); len(left) != 0 {
		t.Errorf("a refused recording leaves %q", left)
	}
	if _, _, err := h.Reader(context.Background(), session); !errors.Is(err, sekisho.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if _, err := f.Write([]byte("x")); !errors.Is(err, spool.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

// Many sessions that sync at once share their syncs.
func TestGroupCommit(t *testing.T) {
	const sessions, frames = 100, 20
	h := open(t, t.TempDir(), func(c *spool.Config) { c.JournalBytes = 16 << 20 })
	files := make([]*spool.File, sessions)
	for i := range files {
		_, files[i] = h.create()
	}
	before := h.Stats()
	var work sync.WaitGroup
	for _, f := range files {
		work.Go(func() {
			for range frames {
				if _, err := f.Write(frame(200, 0)); err != nil {
					t.Error(err)
				}
				if err := f.Sync(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	after := h.Stats()
	if syncs := after.Syncs - before.Syncs; syncs > sessions*frames/5 {
		t.Errorf("%d syncs for %d", syncs, sessions*frames)
	}
	if after.Batches == before.Batches {
		t.Error("nothing went into the journal")
	}
	for _, f := range files {
		ok(t, f.Close(nil))
	}
}

// Whoever follows gets every byte once it is durable, none before, while segments move to the store underneath.
func TestFollow(t *testing.T) {
	h := open(t, t.TempDir())
	session, f := h.create()
	var followers sync.WaitGroup
	var want []byte
	first := append(header(), frame(300, 0)...)
	write(t, f, first)
	want = append(want, first...)
	ok(t, f.Sync())
	type result struct {
		offset int64
		got    []byte
	}
	results := make(chan result, 8)
	for _, offset := range []int64{0, 1, 500, int64(len(first)), 100_000, 1 << 30} {
		followers.Go(func() {
			r, _, err := h.Follow(context.Background(), session, offset)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			if err != nil {
				t.Errorf("from %d on: %v", offset, err)
			}
			results <- result{offset, got}
		})
	}
	for i := range 200 {
		p := frame(100+i*137%20_000, 0)
		write(t, f, p)
		want = append(want, p...)
		if i%3 == 0 {
			ok(t, f.Sync())
		}
		if i%20 == 19 {
			ok(t, f.Cut([]byte("{}")))
		}
	}
	ok(t, f.Close([]byte("{}")))
	followers.Wait()
	close(results)
	for r := range results {
		same(t, fmt.Sprint("from ", r.offset), r.got, want[min(r.offset, int64(len(want))):])
	}
}

// Who follows a recording that cannot go on reads what there is of it, and then hears why there is no more.
func TestFollowFails(t *testing.T) {
	full := false
	h := open(t, t.TempDir(), func(c *spool.Config) {
		c.SetDisk(func(f *os.File, p []byte, at int64) (int, error) {
			if full {
				return 0, syscall.ENOSPC
			}
			return f.WriteAt(p, at)
		}, nil, nil)
	})
	session, f := h.create()
	all := append(header(), frame(300, 0)...)
	write(t, f, all)
	ok(t, f.Sync())
	r, _, err := h.Follow(context.Background(), session, 0)
	ok(t, err)
	defer r.Close()
	full = true
	if _, err := f.Write(frame(300, 0)); !errors.Is(err, spool.ErrFull) {
		t.Fatalf("written with %v", err)
	}
	got, err := io.ReadAll(r)
	if !bytes.Equal(got, all) || !errors.Is(err, spool.ErrFull) {
		t.Errorf("%d of %d bytes, then %v", len(got), len(all), err)
	}
	ok(t, f.Close(nil))
}

func TestFollowEnds(t *testing.T) {
	h := open(t, t.TempDir())
	session, f := h.create()
	write(t, f, append(header(), frame(300, 0)...))
	r, _, err := h.Follow(context.Background(), session, 0)
	ok(t, err)
	got := make(chan int, 1)
	go func() {
		n, _ := r.Read(make([]byte, 1000))
		got <- n
	}()
	select {
	case n := <-got:
		t.Fatalf("%d bytes that are not durable", n)
	case <-time.After(20 * time.Millisecond):
	}
	ok(t, f.Sync())
	if n := <-got; n == 0 {
		t.Fatal("nothing after a sync")
	}
	ctx, cancel := context.WithCancel(context.Background())
	r2, _, err := h.Follow(ctx, session, 584)
	ok(t, err)
	time.AfterFunc(10*time.Millisecond, cancel)
	if _, err := r2.Read(make([]byte, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	ok(t, errors.Join(r.Close(), r2.Close(), f.Close(nil)))
}

// While the store is gone everything stays here, and goes there when it is back.
func TestStoreGone(t *testing.T) {
	store := &moody{gone: true}
	h := open(t, t.TempDir(), func(c *spool.Config) {
		store.Store = c.Blobs
		c.Blobs = store
	})
	session, f := h.create()
	var all []byte
	for range 5 {
		p := frame(30_000, 0)
		if all == nil {
			p = append(header(), p...)
		}
		write(t, f, p)
		all = append(all, p...)
		ok(t, f.Cut([]byte("{}")))
	}
	for h.Stats().UploadFailures < 3 {
		time.Sleep(time.Millisecond)
	}
	st := h.Stats()
	if !st.StoreDown || st.Waiting != 5 || st.Bytes != int64(len(all)) || st.LastError == "" {
		t.Errorf("%+v", st)
	}
	same(t, "while the store is gone", h.read(session), all)
	ok(t, f.Close([]byte("{}")))
	store.set(false)
	h.idle()
	same(t, "from the store", h.read(session), all)
	if st := h.Stats(); st.StoreDown || st.Bytes != 0 {
		t.Errorf("%+v", st)
	}
}

// moody is a store that can be away.
type moody struct {
	blob.Store
	mu   sync.Mutex
	gone bool
}

func (m *moody) set(gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = gone
}

func (m *moody) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return errors.New("gone fishing")
	}
	return m.Store.Put(ctx, name, r, size)
}

// A restart stores what waited.
func TestStoreLater(t *testing.T) {
	dir := t.TempDir()
	store := &moody{gone: true}
	h := open(t, dir, func(c *spool.Config) {
		store.Store = c.Blobs
		c.Blobs = store
	})
	session, f := h.create()
	all := append(header(), frame(30_000, 0)...)
	write(t, f, all)
	ok(t, f.Close([]byte(`{"state":"closed"}`)))
	h.close()
	h = open(t, dir)
	if left := h.Left(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
	h.idle()
	same(t, "from the store", h.read(session), all)
}
