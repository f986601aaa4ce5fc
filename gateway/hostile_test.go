package gateway_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// heap is what is in use after a collection, ours and that of the target and of mallory, who live in the same process.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// ends has the gateway end all sessions, and waits until none is left.
func (h *house) ends() {
	h.t.Helper()
	h.gateway.End(func(sekisho.Session) bool { return true })
	waitFor(h.t, func() bool { live, deciding := h.gateway.Sessions(); return len(live)+deciding == 0 })
}

// serves reports whether somebody else is served meanwhile.
func (h *house) serves() {
	h.t.Helper()
	s, err := h.mustClient().NewSession()
	if err != nil {
		h.t.Fatal(err)
	}
	if out, err := s.Output("echo me too"); string(out) != "me too\n" {
		h.t.Errorf("somebody else got %q, %v", out, err)
	}
}

// listens is a program that takes every request, as sshd does, and ends with its channel.
func listens(ch ssh.Channel, reqs <-chan *ssh.Request) {
	go io.Copy(io.Discard, ch)
	for req := range reqs {
		req.Reply(true, nil)
	}
	ch.Close()
}

func (w *wire) sayOften(n int, payload []byte) error {
	batch := make([][]byte, 100)
	for i := range batch {
		batch[i] = payload
	}
	for range n / len(batch) {
		if err := w.say(batch...); err != nil {
			return err
		}
	}
	return nil
}

func data(channel uint32, text string) []byte {
	return message(sayData, struct {
		Channel uint32
		Text    string
	}{channel, text})
}

func global(kind string, reply bool) []byte {
	return message(sayGlobal, struct {
		Kind  string
		Reply bool
	}{kind, reply})
}

// After a program has ended mallory goes on asking of its channel, and never answers that it is closed. Her session can
// be ended all the same.
func TestRequestsAfterTheEnd(t *testing.T) {
	h := newHouse(t)
	m := h.mallory()
	if err := m.say(open("session", 0, 1<<20, 32<<10, nil)); err != nil {
		t.Fatal(err)
	}
	ch := m.opened()
	if err := m.say(run(ch, "echo hi")); err != nil {
		t.Fatal(err)
	}
	if _, err := m.await(sayClose); err != nil {
		t.Fatal(err)
	}
	if err := m.sayOften(1000, ask(ch, "window-change", false, struct{ C, R, W, H uint32 }{80, 24, 0, 0})); err != nil {
		t.Fatal(err)
	}
	m.say(global("ping", true))
	if _, err := m.await(hearFailure); err != nil { // the connection as a whole goes on
		t.Error(err)
	}
	h.ends()
}

// A target that says no more while requests pour in, and one that pours in requests itself, hold up nothing when the
// session is to end.
func TestEndAmidRequests(t *testing.T) {
	h := newHouse(t)
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		if req, ok := <-reqs; ok {
			req.Reply(true, nil)
		}
		for {
			if _, err := ch.SendRequest("exit-status", false, []byte("nonsense")); err != nil {
				return
			}
		}
	}
	m := h.mallory()
	m.say(open("session", 0, 1<<20, 32<<10, nil))
	ch := m.opened()
	m.say(run(ch, "x"))
	m.sayOften(1000, ask(ch, "xon-xoff", true, struct{ Can bool }{true}))
	h.ends()
}

// Where the target does not let the gateway in, those who open channel upon channel are told, and gone.
func TestChannelsAtAClosedTarget(t *testing.T) {
	h := newHouse(t)
	h.target.Close()
	h.target = listen(t)
	go h.serveTarget(h.target, newKey(t))
	m := h.mallory()
	m.sayOften(1000, open("session", 0, 1<<20, 32<<10, nil))
	if _, err := m.await(hearOpenFailure); err != nil {
		t.Error(err)
	}
	waitFor(t, func() bool { live, deciding := h.gateway.Sessions(); return len(live)+deciding == 0 })
}

