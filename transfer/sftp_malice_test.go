package transfer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sekisho/sekisho/transfer"
)

func patched(b []byte, at int, v uint32) []byte {
	b = bytes.Clone(b)
	binary.BigEndian.PutUint32(b[at:], v)
	return b
}

// What is not SFTP ends the conversation, and not a byte of it is passed on. Of each case the last step is it.
func TestSFTPMalice(t *testing.T) {
	file := slices.Clip(join(opened(1, "/f", oRead|oWrite, "h")))
	asked := func(packet []byte) []step { return slices.Clip(append(file, user(packet))) }
	for name, steps := range map[string][]step{
		"a shell's prompt from the target":     {user(hello), target([]byte("Last login: today\r\n$ "))},
		"a shell's words from the user":        {user([]byte("id; uname -a\n"))},
		"SSH inside":                           {user([]byte("SSH-2.0-OpenSSH_9.2\r\n"))},
		"no INIT first":                        {user(pkt(pOpen, 1, "/f", oRead, noAttrs))},
		"no VERSION first":                     {user(hello), target(ok(1))},
		"VERSION before INIT":                  {target(welcome)},
		"INIT twice":                           append(join(), user(hello)),
		"VERSION twice":                        append(join(), target(welcome)),
		"version 6":                            {user(pkt(pInit, 6)), target(pkt(pVersion, 6))},
		"version 2":                            {user(hello), target(pkt(pVersion, 2))},
		"INIT with half a pair":                {user(pkt(pInit, 3, "name"))},
		"VERSION with half a pair":             {user(hello), target(pkt(pVersion, 3, "name"))},
		"a packet of no bytes":                 append(join(), user([]byte{0, 0, 0, 0})),
		"a packet without an id":               append(join(), user([]byte{0, 0, 0, 1, pStat})),
		"a packet of 4 GiB":                    append(join(), user([]byte{0xff, 0xff, 0xff, 0xff, pStat, 0, 0})),
		"a packet of too many bytes":           append(join(), user([]byte{0, 4, 4, 1, pStat})),
		"a WRITE of 4 GiB":                     append(file, user(patched(pkt(pWrite, 2, "h", u64(0), "abc"), 0, 0xffffffff))),
		"an answer of 4 GiB":                   append(asked(pkt(pStat, 2, "/f")), target([]byte{0xff, 0xff, 0xff, 0xff, pAttrs, 0, 0})),
		"a type that is not of version 3":      append(join(), user(pkt(21, 1, "/f"))),
		"an answer from the user":              append(join(), user(ok(1))),
		"a request from the target":            append(join(), target(pkt(pStat, 1, "/f"))),
		"a path longer than its packet":        append(join(), user(patched(pkt(pStat, 2, "/f"), 9, 3))),
		"a path shorter than its packet":       append(join(), user(patched(pkt(pStat, 2, "/f"), 9, 1))),
		"a path with a zero byte":              append(join(), user(pkt(pStat, 2, "/f\x00/g"))),
		"attributes without end":               append(join(), user(pkt(pMkdir, 2, "/f", raw{0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}))),
		"a request with a tail":                append(join(), user(pkt(pRename, 2, "/f", "/g", 1))),
		"an extension with a tail":             append(join(), user(ext(2, "hardlink@openssh.com", "/f", "/g", 1))),
		"an id asked twice":                    append(asked(pkt(pStat, 2, "/f")), user(pkt(pStat, 2, "/f"))),
		"a WRITE that says more than it has":   append(file, user(patched(pkt(pWrite, 2, "h", u64(0), "abc"), 22, 4))),
		"a handle of 257 bytes":                append(join(), user(pkt(pWrite, 2, strings.Repeat("h", 257), u64(0), ""))),
		"an answer without question":           append(join(), target(ok(1))),
		"an answer twice":                      append(asked(pkt(pRemove, 2, "/f")), target(ok(2)), target(ok(2))),
		"DATA for what was no READ":            append(asked(pkt(pStat, 2, "/f")), target(pkt(pData, 2, "x"))),
		"DATA longer than asked":               append(asked(pkt(pRead, 2, "h", u64(0), 3)), target(pkt(pData, 2, "abcd"))),
		"DATA that says less than it has":      append(asked(pkt(pRead, 2, "h", u64(0), 9)), target(pkt(pData, 2, "abcd", "tail"))),
		"a HANDLE for a STAT":                  append(asked(pkt(pStat, 2, "/f")), target(pkt(pHandle, 2, "x"))),
		"a HANDLE that is open":                append(asked(pkt(pOpen, 2, "/f", oRead, noAttrs)), target(pkt(pHandle, 2, "h"))),
		"a HANDLE of 257 bytes":                append(asked(pkt(pOpen, 2, "/f", oRead, noAttrs)), target(pkt(pHandle, 2, strings.Repeat("h", 257)))),
		"all well for an OPEN":                 append(asked(pkt(pOpen, 2, "/f", oRead, noAttrs)), target(ok(2))),
		"ATTRS for a REMOVE":                   append(asked(pkt(pRemove, 2, "/f")), target(pkt(pAttrs, 2, noAttrs))),
		"two names for a REALPATH":             append(asked(pkt(pRealpath, 2, "/f")), target(pkt(pName, 2, 2, "a", "a", noAttrs, "b", "b", noAttrs))),
		"4 billion names":                      append(asked(pkt(pRealpath, 2, "/f")), target(pkt(pName, 2, u32(0xffffffff), "a", "a", noAttrs))),
		"an EXTENDED_REPLY for a STAT":         append(asked(pkt(pStat, 2, "/f")), target(pkt(pExtendedReply, 2))),
		"a HANDLE for an unknown extension":    append(asked(ext(2, "x@example.com")), target(pkt(pHandle, 2, "x"))),
		"an answer with a tail":                append(asked(pkt(pRemove, 2, "/f")), target(pkt(pStatus, 2, 0, "", "", 1))),
		"a STATUS without code":                append(asked(pkt(pRemove, 2, "/f")), target(pkt(pStatus, 2))),
		"a closed handle's name, never opened": append(asked(pkt(pClose, 2, "h")), target(ok(2)), target(ok(2))),
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 3, 1 << 20} {
				r := newRig(everything)
				good, bad := steps[:len(steps)-1], steps[len(steps)-1]
				if err := r.run(good, every(size)); err != nil {
					t.Fatalf("before: %v", err)
				}
				before := []int{r.toTarget.Len(), r.toUser.Len()}
				err := r.run([]step{bad}, every(size))
				if !errors.Is(err, transfer.ErrProtocol) {
					t.Fatalf("pieces of %d: %v", size, err)
				}
				if r.toTarget.Len() != before[0] || r.toUser.Len() != before[1] {
					t.Errorf("pieces of %d: something of it went through", size)
				}
				if r.FromUser(pkt(pStat, 99, "/")) == nil || r.FromTarget(ok(99)) == nil {
					t.Error("it goes on after that")
				}
			}
		})
	}
}

