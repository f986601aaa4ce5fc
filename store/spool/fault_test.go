package spool_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sekisho/sekisho/store/spool"
)

// The spool's limit: sessions hear that the store takes nothing; what they wrote is kept and read.
func TestLimit(t *testing.T) {
	store := &moody{gone: true}
	h := open(t, t.TempDir(), func(c *spool.Config) {
		c.MaxBytes = 100_000
		store.Store = c.Blobs
		c.Blobs = store
	})
	session, f := h.create()
	all := append(header(), frame(90_000, 0)...)
	write(t, f, all)
	ok(t, f.Sync())
	if _, err := f.Write(frame(20_000, 0)); !errors.Is(err, spool.ErrStore) {
		t.Fatalf("beyond the limit: %v", err)
	}
	if err := f.Sync(); !errors.Is(err, spool.ErrStore) {
		t.Errorf("afterwards: %v", err)
	}
	ok(t, f.Close([]byte("{}")))
	same(t, "what was written before", h.read(session), all)
	_, g := h.create()
	write(t, g, append(header(), frame(9_000, 0)...))
	if _, err := g.Write(frame(2_000, 0)); !errors.Is(err, spool.ErrStore) {
		t.Fatalf("beyond the limit: %v", err)
	}
	store.set(false)
	ok(t, g.Close([]byte("{}")))
	h.idle()
	if _, err := h.Create("ses_aaaaaaaaaaaaaaaaaaaaaaaaaa"); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

func TestLimitRefuses(t *testing.T) {
	store := &moody{gone: true}
	h := open(t, t.TempDir(), func(c *spool.Config) {
		c.MaxBytes = 10_000
		store.Store = c.Blobs
		c.Blobs = store
	})
	_, f := h.create()
	write(t, f, frame(10_000, 0))
	if _, err := h.Create("ses_aaaaaaaaaaaaaaaaaaaaaaaaaa"); !errors.Is(err, spool.ErrStore) {
		t.Errorf("error %v", err)
	}
	ok(t, f.Close(nil))
}

func TestMinFree(t *testing.T) {
	room := int64(1000)
	h := open(t, t.TempDir(), func(c *spool.Config) {
		c.MinFree = 1000
		c.SetDisk(nil, nil, func(string) (int64, error) { return room, nil })
	})
	_, f := h.create()
	room = 999
	if _, err := h.Create("ses_aaaaaaaaaaaaaaaaaaaaaaaaaa"); !errors.Is(err, spool.ErrFull) {
		t.Errorf("error %v", err)
	}
	write(t, f, append(header(), frame(100, 0)...)) // who is inside goes on
	ok(t, f.Sync())
	ok(t, f.Close(nil))
}

// hangTime is long enough for a real disk that others keep busy, where a test waits for one that never answers.
const hangTime = 3 * time.Second

// faults makes a disk fail.
type faults struct {
	write, sync atomic.Pointer[func(*os.File) error]
}

func (d *faults) into(c *spool.Config) {
	c.SetDisk(func(f *os.File, p []byte, at int64) (int, error) {
		if hook := d.write.Load(); hook != nil {
			if err := (*hook)(f); err != nil {
				n, _ := f.WriteAt(p[:len(p)/2], at) // half of it may get there
				return n, &os.PathError{Op: "write", Path: f.Name(), Err: err}
			}
		}
		return f.WriteAt(p, at)
	}, func(f *os.File) error {
		if hook := d.sync.Load(); hook != nil {
			if err := (*hook)(f); err != nil {
				return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
			}
		}
		return spool.Datasync(f)
	}, nil)
}

func on(what string, err error) *func(*os.File) error {
	hook := func(f *os.File) error {
		if strings.Contains(f.Name(), what) {
			return err
		}
		return nil
	}
	return &hook
}

// The disk fills while a session writes: it fails, the frame that did not fit is not there, all before is.
func TestDiskFull(t *testing.T) {
	for name, size := range map[string]int{"small": 500, "large": 60_000} {
		t.Run(name, func(t *testing.T) {
			var d faults
			h := open(t, t.TempDir(), d.into)
			session, f := h.create()
			all := append(header(), frame(500, 0)...)
			write(t, f, all)
			ok(t, f.Sync())
			d.write.Store(on(".seg", syscall.ENOSPC))
			if _, err := f.Write(frame(size, 0)); !errors.Is(err, spool.ErrFull) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("error %v", err)
			}
			if err := f.Sync(); !errors.Is(err, spool.ErrFull) {
				t.Errorf("a sync afterwards: %v", err)
			}
			ok(t, f.Close([]byte("{}")))
			same(t, "what was before", h.read(session), all)
			h.idle()
			same(t, "in the store", h.read(session), all)
		})
	}
}

