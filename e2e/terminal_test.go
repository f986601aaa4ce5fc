package e2e_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// terminal runs a program in a terminal, with somebody before it: "terminal FILE PROGRAM ARGS". The file says what
// that person does, a line each: "size ROWS COLS" at first or later, "type TEXT" with a return after it, "press
// ctrl-c", and "see TEXT", which waits until the screen shows it. At the end it waits for the program to end and ends
// with its code.
func terminal() {
	if len(os.Args) < 3 {
		fail("terminal", errors.New("want a file and a program"))
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fail("terminal", err)
	}
	s, err := newScreen()
	if err == nil {
		err = s.play(strings.Split(strings.TrimSpace(string(text)), "\n"), os.Args[2:])
	}
	fmt.Print(s.all())
	if err != nil {
		fail("terminal", err)
	}
}

type screen struct {
	pty, tty *os.File

	mu    sync.Mutex
	shown bytes.Buffer
	seen  int // bytes of shown that the person has read
}

// newScreen opens a pseudo-terminal (pty(7)).
func newScreen() (*screen, error) {
	pty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return &screen{}, err
	}
	fd := int(pty.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return &screen{}, fmt.Errorf("unlock the terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return &screen{}, fmt.Errorf("name the terminal: %w", err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	return &screen{pty: pty, tty: tty}, err
}

func (s *screen) play(lines, argv []string) error {
	if err := s.do("size 24 80"); err != nil {
		return err
	}
	if strings.HasPrefix(lines[0], "size ") {
		if err := s.do(lines[0]); err != nil {
			return err
		}
		lines = lines[1:]
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.tty, s.tty, s.tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.tty.Close()
	go s.watch()
	for _, line := range lines {
		if err := s.do(line); err != nil {
			cmd.Process.Kill()
			cmd.Wait()
			return err
		}
	}
	return cmd.Wait()
}

// watch keeps what the screen shows until the program has left it.
func (s *screen) watch() {
	in, buf := bufio.NewReader(s.pty), make([]byte, 4096)
	for {
		n, err := in.Read(buf)
		s.mu.Lock()
		s.shown.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *screen) all() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

func (s *screen) do(line string) error {
	verb, text, _ := strings.Cut(line, " ")
	switch verb {
	case "size":
		size := &unix.Winsize{}
		if _, err := fmt.Sscan(text, &size.Row, &size.Col); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		return unix.IoctlSetWinsize(int(s.pty.Fd()), unix.TIOCSWINSZ, size)
	case "type":
		_, err := s.pty.WriteString(text + "\r")
		return err
	case "press":
		_, err := s.pty.WriteString("\x03")
		return err
	case "see":
		return s.see(text)
	}
	return fmt.Errorf("nobody can %q", line)
}

// see waits until the text shows after what was seen before.
func (s *screen) see(text string) error {
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(10 * time.Millisecond) {
		s.mu.Lock()
		at := bytes.Index(s.shown.Bytes()[s.seen:], []byte(text))
		if at >= 0 {
			s.seen += at + len(text)
		}
		s.mu.Unlock()
		if at >= 0 {
			return nil
		}
	}
	return fmt.Errorf("%q does not show", text)
}