// What comes before the breach goes through, however the stream was cut.
func TestSFTPBreachAfterGood(t *testing.T) {
	r := newRig(everything)
	if err := r.run([]step{user(hello), target(welcome)}, whole); err != nil {
		t.Fatal(err)
	}
	good := pkt(pRemove, 1, "/f")
	if err := r.FromUser(append(bytes.Clone(good), 0, 0, 0, 0)); !errors.Is(err, transfer.ErrProtocol) {
		t.Fatal(err)
	}
	if got := r.toTarget.Bytes()[len(hello):]; !bytes.Equal(got, good) {
		t.Errorf("the target got %q", got)
	}
	r.Close()
	if len(r.told) != 1 || r.told[0].Result != "unfinished" {
		t.Errorf("told %v", r.told)
	}
}

// What follows the data of a WRITE in its packet is cut off, and is part of nothing.
func TestSFTPWriteWithATail(t *testing.T) {
	for _, size := range []int{1, 3, 1 << 20} {
		r := newRig(everything)
		steps := func(tail ...any) []step {
			write := append([]any{2, "h", u64(0), "abc"}, tail...)
			return join(opened(1, "/f", oWrite|oTrunc|oCreate, "h"),
				[]step{user(pkt(pWrite, write...), pkt(pWrite, 3, "h", u64(3), "def")), target(ok(2), ok(3))}, closed(4, "h"))
		}
		if err := r.run(steps(raw(big)), every(size)); err != nil {
			t.Fatalf("pieces of %d: %v", size, err)
		}
		if want, _ := sides(steps()); !bytes.Equal(r.toTarget.Bytes(), want) {
			t.Errorf("pieces of %d: the target got %d bytes, want %d", size, r.toTarget.Len(), len(want))
		}
		if len(r.told) != 1 || r.told[0].Bytes != 6 || r.told[0].SHA256 != hash("abcdef") {
			t.Errorf("pieces of %d: told %v", size, r.told)
		}
	}
}

