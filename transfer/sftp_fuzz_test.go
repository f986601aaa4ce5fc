package transfer_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

// fuzzLimits are those that the fuzzer chooses from.
var fuzzLimits = [][]sekisho.FileLimit{
	everything, nil, {{ReadOnly: true}}, {{NoRemove: true}}, {{Paths: []string{"/data", "/home/x"}}},
	{{Paths: []string{"/data"}, NoRemove: true}, {ReadOnly: true}},
}

// fuzzOver lets go of what blocks because the other side is silent.
const fuzzOver = 300 * time.Millisecond

func seeds(f *testing.F, add func(user, target []byte)) {
	for _, c := range conversations {
		add(sides(c.steps))
	}
}

// Whatever the user sends, what reaches the target is well-formed SFTP, and so is what comes back.
func FuzzSFTPUser(f *testing.F) {
	seeds(f, func(user, _ []byte) {
		for limit := range fuzzLimits {
			f.Add(user, uint8(limit), uint16(7))
		}
	})
	f.Fuzz(func(t *testing.T, b []byte, limit uint8, size uint16) {
		r := newRig(fuzzLimits[int(limit)%len(fuzzLimits)])
		stop := serve(r, 1+int(size)%300)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.run([]step{user(b)}, every(1+int(size)))
		}()
		select {
		case <-done:
		case <-time.After(fuzzOver):
			r.Close()
			<-done
		}
		stop() // fails where the user's breach ended both directions
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		wellFormed(t, r)
	})
}

// Whatever the target sends, what reaches the user is well-formed SFTP.
func FuzzSFTPTarget(f *testing.F) {
	seeds(f, func(_, target []byte) {
		for limit := range fuzzLimits {
			f.Add(bytes.TrimPrefix(target, welcome), uint8(limit), uint16(7))
		}
	})
	f.Fuzz(func(t *testing.T, b []byte, limit uint8, size uint16) {
		r := newRig(fuzzLimits[int(limit)%len(fuzzLimits)])
		if err := r.run(join(), whole); err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.run(everyRequest(), whole)
		}()
		select {
		case <-done:
		case <-time.After(3 * time.Millisecond): // it waits for an answer
		}
		r.run([]step{target(b)}, every(1+int(size)))
		r.Close()
		within(t, "FromUser", func() { <-done })
		wellFormed(t, r)
	})
}

func wellFormed(t *testing.T, r *rig) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := packets(r.toTarget.Bytes(), false); err != nil {
		t.Errorf("to the target: %v in %q", err, r.toTarget.Bytes())
	}
	if _, err := packets(r.toUser.Bytes(), true); err != nil {
		t.Errorf("to the user: %v in %q", err, r.toUser.Bytes())
	}
	for _, op := range r.told {
		if len(op.Path) > 4096 || len(op.To) > 4096 || len(op.Name) > 64 || len(op.Result) > 300 || op.Result == "" {
			t.Errorf("told %v", op)
		}
	}
}

// everyRequest asks for one of each, by the ids that the conversations use.
func everyRequest() []step {
	return []step{user(
		pkt(pOpen, 1, "/data/f", oRead|oWrite|oTrunc|oCreate, noAttrs), pkt(pOpendir, 2, "/data/d"),
		pkt(pStat, 3, "/data/f"), pkt(pLstat, 4, "/data/f"), pkt(pRealpath, 5, "."), pkt(pReadlink, 6, "/data/l"),
		pkt(pRename, 7, "/data/f", "/data/g"), pkt(pSymlink, 8, "f", "/data/g"), pkt(pRemove, 9, "/data/f"), pkt(pMkdir, 10, "/data/f", noAttrs),
		pkt(pSetstat, 11, "/data/f", sized(3)), ext(12, "limits@openssh.com"), ext(13, "what@example.com"),
	), user(pkt(pRead, 20, "h", u64(0), 32768), pkt(pWrite, 21, "h", u64(0), big), pkt(pFstat, 22, "h"), pkt(pReaddir, 23, "h"), pkt(pClose, 24, "h"))}
}