// A sync of the journal that failed is never believed afterwards: those who waited fail, others go on in a new file.
func TestSyncFails(t *testing.T) {
	var d faults
	h := open(t, t.TempDir(), d.into)
	bystander, other := h.create()
	calm := append(header(), frame(300, 0)...)
	write(t, other, calm)
	ok(t, other.Sync())
	before, _ := filepath.Glob(filepath.Join(h.dir, "spool", "journal", "*"))
	session, f := h.create()
	all := append(header(), frame(500, 0)...)
	write(t, f, all)
	ok(t, f.Sync())
	d.sync.Store(on(".log", syscall.EIO))
	write(t, f, frame(100, 0))
	if err := f.Sync(); !errors.Is(err, spool.ErrDisk) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("error %v", err)
	}
	d.sync.Store(nil)
	if err := f.Sync(); !errors.Is(err, spool.ErrDisk) {
		t.Errorf("a sync afterwards is believed: %v", err)
	}
	if durable, _ := h.Durable(session); durable != int64(len(all)) {
		t.Errorf("%d bytes are said to be durable, %d are", durable, len(all))
	}
	more := frame(200, 0)
	write(t, other, more)
	ok(t, other.Sync())
	same(t, "of the other session", h.read(bystander), append(calm, more...))
	after, _ := filepath.Glob(filepath.Join(h.dir, "spool", "journal", "*"))
	if len(after) == 1 && after[0] == before[0] {
		t.Error("the journal whose sync failed is written again")
	}
	ok(t, errors.Join(f.Close([]byte("{}")), other.Close([]byte("{}"))))
}

// A segment whose sync failed is not stored as if it were good; the next start looks at what the disk has.
func TestFileSyncFails(t *testing.T) {
	dir := t.TempDir()
	var d faults
	h := open(t, dir, d.into)
	session, f := h.create()
	all := append(header(), frame(500, 0)...)
	write(t, f, all)
	ok(t, f.Sync())
	d.sync.Store(on(".seg", syscall.EIO))
	write(t, f, frame(50_000, 0))
	if err := f.Sync(); !errors.Is(err, spool.ErrDisk) {
		t.Fatalf("error %v", err)
	}
	d.sync.Store(nil)
	if err := f.Close([]byte("{}")); !errors.Is(err, spool.ErrDisk) {
		t.Fatalf("closed with %v", err)
	}
	if objects, _ := h.blobs.List(context.Background(), ""); len(objects) != 0 {
		t.Errorf("stored %v", objects)
	}
	h.close()
	h = open(t, dir)
	if left := h.Left(); len(left) != 1 || left[0].Session != session || left[0].Whole.Frames < 1 {
		t.Fatalf("left: %+v", left)
	}
	if got := h.read(session); !bytes.HasPrefix(got, all) {
		t.Error("what was durable is gone")
	}
}

// A disk that does not answer fails who waits, in time, and holds up nobody else.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	var d faults
	h := open(t, t.TempDir(), d.into, func(c *spool.Config) { c.SyncTimeout = hangTime })
	_, f := h.create()
	_, g := h.create()
	write(t, f, append(header(), frame(500, 0)...))
	ok(t, f.Sync())
	release, back := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	hang := func(file *os.File) error {
		if strings.HasSuffix(file.Name(), ".log") && !once.Swap(true) {
			<-release
			close(back)
		}
		return nil
	}
	d.sync.Store(&hang)
	write(t, f, frame(100, 0))
	if err := f.Sync(); !errors.Is(err, spool.ErrSlow) {
		t.Fatalf("error %v", err)
	}
	if st := h.Stats(); st.Stuck != 1 {
		t.Errorf("%d stuck", st.Stuck)
	}
	write(t, g, append(header(), frame(500, 0)...)) // a new file of the journal works
	ok(t, g.Sync())
	close(release)
	<-back
	write(t, g, frame(100, 0))
	ok(t, g.Sync())
	ok(t, errors.Join(f.Close(nil), g.Close(nil)))
}