// A handle that is not open is answered as a server would, and the target hears nothing of it.
func TestSFTPUnknownHandle(t *testing.T) {
	for _, size := range []int{1, 1 << 20} {
		r := newRig(everything)
		steps := join(opened(1, "/f", oRead, "h"), closed(2, "h"))
		asked := []step{user(pkt(pRead, 3, "h", u64(0), 9), pkt(pWrite, 4, "x", u64(0), big), pkt(pClose, 5, "h"), pkt(pFstat, 6, ""), ext(7, "copy-data", "h", u64(0), u64(0), "i", u64(0)))}
		if err := r.run(append(steps, asked...), every(size)); err != nil {
			t.Fatal(err)
		}
		user, target := sides(steps)
		if !bytes.Equal(r.toTarget.Bytes(), user) {
			t.Error("the target was asked")
		}
		for id := 3; id <= 7; id++ {
			target = append(target, status(id, sFailure, "no such handle")...)
		}
		if !bytes.Equal(r.toUser.Bytes(), target) {
			t.Errorf("the user got %q", r.toUser.Bytes())
		}
	}
}

// version-select would change the protocol under way.
func TestSFTPVersionSelect(t *testing.T) {
	r := newRig(everything)
	if err := r.run(append(join(), user(ext(1, "version-select", "6"))), whole); err != nil {
		t.Fatal(err)
	}
	all, err := packets(r.toUser.Bytes(), true)
	if err != nil || len(all) != 2 || all[1][12] != sUnsupported || r.toTarget.Len() != len(hello) {
		t.Errorf("%v %q; the target got %q", err, all, r.toTarget.Bytes())
	}
}

// The 4097th request waits for an answer to one of those before it; so do requests with long paths much sooner.
func TestSFTPOutstanding(t *testing.T) {
	for name, c := range map[string]struct {
		path  string
		bound int
	}{"short": {"/f", 4096}, "long": {"/" + strings.Repeat("x", 4095), 257}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(everything)
				if err := r.run(join(), whole); err != nil {
					t.Fatal(err)
				}
				var asked atomic.Int64
				done := make(chan error, 1)
				go func() {
					for id := range 10000 {
						if err := r.FromUser(pkt(pRemove, id, c.path)); err != nil {
							done <- err
							return
						}
						asked.Add(1)
					}
					done <- nil
				}()
				synctest.Wait()
				if n := asked.Load(); n != int64(c.bound) {
					t.Fatalf("%d requests wait", n)
				}
				for id := range 3 {
					if err := r.FromTarget(ok(id)); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				if n := asked.Load(); n != int64(c.bound)+3 {
					t.Errorf("%d requests wait after 3 answers", n)
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				if err := <-done; err == nil || errors.Is(err, transfer.ErrProtocol) {
					t.Errorf("after Close FromUser says %v", err)
				}
				if n := len(r.told); n != c.bound+3 {
					t.Errorf("%d operations told", n)
				}
			})
		})
	}
}

// The 1025th file is not opened.
func TestSFTPOpenFiles(t *testing.T) {
	r := newRig(everything)
	if err := r.run(join(), whole); err != nil {
		t.Fatal(err)
	}
	for id := range 1030 {
		if err := r.FromUser(pkt(pOpen, id, "/f", oRead, noAttrs)); err != nil {
			t.Fatal(err)
		}
	}
	asked, err := packets(r.toTarget.Bytes(), false)
	answers, err2 := packets(r.toUser.Bytes(), true)
	if err != nil || err2 != nil || len(asked) != 1+1024 || len(answers) != 1+6 {
		t.Errorf("%d asked (%v), %d answered (%v)", len(asked), err, len(answers), err2)
	}
	if err := r.FromTarget(status(0, sMissing, "")); err != nil {
		t.Fatal(err)
	}
	if err := r.FromUser(pkt(pOpen, 0, "/f", oRead, noAttrs)); err != nil {
		t.Fatal(err)
	}
	if again, _ := packets(r.toTarget.Bytes(), false); len(again) != 1+1025 {
		t.Error("no room after an answer")
	}
}

// The user's requests wait for the target's version.
func TestSFTPWaitsForVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(everything)
		done := make(chan error, 1)
		go func() { done <- r.FromUser(append(bytes.Clone(hello), pkt(pRemove, 1, "/f")...)) }()
		synctest.Wait()
		if !bytes.Equal(r.toTarget.Bytes(), hello) {
			t.Fatalf("the target got %q", r.toTarget.Bytes())
		}
		if err := r.FromTarget(welcome); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// A target that says it sends much and sends nothing takes no memory.