// When the log fails amid a flood, the session ends.
func TestLogFailsInAFlood(t *testing.T) {
	for name, p := range map[string][]byte{"channels": open("evil", 0, 1<<20, 32<<10, nil), "questions": global("evil", true)} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			m := h.mallory()
			h.mu.Lock() // the log waits
			m.sayOften(1000, p)
			h.noteErr = errors.New("log is gone")
			h.mu.Unlock()
			waitFor(t, func() bool { live, deciding := h.gateway.Sessions(); return len(live)+deciding == 0 })
		})
	}
}

// 10,000 channels at once in one connection: no more of them are open than may be, and others are served.
func TestTenThousandChannels(t *testing.T) {
	for _, c := range []struct {
		kind    string
		payload []byte
		most    int
	}{{"session", nil, 64}, {"direct-tcpip", tcpOpen("db2", 1), 256}} {
		t.Run(c.kind, func(t *testing.T) {
			h := newHouse(t)
			end := h.forwards("*:*", "")
			end.dial = accept(func(ch ssh.Channel) { io.Copy(io.Discard, ch) })
			m := h.mallory()
			<-end.conn
			go m.sayOften(10_000, open(c.kind, 0, 1<<20, 32<<10, c.payload))
			opened, refused := 0, 0
			for opened+refused < 10_000 {
				p, err := m.await(hearOpened, hearOpenFailure)
				if err != nil {
					t.Fatal(err)
				}
				if p[0] == hearOpened {
					opened++
				} else {
					refused++
				}
			}
			if opened != c.most {
				t.Errorf("%d are open", opened)
			}
			if n := len(h.eventsOf(sekisho.EventChannelRefused)); n != 100 {
				t.Errorf("%d refusals noted", n)
			}
			h.serves()
			h.ends()
			if all := h.details(sekisho.EventSessionEnded, "refused"); !slices.Contains(all, fmt.Sprintf("refused=%d", refused)) {
				t.Errorf("%d refused, the ends say %q", refused, all)
			}
		})
	}
}

// Channels that are opened and closed again leave nothing behind.
func TestChannelsOpenedAndClosed(t *testing.T) {
	h := newHouse(t)
	m := h.mallory()
	var before int64
	for n := 0; n < 3000; {
		if n == 500 {
			before = heap()
		}
		if err := m.say(open("session", uint32(n), 1<<20, 32<<10, nil)); err != nil {
			t.Fatal(err)
		}
		p, err := m.await(hearOpened, hearOpenFailure)
		if err != nil {
			t.Fatal(err)
		}
		if p[0] == hearOpenFailure { // the last ones are not quite gone
			continue
		}
		n++
		if err := m.say(append([]byte{sayClose}, p[5:9]...)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool { return len(h.eventsOf(sekisho.EventChannelClosed)) == 3000 })
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("2,500 channels leave %d kB", grown>>10)
	}
	h.serves()
}

// mallory never opens her window, while a program has no end of things to say. No more is taken from it than SSH's
// windows hold, and the other channels of her connection go on, as does everybody else.
func TestZeroWindow(t *testing.T) {
	h := newHouse(t)
	m := h.mallory()
	for id := range uint32(3) {
		m.say(open("session", id, 0, 32<<10, nil))
		m.say(run(m.opened(), "fill 1000000000"))
	}
	m.say(open("session", 9, 1<<20, 32<<10, nil))
	m.say(run(m.opened(), "echo on"))
	p, err := m.await(sayData)
	if err != nil || !strings.HasSuffix(string(p), "on\n") {
		t.Errorf("heard %q, %v", p, err)
	}
	h.serves()
	h.ends()
	if n := len(h.tape.said(recording.Output)); n > 3*(4<<20) {
		t.Errorf("%d bytes were taken from the target", n)
	}
}

// mallory reads nothing at all, or a byte now and then.
func TestSlowReader(t *testing.T) {
	h := newHouse(t)
	m := h.mallory()
	m.say(open("session", 0, 1<<31, 32<<10, nil))
	m.say(run(m.opened(), "fill 1000000000"))
	for range 20 {
		if _, err := m.r.ReadByte(); err != nil {
			t.Fatal(err)
		}
		h.serves()
	}
	h.ends()
	if n := len(h.tape.said(recording.Output)); n > 32<<20 {
		t.Errorf("%d bytes were taken from the target", n)
	}
}