// When nothing comes back at all, the disk is asked no more.
func TestDeadDisk(t *testing.T) {
	t.Parallel()
	var d faults
	h := open(t, t.TempDir(), d.into, func(c *spool.Config) { c.SyncTimeout = hangTime })
	release := make(chan struct{})
	var files []*spool.File
	for range 20 {
		_, f := h.create()
		files = append(files, f)
		write(t, f, append(header(), frame(60_000, 0)...))
	}
	var asked atomic.Int64
	hang := func(*os.File) error {
		asked.Add(1)
		<-release
		return nil
	}
	d.sync.Store(&hang)
	for _, f := range files {
		if err := f.Sync(); !errors.Is(err, spool.ErrSlow) {
			t.Errorf("error %v", err)
		}
	}
	if n := asked.Load(); n > 5 {
		t.Errorf("%d are in the kernel", n)
	}
	if _, err := h.Create("ses_aaaaaaaaaaaaaaaaaaaaaaaaaa"); !errors.Is(err, spool.ErrSlow) {
		t.Errorf("one more: %v", err)
	}
	for _, f := range files {
		if err := f.Close(nil); err == nil {
			t.Error("closed")
		}
	}
	close(release)
	for h.Stats().Stuck > 0 {
		time.Sleep(time.Millisecond)
	}
}

// A real disk that is full: a file system of 1 MiB.
func TestRealDiskFull(t *testing.T) {
	dir := mounted(t, "size=1m")
	h := open(t, dir)
	session, f := h.create()
	all := append(header(), frame(500, 0)...)
	write(t, f, all)
	ok(t, f.Sync())
	for {
		p := frame(30_000, 0)
		_, err := f.Write(p)
		if err == nil {
			err = f.Sync()
		}
		if err == nil {
			all = append(all, p...)
			continue
		}
		if !errors.Is(err, spool.ErrFull) {
			t.Fatalf("error %v", err)
		}
		break
	}
	if len(all) < 300_000 {
		t.Errorf("full after %d bytes", len(all))
	}
	same(t, "what was durable", h.read(session), all)
	ok(t, f.Discard())
	if _, err := h.Create(session); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// A disk that turns read-only: sessions that are open fail, new ones are refused, what was written stays.
func TestReadOnlyDisk(t *testing.T) {
	dir := mounted(t, "size=8m")
	var d faults
	h := open(t, dir, d.into)
	session, f := h.create()
	all := append(header(), frame(500, 0)...)
	write(t, f, all)
	ok(t, f.Cut([]byte("{}")))
	h.idle()
	// A file that is open for writing keeps a file system from turning read-only, and the journal is: an error of the
	// device makes the kernel refuse what is written there.
	d.write.Store(on("", syscall.EROFS))
	if _, err := f.Write(frame(100, 0)); !errors.Is(err, spool.ErrDisk) || !errors.Is(err, syscall.EROFS) {
		t.Fatalf("error %v", err)
	}
	same(t, "what was durable", h.read(session), all)
	d.write.Store(nil)
	ok(t, f.Close([]byte("{}")))
	h.idle()
	h.close()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	cfg, _ := config(t, t.TempDir())
	cfg.Dir = filepath.Join(dir, "spool")
	if s, err := spool.Open(context.Background(), cfg); !errors.Is(err, syscall.EROFS) {
		t.Errorf("a spool on a disk that cannot be written: %v, %v", s, err)
	}
	ok(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=8m"))
}

// mounted gives a file system of its own, in memory.
func mounted(t *testing.T, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can mount a file system")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// A journal that turns over many times, with sessions that come and go, loses nothing.
func TestJournalTurnsOver(t *testing.T) {
	dir := t.TempDir()
	h := open(t, dir)
	var work sync.WaitGroup
	all := make([][]byte, 8)
	names := make([]string, len(all))
	for i := range all {
		session, f := h.create()
		names[i] = session
		work.Go(func() {
			p := header()
			for n := range 60 {
				p = append(p, frame(1000+n*200, 0)...)
				if _, err := f.Write(p); err != nil {
					t.Error(err)
				}
				if err := f.Sync(); err != nil {
					t.Error(err)
				}
				all[i] = append(all[i], p...)
				p = nil
			}
			if err := f.Close([]byte("{}")); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	h.idle()
	if n := h.Stats().JournalBytes; n > 8*256<<10 {
		t.Errorf("the journal has %d bytes", n)
	}
	for i, session := range names {
		same(t, session, h.read(session), all[i])
	}
	h.close()
	if left, _ := filepath.Glob(filepath.Join(dir, "spool", "journal", "*")); len(left) > 1 {
		t.Errorf("left of the journal: %q", left)
	}
}
