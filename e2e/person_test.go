package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// traveller is one person of a story: a name, and a folder that is home and everything.
type traveller struct {
	name  string
	home  string
	house *house
}

// person makes the program that is that person. Its first argument is a command of sekisho, a program that goes
// through ssh, or one of mallory's tools, which honest people can hold as well.
func person(name string) func() {
	return func() {
		if err := speak(name, os.Args[1:]); err != nil {
			fail(name, err)
		}
	}
}

func speak(name string, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do")
	}
	h, err := readHouse(os.Getenv("HOUSE"))
	if err != nil {
		return err
	}
	p := &traveller{name: name, home: filepath.Join(os.Getenv("WORK"), name), house: h}
	if err := os.MkdirAll(p.sekisho(), 0o700); err != nil {
		return err
	}
	os.Setenv("HOME", p.home)
	os.Setenv("SEKISHO_HOME", p.sekisho())
	os.Setenv("SEKISHO_BROWSER", "browser "+name)
	if use, ok := tools[args[0]]; ok {
		return use(p, args[1:])
	}
	switch args[0] {
	case "login":
		return p.login(args[1:])
	case "ssh", "scp", "sftp":
		return become(append([]string{args[0], "-F", p.sshConfig()}, args[1:]...))
	case "rsync":
		return become(append([]string{"rsync", "-e", "ssh -F " + p.sshConfig()}, args[1:]...))
	}
	return become(append([]string{"sekisho"}, args...))
}

func (p *traveller) sekisho() string   { return filepath.Join(p.home, "sekisho") }
func (p *traveller) sshConfig() string { return filepath.Join(p.home, "ssh_config") }

// login signs in at the house and, the first time, sets up ssh.
func (p *traveller) login(args []string) error {
	if _, err := os.Stat(filepath.Join(p.sekisho(), "config.json")); err != nil {
		args = append(args, p.house.URL, "--ca-file", p.house.CAFile)
	}
	login := exec.Command("sekisho", append([]string{"login"}, args...)...)
	login.Stdin, login.Stdout, login.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := login.Run(); err != nil {
		return err
	}
	if _, err := os.Stat(p.sshConfig()); err == nil {
		return nil
	}
	block, err := exec.Command("sekisho", "ssh-config").Output()
	if err != nil {
		return fmt.Errorf("ssh-config: %w", err)
	}
	return os.WriteFile(p.sshConfig(), block, 0o600)
}

// become lets another program take this one's place, so that signals and exit codes are its own.
func become(argv []string) error {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, argv, os.Environ())
}

// fail ends this program as the one that it ran has ended.
func fail(name string, err error) {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	os.Exit(1)
}

// browser is SEKISHO_BROWSER: "browser mei URL" notes in the story's file "browsers" that one was opened, and signs in
// there as mei would.
func browser() {
	if err := browse(os.Args[1:]); err != nil {
		fail("browser", err)
	}
}

func browse(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("browser of whom, and where: %q", args)
	}
	f, err := os.OpenFile(filepath.Join(os.Getenv("WORK"), "browsers"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, args[0]); err != nil {
		return err
	}
	h, err := readHouse(os.Getenv("HOUSE"))
	if err != nil {
		return err
	}
	account, ok := h.People[args[0]]
	if !ok {
		return fmt.Errorf("%s has no account", args[0])
	}
	return become([]string{account.Browser, args[1]})
}

var shownURL = regexp.MustCompile(`https://\S+`)

// phone is a browser on another machine: "phone mei shown" waits until the file shows an address, and goes there.
func phone() {
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(os.Args[2])
		if address := shownURL.Find(text); err == nil && address != nil && slices.Contains(text, '\n') {
			fail("phone", browse([]string{os.Args[1], string(address)}))
		}
	}
	fail("phone", fmt.Errorf("%s shows no address", os.Args[2]))
}
