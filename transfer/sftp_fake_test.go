package transfer_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/transfer"
)

// fake is a server that answers every request, and whose REALPATH cleans paths without looking at links, as some
// servers' does. What has "new" in its name is not there; what has "link" is a link.
type fake struct {
	held     []byte
	opened   int
	answer   chan []byte
	realpath func(string) string // unless nil
}

// take takes what comes from the user's side.
func (f *fake) take(p []byte) {
	f.held = append(f.held, p...)
	for len(f.held) >= 9 && len(f.held) >= 4+int(binary.BigEndian.Uint32(f.held)) {
		n := 4 + int(binary.BigEndian.Uint32(f.held))
		f.answer <- f.reply(bytes.Clone(f.held[:n]))
		f.held = f.held[n:]
	}
}

func (f *fake) reply(p []byte) []byte {
	id := int(binary.BigEndian.Uint32(p[5:]))
	first := ""
	if len(p) >= 13 && int(binary.BigEndian.Uint32(p[9:])) <= len(p)-13 {
		first = string(p[13 : 13+int(binary.BigEndian.Uint32(p[9:]))])
	}
	switch p[4] {
	case pInit:
		return pkt(pVersion, 3, "hardlink@openssh.com", "1")
	case pOpen, pOpendir:
		f.opened++
		return pkt(pHandle, id, fmt.Sprint(f.opened))
	case pRead:
		return pkt(pData, id, big[:min(100, binary.BigEndian.Uint32(p[len(p)-4:]))])
	case pReaddir:
		return pkt(pName, id, 2, "a", "a", noAttrs, "b", "b", noAttrs)
	case pRealpath:
		switch {
		case f.realpath != nil:
			return name(id, f.realpath(first))
		case path.IsAbs(first):
			return name(id, path.Clean(first))
		}
		return name(id, path.Join("/home", first))
	case pReadlink:
		return name(id, "../elsewhere")
	case pStat, pLstat, pFstat:
		switch {
		case strings.Contains(path.Base(first), "new"):
			return status(id, sMissing, "")
		case strings.Contains(path.Base(first), "link"):
			return pkt(pAttrs, id, moded(9, 0o120777))
		}
		return pkt(pAttrs, id, moded(9, 0o100644))
	case pExtended:
		if strings.Contains(first, "copy") || strings.Contains(first, "rename") || strings.Contains(first, "link") || strings.Contains(first, "setstat") || strings.Contains(first, "fsync") {
			return ok(id)
		}
		return status(id, sUnsupported, "")
	}
	return ok(id)
}

// serve has a rig's target be a fake; stop ends it, and gives the first error of FromTarget.
func serve(r *rig, size int) (stop func() error) {
	f := &fake{answer: make(chan []byte, 10000)}
	return f.serve(r, size)
}

func (f *fake) serve(r *rig, size int) (stop func() error) {
	r.onTarget = f.take
	var failed error
	var done sync.WaitGroup
	done.Go(func() {
		for a := range f.answer {
			for len(a) > 0 && failed == nil {
				n := min(size, len(a))
				failed = r.FromTarget(a[:n])
				a = a[n:]
			}
		}
	})
	return func() error {
		close(f.answer)
		done.Wait()
		return failed
	}
}

// Where REALPATH may not follow links, each folder on the way is looked at.
func TestSFTPCleaningServer(t *testing.T) {
	for path, want := range map[string]int{
		"/srv/data/f":                          sOK,
		"/srv/data":                            sOK,
		"/srv/data/a/b/c":                      sOK,
		"/srv/data/new":                        sOK,
		"/srv/data/a/../f":                     sOK,
		"/srv/data/link":                       sDenied,
		"/srv/data/link/f":                     sDenied,
		"/srv/data/a/link/f":                   sDenied,
		"/srv/data/link/../f":                  sOK, // what is asked for is /srv/data/f, wherever the link leads
		"/srv/data/../f":                       sDenied,
		"/srv/data2/f":                         sDenied,
		"/home/link/../data/f":                 sDenied,
		"/srv/data/x/../../etc/f":              sDenied,
		"/srv/data" + strings.Repeat("/a", 65): sDenied, // too deep to look at
	} {
		r := newRig(limited(sekisho.FileLimit{Paths: []string{"/srv/data"}}))
		stop := serve(r, 1<<20)
		within(t, path, func() {
			for _, packet := range [][]byte{hello, pkt(pOpen, 1, path, oRead, noAttrs), pkt(pLstat, 2, path)} {
				if err := r.FromUser(packet); err != nil {
					t.Error(err)
				}
			}
		})
		if err := stop(); err != nil {
			t.Error(err)
		}
		asked, err := packets(r.toTarget.Bytes(), false)
		if err != nil {
			t.Fatal(err)
		}
		got := sDenied
		for _, p := range asked {
			if p[4] == pOpen {
				got = sOK
			}
		}
		if got != want {
			t.Errorf("OPEN of %s: %d, not %d", path, got, want)
		}
		if strings.HasSuffix(path, "/link") && r.told[len(r.told)-1].Name == "stat" {
			t.Errorf("LSTAT of %s was refused", path)
		}
		r.Close()
	}
}

