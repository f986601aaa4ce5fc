// Record makes the corpus of package terminal anew: it types to real shells on a pseudo-terminal and writes down what they
// send, with the marks that a gateway makes of what is typed, and the commands that were really run.
//
// It needs root on a Debian that may be spoiled, with bash, dash, zsh, fish, vim, less, nano, man, tmux, screen, sudo and
// python3: it makes the users alice and bob. See docs/developing.md.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
)

func main() {
	only := flag.String("only", "", "record only stories whose name contains this")
	out := flag.String("out", "terminal/testdata/corpus", "folder to write to")
	flag.Parse()
	if err := prepare(); err != nil {
		log.Fatal(err)
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, 5)
	for _, s := range stories {
		s.argv = slices.Clone(s.argv)
		if !strings.Contains(s.name, *only) {
			continue
		}
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := record(s, filepath.Join(*out, s.name+".jsonl")); err != nil {
				log.Printf("%s: %v", s.name, err)
			}
		})
	}
	wait.Wait()
}

// story is one session.
type story struct {
	name       string
	group      string // shells, or panes for shells inside of full-screen programs
	cols, rows int
	env        []string
	argv       []string
	play       func(*driver)
}

// event is a line of the corpus. The first has the size and what is expected.
type event struct {
	At     int64      `json:"at"` // milliseconds
	Kind   string     `json:"kind"`
	Data   string     `json:"data,omitempty"`
	Count  int        `json:"count,omitempty"`
	Cols   int        `json:"cols,omitempty"`
	Rows   int        `json:"rows,omitempty"`
	Group  string     `json:"group,omitempty"`
	Expect []expected `json:"expect,omitempty"`
}

// expected is a command that was run.
type expected struct {
	Text string `json:"text"`
	// Program says that another program than a shell read it.
	Program bool   `json:"program,omitempty"`
	Dir     string `json:"dir,omitempty"`
	Exit    *int   `json:"exit,omitempty"`
}

type driver struct {
	tty   *os.File
	start time.Time
	rand  *rand.Rand

	mu     sync.Mutex
	events []event
	tail   []byte
	last   time.Time // of output
	expect []expected
	began  bool
	done   chan struct{}
}

func record(s story, path string) error {
	if s.cols == 0 {
		s.cols, s.rows = 80, 24
	}
	home := "/home/alice/" + s.name
	if err := furnish(home); err != nil {
		return err
	}
	args := append([]string{"--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", `hostname web1; cd "$HOME"; setpriv --reuid=alice --regid=alice --init-groups "$@"; exit`, "sh"}, s.argv...)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append([]string{"HOME=" + home, "USER=alice", "LOGNAME=alice", "SHELL=/bin/bash", "TERM=xterm-256color", "LANG=C.UTF-8",
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}, s.env...)
	tty, err := pty.StartWithAttrs(cmd, &pty.Winsize{Cols: uint16(s.cols), Rows: uint16(s.rows)}, &syscall.SysProcAttr{Setsid: true, Setctty: true})
	if err != nil {
		return err
	}
	d := &driver{tty: tty, start: time.Now(), rand: rand.New(rand.NewPCG(1, 2)), last: time.Now(), done: make(chan struct{})}
	go d.listen()
	d.quiet(1500 * time.Millisecond)
	s.play(d)
	d.settle()
	if slices.Contains(s.argv, "tmux") {
		kill := exec.Command("setpriv", "--reuid=alice", "--regid=alice", "--init-groups", "tmux", "-L", s.name, "kill-server")
		kill.Run() // it may have ended by itself
	}
	cmd.Process.Signal(syscall.SIGHUP)
	tty.Close()
	time.Sleep(100 * time.Millisecond)
	cmd.Process.Kill()
	cmd.Wait()
	<-d.done
	return d.save(s, path, home)
}

