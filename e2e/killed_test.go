package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// kills is how many times TestKilled kills the gateway, unless SEKISHO_KILLS says another number.
const kills = 8

// TestKilled kills sekishod at random moments of recorded sessions and starts it again. Each time every recording must
// verify up to its last durable frame and hold all that its user saw.
func TestKilled(t *testing.T) {
	t.Parallel()
	n := kills
	if v, err := strconv.Atoi(os.Getenv("SEKISHO_KILLS")); err == nil {
		n = v
	}
	dir, err := os.MkdirTemp("", "e2e-killed-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	h, err := startHouse(filepath.Join(dir, "h"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(h.stop(), noneLeft(dir)); err != nil {
			t.Error(err)
		}
	}()
	s := newSiege(t, h, filepath.Join(dir, "mei"))
	for round := range n {
		s.round(round)
	}
	t.Logf("killed %d times: %d recordings verified, %d bytes that users saw are all in them, %d bytes recorded beyond that",
		n, s.verified, s.seen, s.beyond)
	if s.seen == 0 {
		t.Error("nobody saw anything")
	}
}

// siege is a house that is killed again and again.
type siege struct {
	t       *testing.T
	house   *house
	env     []string
	config  string // of mei's ssh
	key     *recording.PrivateKey
	checked map[string]bool // sessions

	verified     int
	seen, beyond int64
}

func newSiege(t *testing.T, h *house, home string) *siege {
	t.Helper()
	mei := h.People["mei"]
	s := &siege{t: t, house: h, config: filepath.Join(home, "ssh_config"), checked: map[string]bool{},
		env: append(os.Environ(), "HOME="+home, "SEKISHO_HOME="+filepath.Join(home, "sekisho"), "SEKISHO_BROWSER="+mei.Browser)}
	if err := os.MkdirAll(filepath.Join(home, "sekisho"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.sekisho("login", h.URL, "--ca-file", h.CAFile)
	if err := os.WriteFile(s.config, s.sekisho("ssh-config"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(h.Auditor.PrivateKey)
	if err == nil {
		s.key, err = recording.ParsePrivateKey(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *siege) sekisho(args ...string) []byte {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.house.Bin, "sekisho"), args...)
	cmd.Env = s.env
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		s.t.Fatalf("sekisho %v: %v", args, err)
	}
	return out
}

// witness is a user, and what they saw.
type witness struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	mu   sync.Mutex
	saw  bytes.Buffer
	some chan struct{} // closed at the first byte
}

func (w *witness) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.saw.Len() == 0 {
		close(w.some)
	}
	return w.saw.Write(p)
}

// programs say much, little and often, and back what is typed.
func programs(round int) [][]string {
	return [][]string{
		{"-T", "db1", fmt.Sprintf("echo flood %d; base64 /dev/urandom | head -c 20000000; exec cat", round)},
		{"-T", "db1", fmt.Sprintf("i=0; while :; do i=$((i+1)); echo line %d $i; sleep 0.001; done", round)},
		{"-tt", "db1", fmt.Sprintf("stty -echo; echo keys %d; exec cat", round)},
	}
}

func (s *siege) round(round int) {
	s.t.Helper()
	s.awaitHouse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var all []*witness
	for _, args := range programs(round) {
		all = append(all, s.watch(ctx, args))
	}
	for _, w := range all {
		select {
		case <-w.some:
		case <-ctx.Done():
			s.t.Fatalf("round %d: %v says nothing", round, w.cmd.Args)
		}
	}
	stop := make(chan struct{})
	var typing sync.WaitGroup
	typing.Go(func() { typeAlong(all[2].in, stop) })
	time.Sleep(time.Duration(rand.Int64N(int64(700 * time.Millisecond))))
	if err := s.house.read(s.house.file()); err != nil {
		s.t.Fatal(err)
	}
	before, connector := s.house.Processes["sekishod"].PID, s.house.Processes["connector-db1"].PID
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	close(stop)
	typing.Wait()
	for _, w := range all {
		w.in.Close()
		w.cmd.Wait()
	}
	// A connector that has lost its gateway again and again comes back later and later; a new one has no such memory.
	if err := syscall.Kill(connector, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	s.awaitRestart(before)
	s.check(round, all)
}

func (s *siege) watch(ctx context.Context, args []string) *witness {
	w := &witness{some: make(chan struct{})}
	w.cmd = exec.CommandContext(ctx, "ssh", append([]string{"-F", s.config}, args...)...)
	w.cmd.Env, w.cmd.Stdout = s.env, w
	in, err := w.cmd.StdinPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	w.in = in
	return w
}

// typeAlong types lines, a little at a time.
func typeAlong(in io.Writer, stop chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(2 * time.Millisecond):
		}
		if _, err := fmt.Fprintf(in, "key %d\n", n); err != nil {
			return
		}
	}
}

