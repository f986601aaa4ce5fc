// Command capture types a short session into a demo of its own and draws what came out: the terminal in the README.
//
//	capture -bin bin -svg docs/capture.svg -readme README.md
//
// Everything shown is what the programs said; only the prompts are drawn by this program, lines wider than the picture
// are folded, and the browser is the demo's, which fills in the form by itself.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	bin := flag.String("bin", "bin", "folder with the programs")
	svg := flag.String("svg", "", "picture to write")
	readme := flag.String("readme", "", "file whose text between the markers is replaced")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := run(ctx, *bin, *svg, *readme); err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, svg, readme string) error {
	dir, err := os.MkdirTemp("", "sekisho-capture-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if bin, err = filepath.Abs(bin); err != nil {
		return err
	}
	d, err := startDemo(ctx, bin, dir)
	if err != nil {
		return err
	}
	defer d.stop()
	steps, err := d.play(ctx, script)
	if err != nil {
		return err
	}
	if svg != "" {
		if err := os.WriteFile(svg, draw(steps), 0o644); err != nil {
			return err
		}
	}
	if readme != "" {
		return replace(readme, text(steps))
	}
	_, err = os.Stdout.WriteString(text(steps))
	return err
}

// line is one command of one person; fails says that it is to end with an error.
type line struct {
	person, command string
	fails           bool
}

const list = "sekisho recordings list"

// script is what the README shows. $SESSION is the ID of the newest recording.
var script = []line{
	{"mei", "sekisho login $URL --ca-file $CA", false},
	{"mei", "sekisho ssh-config > ssh_config", false},
	{"mei", "ssh -F ssh_config web1 'echo hello from $(hostname)'", false},
	{"mei", "ssh -F ssh_config db1 'id -un; exit 3'; echo exit code $?", false},
	{"mei", list, false},
	{"mei", "sekisho recordings verify $SESSION", false},
	{"mei", "sekisho recordings export $SESSION --format text --key $AUDITOR_KEY", false},
	{"ken", "sekisho login $URL --ca-file $CA && sekisho ssh-config > ssh_config", false},
	{"ken", "ssh -F ssh_config db1 id", true},
	{"mei", "sekisho audit verify", false},
}

// demo is a running demo and what capture needs of its demo.json.
type demo struct {
	bin    string
	cmd    *exec.Cmd
	URL    string `json:"url"`
	CAFile string `json:"ca_file"`
	People map[string]struct {
		Home    string `json:"home"`
		Browser string `json:"browser"`
	} `json:"people"`
	Auditor struct {
		PrivateKey string `json:"private_key"`
	} `json:"auditor"`
}

// startDemo returns when the demo has said that the house stands.
func startDemo(ctx context.Context, bin, dir string) (*demo, error) {
	d := &demo{bin: bin, cmd: exec.Command(filepath.Join(bin, "demo"))}
	d.cmd.Env = append(os.Environ(), "DEMO_DIR="+dir)
	d.cmd.Stderr = os.Stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	stands := make(chan error, 1)
	go func() {
		var said bytes.Buffer
		buf := make([]byte, 4096)
		for {
			n, err := out.Read(buf)
			said.Write(buf[:n])
			if strings.Contains(said.String(), "Ctrl-C ends everything") {
				stands <- nil
				return
			}
			if err != nil {
				stands <- fmt.Errorf("demo ended: %w", err)
				return
			}
		}
	}()
	select {
	case err = <-stands:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		var known []byte
		if known, err = os.ReadFile(filepath.Join(dir, "demo.json")); err == nil {
			err = json.Unmarshal(known, d)
		}
	}
	if err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

// stop ends the demo, which ends all that it started.
func (d *demo) stop() {
	d.cmd.Process.Signal(syscall.SIGTERM)
	d.cmd.Wait()
}

// step is a line and what came out.
type step struct {
	line
	shown, out string
}

func (d *demo) play(ctx context.Context, script []line) ([]step, error) {
	var steps []step
	session := ""
	for _, l := range script {
		if l.command == list {
			if err := d.settle(ctx, l); err != nil {
				return nil, err
			}
		}
		out, err := d.shell(ctx, l, session)
		if (err != nil) != l.fails {
			return nil, fmt.Errorf("%s$ %s: %v\n%s", l.person, l.command, err, out)
		}
		if l.command == list {
			lines := strings.Split(out, "\n")
			session, _, _ = strings.Cut(lines[1], " ")
		}
		steps = append(steps, step{l, strings.ReplaceAll(l.command, "$SESSION", session), strings.TrimRight(strings.ReplaceAll(out, "\r\n", "\n"), "\n")})
	}
	return steps, nil
}

// settle waits until no recording is open any more: ssh returns a moment before the gateway has closed its own.
func (d *demo) settle(ctx context.Context, l line) error {
	for {
		out, err := d.shell(ctx, l, "")
		if err != nil || !strings.Contains(out, " open ") {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// shell runs one command as that person in their folder; both streams go into one, as on a screen.
func (d *demo) shell(ctx context.Context, l line, session string) (string, error) {
	p := d.People[l.person]
	cmd := exec.CommandContext(ctx, "sh", "-c", l.command)
	cmd.Dir = p.Home
	cmd.Env = append(os.Environ(), "PATH="+d.bin+":"+os.Getenv("PATH"), "SEKISHO_HOME="+p.Home, "SEKISHO_BROWSER="+p.Browser, "TZ=UTC",
		"URL="+d.URL, "CA="+d.CAFile, "AUDITOR_KEY="+d.Auditor.PrivateKey, "SESSION="+session)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