func (d *driver) save(s story, path, home string) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	d.mu.Lock()
	defer d.mu.Unlock()
	e.Encode(event{Kind: "session", Cols: s.cols, Rows: s.rows, Group: s.group, Expect: d.expect})
	for _, ev := range d.events {
		e.Encode(ev)
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

func (d *driver) listen() {
	defer close(d.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := d.tty.Read(buf)
		d.mu.Lock()
		data := append(d.tail, buf[:n]...)
		whole := len(data)
		for i := 1; i <= 3 && i <= len(data); i++ {
			if utf8.RuneStart(data[len(data)-i]) {
				if !utf8.FullRune(data[len(data)-i:]) {
					whole = len(data) - i
				}
				break
			}
		}
		d.tail = append([]byte(nil), data[whole:]...)
		if whole > 0 {
			d.note(event{Kind: "output", Data: string(data[:whole])})
		}
		d.last = time.Now()
		d.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (d *driver) note(e event) {
	e.At = time.Since(d.start).Milliseconds()
	d.events = append(d.events, e)
}

// keys sends one packet, marked as the gateway does it.
func (d *driver) keys(packet string) {
	d.mu.Lock()
	if !d.began {
		d.note(event{Kind: "began"})
		d.began = true
	}
	if n := strings.Count(packet, "\r") + strings.Count(packet, "\n"); n > 0 {
		d.note(event{Kind: "enter", Count: n})
		d.began = false
	}
	d.mu.Unlock()
	d.tty.Write([]byte(packet))
}

// pause waits as a person does between two keys.
func (d *driver) pause() { time.Sleep(time.Duration(5+d.rand.IntN(35)) * time.Millisecond) }

// typed types text key by key.
func (d *driver) typed(text string) {
	for _, r := range text {
		d.keys(string(r))
		d.pause()
	}
}

// quiet waits until there was no output for a while, at most 15 s.
func (d *driver) quiet(long time.Duration) {
	until := time.Now().Add(15 * time.Second)
	from := time.Now()
	for time.Now().Before(until) {
		time.Sleep(10 * time.Millisecond)
		d.mu.Lock()
		last := d.last
		d.mu.Unlock()
		if last.Before(from) {
			last = from
		}
		if time.Since(last) >= long {
			return
		}
	}
}

func (d *driver) settle() { d.quiet(450 * time.Millisecond) }

// will notes that a command is expected.
func (d *driver) will(text string) {
	d.expect = append(d.expect, expected{Text: text})
}

// line types a command, presses Enter and waits.
func (d *driver) line(text string) {
	d.will(text)
	d.typed(text)
	d.keys("\r")
	d.settle()
}

// lineIn is the same where the directory is known, and exits where the exit status is.
func (d *driver) lineIn(dir, text string) {
	d.line(text)
	d.expect[len(d.expect)-1].Dir = dir
}

func (d *driver) exits(status int, text string) {
	d.line(text)
	d.expect[len(d.expect)-1].Exit = &status
}

// burst sends a line in one packet.
func (d *driver) burst(text string) {
	d.will(text)
	d.keys(text + "\r")
	d.settle()
}

// raw sends packets, one after the other, and waits after each.
func (d *driver) raw(packets ...string) {
	for _, p := range packets {
		d.keys(p)
		d.quiet(150 * time.Millisecond)
	}
}

// enter presses Enter for a line that was made by other keys.
func (d *driver) enter(text string) {
	if text != "" {
		d.will(text)
	}
	d.keys("\r")
	d.settle()
}

// answer types a line that is no command.
func (d *driver) answer(text string) {
	d.typed(text)
	d.keys("\r")
	d.settle()
}

// program types a line to a program that reads commands of its own.
func (d *driver) program(text string) {
	d.line(text)
	d.expect[len(d.expect)-1].Program = true
}

func (d *driver) resize(cols, rows int) {
	d.mu.Lock()
	d.note(event{Kind: "resize", Cols: cols, Rows: rows})
	d.mu.Unlock()
	pty.Setsize(d.tty, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)})
	d.settle()
}

// prepare makes the users.
func prepare() error {
	script := `set -e
id alice >/dev/null 2>&1 || useradd -m -s /bin/bash alice
id bob >/dev/null 2>&1 || useradd -m -s /bin/bash bob
echo 'alice:open sesame' | chpasswd
echo 'bob:rosebud' | chpasswd
echo 'alice ALL=(ALL) ALL' > /etc/sudoers.d/alice
chmod 440 /etc/sudoers.d/alice
`
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("make the users: %w: %s", err, out)
	}
	return nil
}

// furnish fills a home with what the stories touch.
func furnish(home string) error {
	os.RemoveAll(home)
	for name, text := range homeFiles {
		path := filepath.Join(home, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return exec.Command("chown", "-R", "alice:alice", home).Run()
}