// awaitHouse waits until a session can be had.
func (s *siege) awaitHouse() {
	s.t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		cmd := exec.Command("ssh", "-F", s.config, "-T", "db1", "true")
		cmd.Env = s.env
		out, err := cmd.CombinedOutput()
		if err == nil {
			return
		}
		if time.Since(begun) > patience {
			s.t.Fatalf("no session can be had: %v\n%s", err, out)
		}
	}
}

// awaitRestart waits until the demo has started sekishod again, and its recordings can be asked for.
func (s *siege) awaitRestart(before int) {
	s.t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if err := s.house.read(s.house.file()); err == nil && s.house.Processes["sekishod"].PID != before {
			cmd := exec.Command(filepath.Join(s.house.Bin, "sekisho"), "recordings", "list", "--limit", "1")
			cmd.Env = s.env
			if cmd.Run() == nil {
				return
			}
		}
		if time.Since(begun) > patience {
			s.t.Fatal("sekishod does not come back")
		}
	}
}

// check verifies the recordings that are new, and finds in them what each witness saw.
func (s *siege) check(round int, all []*witness) {
	s.t.Helper()
	var list []struct{ Session, State string }
	if err := json.Unmarshal(s.sekisho("recordings", "list", "--json", "--limit", "500"), &list); err != nil {
		s.t.Fatal(err)
	}
	var said [][]byte
	for _, r := range list {
		if s.checked[r.Session] {
			continue
		}
		s.checked[r.Session] = true
		if r.State == sekisho.RecordingOpen {
			s.t.Errorf("round %d: recording %s is said to be open", round, r.Session)
		}
		said = append(said, s.open(round, r.Session, r.State))
	}
	for _, w := range all {
		s.find(round, w, said)
	}
}

// open verifies a recording and gives the output that it holds.
func (s *siege) open(round int, session, state string) (output []byte) {
	s.t.Helper()
	sealed := s.sekisho("recordings", "download", session, "-o", "-")
	_, err := recording.Verify(bytes.NewReader(sealed), recording.VerifyOptions{Key: s.key, Session: session})
	if state == sekisho.RecordingInterrupted && !errors.Is(err, recording.ErrCut) || state == sekisho.RecordingClosed && err != nil {
		s.t.Fatalf("round %d: recording %s, %s: %v", round, session, state, err)
	}
	s.verified++
	r, err := recording.NewReader(bytes.NewReader(sealed), s.key)
	if err != nil {
		s.t.Fatalf("round %d: recording %s: %v", round, session, err)
	}
	for {
		e, err := r.Next()
		if err != nil {
			return output
		}
		if e.Kind == recording.Output {
			output = append(output, e.Data...)
		}
	}
}

func (s *siege) find(round int, w *witness, said [][]byte) {
	s.t.Helper()
	for _, output := range said {
		if w.saw.Len() > 0 && bytes.HasPrefix(output, w.saw.Bytes()) {
			s.seen += int64(w.saw.Len())
			s.beyond += int64(len(output) - w.saw.Len())
			return
		}
	}
	s.t.Errorf("round %d: no recording holds the %d bytes that the user of %v saw: ...%q", round, w.saw.Len(), w.cmd.Args, tail(w.saw.Bytes()))
}

func tail(b []byte) []byte { return b[max(0, len(b)-80):] }
