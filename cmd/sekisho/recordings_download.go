package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

type recordingsDownloadCmd struct {
	Session string `arg:"" suggest:"recorded" help:"Session ID."`
	Out     string `short:"o" placeholder:"FILE" help:"Where it goes; SESSION.rec if not given, - for stdout."`
}

func (*recordingsDownloadCmd) Help() string {
	return `Fetches the sealed file of a session's recording, as it is kept. It stays sealed: play, export and verify read it later, without the server.

Examples:

    sekisho recordings download ses_k5xqz7...
    sekisho recordings download ses_k5xqz7... -o - | sha256sum
`
}

func (cmd *recordingsDownloadCmd) Run(a *app) error {
	if !isSession(cmd.Session) {
		return &usageError{fmt.Sprintf("%q is no session ID; sekisho recordings list shows them", cmd.Session)}
	}
	if cmd.Out == "" {
		cmd.Out = cmd.Session + ".rec"
	}
	src, err := a.download(cmd.Session)
	if err != nil {
		return err
	}
	defer src.close()
	bar := a.progress(src.total)
	err = a.output(cmd.Out, func(w io.Writer) error {
		_, err := io.Copy(w, io.TeeReader(src, bar))
		return err
	})
	bar.done()
	if err != nil {
		return err
	}
	if cmd.Out != "-" {
		fmt.Fprintf(a.err, "Wrote %s. Check it with: sekisho recordings verify %s\n", cmd.Out, cmd.Out)
	}
	return nil
}

// output lets write make a file, which appears under its name only when it is whole, and never in the place of
// another. "" and "-" are stdout. Only its owner may read the file: it holds what somebody saw.
func (a *app) output(path string, write func(io.Writer) error) error {
	if path == "" || path == "-" {
		return write(a.out)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, &sekisho.Refusal{
			Sentence: fmt.Sprintf("%s is there already.", path), Next: "Give another name with -o; nothing is ever overwritten.",
		})
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("Nothing can be written to the folder %s: %v.", filepath.Dir(path), bare(err)),
			Next:     "Give another place with -o.", Cause: err,
		}
	}
	defer os.Remove(f.Name())
	err = write(f)
	var cut partly
	if at, serr := f.Seek(0, io.SeekCurrent); err == nil || errors.As(err, &cut) && serr == nil && at > 0 {
		err = errors.Join(err, f.Sync(), os.Rename(f.Name(), path))
	}
	return errors.Join(err, f.Close())
}

// bare is what went wrong with a file, without the name that only the program knows.
func bare(err error) error {
	if at := new(fs.PathError); errors.As(err, &at) {
		return at.Err
	}
	return err
}

// partly marks an error after which what was written is still worth keeping.
type partly struct{ error }

func (p partly) Unwrap() error { return p.error }

// progress shows on a terminal how far a download is.
type progress struct {
	to          io.Writer // nil: no terminal
	total, got  int64
	start, last time.Time
}

func (a *app) progress(total int64) *progress {
	p := &progress{total: total, start: time.Now()}
	if a.terminal {
		p.to = a.err
	}
	return p
}

func (p *progress) Write(b []byte) (int, error) {
	p.got += int64(len(b))
	if now := time.Now(); p.to != nil && now.Sub(p.last) > 100*time.Millisecond {
		p.last = now
		fmt.Fprint(p.to, p.line(now))
	}
	return len(b), nil
}

// line is a bar of 30 columns with the numbers beside it.
func (p *progress) line(now time.Time) string {
	part := 1.0
	if p.total > 0 {
		part = min(1, float64(p.got)/float64(p.total))
	}
	full := int(part * 30)
	rate := ""
	if s := now.Sub(p.start).Seconds(); s > 0.5 {
		rate = size(int64(float64(p.got)/s)) + "/s"
	}
	return fmt.Sprintf("\r[%s%s] %3.0f %% of %s %s\x1b[K", strings.Repeat("#", full), strings.Repeat(".", 30-full), part*100, size(p.total), rate)
}

func (p *progress) done() {
	if p.to != nil {
		fmt.Fprint(p.to, "\r\x1b[K")
	}
}