func TestSFTPMemory(t *testing.T) {
	var rigs []*rig
	for range 1000 {
		r := newRig(everything)
		steps := append(join(opened(1, "/f", oRead|oWrite, "h")), user(pkt(pStat, 2, "/f")))
		if err := r.run(steps, whole); err != nil {
			t.Fatal(err)
		}
		rigs = append(rigs, r)
	}
	measure := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := measure()
	for _, r := range rigs {
		if err := r.FromTarget([]byte{0, 4, 0, 0, pStatus, 0, 0, 0, 2}); err != nil {
			t.Fatal(err)
		}
		if err := r.FromUser([]byte{0, 4, 0, 0, pStat, 0, 0, 0, 3}); err != nil {
			t.Fatal(err)
		}
	}
	if each := (int64(measure()) - int64(before)) / int64(len(rigs)); each > 4096 {
		t.Errorf("%d bytes for each conversation", each)
	}
	runtime.KeepAlive(rigs)
}

// An answer of our own waits until the target's packet under way has ended.
func TestSFTPInjectsBetweenPackets(t *testing.T) {
	r := newRig(everything)
	if err := r.run(append(join(opened(1, "/f", oRead, "h")), user(pkt(pRead, 2, "h", u64(0), 100))), whole); err != nil {
		t.Fatal(err)
	}
	data := pkt(pData, 2, big[:100])
	before := r.toUser.Len()
	for _, part := range [][]byte{data[:50], data[50:99]} {
		if err := r.FromTarget(part); err != nil {
			t.Fatal(err)
		}
		if err := r.FromUser(pkt(pFstat, 3, "none")); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.toUser.Bytes()[before:]; !bytes.Equal(got, data[:99]) {
		t.Fatalf("in between the user got %q", got)
	}
	if err := r.FromTarget(data[99:]); err != nil {
		t.Fatal(err)
	}
	want := append(bytes.Clone(data), bytes.Repeat(status(3, sFailure, "no such handle"), 2)...)
	if got := r.toUser.Bytes()[before:]; !bytes.Equal(got, want) {
		t.Errorf("the user got %q", got)
	}
}

// A user who asks for refusals while the target's packet never ends is not answered without end.
func TestSFTPQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(everything)
		if err := r.run(append(join(opened(1, "/f", oRead, "h")), user(pkt(pRead, 2, "h", u64(0), 100)), target(pkt(pData, 2, big[:100])[:50])), whole); err != nil {
			t.Fatal(err)
		}
		var asked atomic.Int64
		done := make(chan error, 1)
		go func() {
			for {
				if err := r.FromUser(pkt(pFstat, 3, "none")); err != nil {
					done <- err
					return
				}
				asked.Add(1)
			}
		}()
		synctest.Wait()
		if n := asked.Load(); n == 0 || n > 2000 {
			t.Errorf("%d answers wait", n)
		}
		r.Close()
		<-done
	})
}

// A user who does not read holds up the target, not the answers that wait, nor Close.
func TestSFTPSlowUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(everything)
		if err := r.run(append(join(opened(1, "/f", oRead, "h")), user(pkt(pRead, 2, "h", u64(0), 100))), whole); err != nil {
			t.Fatal(err)
		}
		reads := make(chan bool)
		r.onUser = func([]byte) { <-reads }
		down := make(chan error, 1)
		go func() { down <- r.FromTarget(pkt(pData, 2, "abc")) }()
		synctest.Wait()
		if err := r.FromUser(pkt(pFstat, 3, "none")); err != nil { // must not wait for the user
			t.Fatal(err)
		}
		reads <- true
		reads <- true
		if err := <-down; err != nil {
			t.Fatal(err)
		}
		if !bytes.HasSuffix(r.toUser.Bytes(), status(3, sFailure, "no such handle")) {
			t.Errorf("the user got %q", r.toUser.Bytes())
		}
		go func() { down <- r.FromTarget(status(9, 0, "")) }()
		<-down
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Errors of the outlet end the conversation.
func TestSFTPOutletErrors(t *testing.T) {
	broken := errors.New("broken")
	for name, outlet := range map[string]func(o *transfer.Outlet){
		"target": func(o *transfer.Outlet) { o.Target = func([]byte) error { return broken } },
		"user":   func(o *transfer.Outlet) { o.User = func([]byte, bool) error { return broken } },
		"tell":   func(o *transfer.Outlet) { o.Tell = func(transfer.Operation) error { return broken } },
	} {
		o := transfer.Outlet{
			Target: func([]byte) error { return nil }, User: func([]byte, bool) error { return nil },
			Tell: func(transfer.Operation) error { return nil }, Clock: newRig(nil).clockNow,
		}
		outlet(&o)
		w := transfer.NewSFTP(everything, o)
		err := errors.Join(w.FromUser(hello), w.FromTarget(welcome))
		if err == nil {
			err = errors.Join(w.FromUser(pkt(pRemove, 1, "/f")), w.FromTarget(ok(1)))
		}
		if !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		if w.FromUser(pkt(pRemove, 2, "/f")) == nil {
			t.Errorf("%s: it goes on", name)
		}
	}
}