// The user's requests wait for our questions, and go on in order; Close lets go of them.
func TestSFTPQuestionsWait(t *testing.T) {
	r := newRig(limited(sekisho.FileLimit{Paths: []string{"/data"}}))
	done := make(chan error, 1)
	go func() {
		done <- r.FromUser(bytes.Join([][]byte{hello, pkt(pOpen, 1, "/data/f", oRead, noAttrs), ext(2, "limits@openssh.com")}, nil))
	}()
	target := func(want []byte, answer []byte) {
		t.Helper()
		within(t, "the question", func() {
			for {
				r.mu.Lock()
				got := bytes.HasSuffix(r.toTarget.Bytes(), want)
				r.mu.Unlock()
				if got {
					return
				}
				time.Sleep(time.Millisecond)
			}
		})
		if err := r.FromTarget(answer); err != nil {
			t.Fatal(err)
		}
	}
	own := u32(0xffffffff)
	target(hello, welcome)
	target(pkt(pRealpath, own, "/data"), pkt(pName, own, 1, "/data", "", noAttrs))
	target(pkt(pRealpath, own-1, "/data/f"), pkt(pName, own-1, 1, "/data/g", "", noAttrs))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	want := bytes.Join([][]byte{pkt(pRealpath, own-1, "/data/f"), pkt(pOpen, 1, "/data/g", oRead, noAttrs), ext(2, "limits@openssh.com")}, nil)
	if !bytes.HasSuffix(r.toTarget.Bytes(), want) || !bytes.Equal(r.toUser.Bytes(), welcome) {
		t.Errorf("the target got %q", r.toTarget.Bytes())
	}
	go func() { done <- r.FromUser(pkt(pRemove, 3, "/data/f")) }()
	time.Sleep(5 * time.Millisecond)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	within(t, "FromUser", func() {
		if <-done == nil {
			t.Error("FromUser goes on after Close")
		}
	})
	if diff := cmp.Diff(1, len(r.told)); diff != "" || r.told[0].Name != "open" || r.told[0].Result != "unfinished" {
		t.Errorf("told %v", r.told)
	}
}

// Ids of our own questions are not those of requests that wait.
func TestSFTPOwnIDs(t *testing.T) {
	r := newRig(limited(sekisho.FileLimit{Paths: []string{"/data"}}))
	if err := r.run(append(join(), user(ext(-1, "limits@openssh.com"), ext(-2, "limits@openssh.com"))), whole); err != nil {
		t.Fatal(err)
	}
	stop := serve(r, 1)
	within(t, "the question", func() {
		if err := r.FromUser(pkt(pRemove, 1, "/data/f")); err != nil {
			t.Error(err)
		}
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(r.told) != 1 || r.told[0].Name != "remove" || r.told[0].Result != "ok" {
		t.Errorf("told %v", r.told)
	}
	before := r.toUser.Len()
	late := append(pkt(pExtendedReply, -1), pkt(pExtendedReply, -2)...)
	if err := r.FromTarget(bytes.Clone(late)); err != nil {
		t.Fatal(err)
	}
	if got := r.toUser.Bytes()[before:]; !bytes.Equal(got, late) {
		t.Errorf("the user got %q", got)
	}
}

// What is no path from the root on says nothing about where a path leads.
func TestSFTPOddRealpath(t *testing.T) {
	for answer, want := range map[string]string{
		"/data/f": "ok", "/data/../etc": "refused", "data/f": "refused", "/data/./f": "refused", "/data/f/": "refused", "": "refused",
		"/data/" + strings.Repeat("x", 5000): "refused",
	} {
		r := newRig(limited(sekisho.FileLimit{Paths: []string{"/data"}}))
		f := &fake{answer: make(chan []byte, 100), realpath: func(path string) string {
			if path == "/data" {
				return path
			}
			return answer
		}}
		stop := f.serve(r, 1<<20)
		within(t, answer, func() {
			for _, packet := range [][]byte{hello, pkt(pSetstat, 1, "/data/f", noAttrs)} {
				if err := r.FromUser(packet); err != nil {
					t.Error(err)
				}
			}
		})
		if err := stop(); err != nil {
			t.Error(err)
		}
		if len(r.told) != 1 || r.told[0].Result != want {
			t.Errorf("%.20q: told %v", answer, r.told)
		}
	}
}

// However Close and the target's answers meet, every operation is told once.
func TestSFTPCloseTellsOnce(t *testing.T) {
	for range 300 {
		r := newRig(everything)
		if err := r.run(join(), whole); err != nil {
			t.Fatal(err)
		}
		var answers []byte
		for id := range 50 {
			if err := r.FromUser(pkt(pRemove, id, fmt.Sprint("/", id))); err != nil {
				t.Fatal(err)
			}
			answers = append(answers, ok(id)...)
		}
		var both sync.WaitGroup
		both.Go(func() { r.FromTarget(answers) })
		both.Go(func() { r.Close() })
		both.Wait()
		told := make(map[string]int)
		for _, op := range r.told {
			told[op.Path]++
		}
		if len(told) != 50 || len(r.told) != 50 {
			t.Fatalf("%d operations on %d files are told", len(r.told), len(told))
		}
	}
}

// Close waits for what is being told.
func TestSFTPCloseWaits(t *testing.T) {
	r := newRig(everything)
	if err := r.run(append(join(), user(pkt(pRemove, 1, "/f"))), whole); err != nil {
		t.Fatal(err)
	}
	telling, kept := make(chan bool), make(chan bool)
	r.onTell = func(transfer.Operation) {
		telling <- true
		<-kept
	}
	go r.FromTarget(ok(1))
	<-telling
	closed := make(chan error, 1)
	go func() { closed <- r.Close() }()
	select {
	case <-closed:
		t.Error("Close does not wait")
	case <-time.After(20 * time.Millisecond):
	}
	close(kept)
	within(t, "Close", func() { <-closed })
	if len(r.told) != 1 || r.told[0].Result != "ok" {
		t.Errorf("told %v", r.told)
	}
}
