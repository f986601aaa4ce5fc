package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/client"
)

type auditVerifyCmd struct {
	File string `arg:"" optional:"" type:"existingfile" help:"An exported file; the server's log if not given."`
	Key  string `placeholder:"KEY" help:"The log's verifier key, if not the one that login has learned."`
}

func (*auditVerifyCmd) Help() string {
	return `Recomputes the Merkle tree over every line and holds it against the signed checkpoint; nothing the server says about it is believed. The last checkpoint seen is remembered on this machine, and the log must still begin with what it signed: so a log that was cut or written anew shows, even if its key was stolen. Exits with 1 and names the first bad line if something is wrong.

Examples:

    sekisho audit verify
    sekisho audit verify audit.jsonl
    sekisho audit verify audit.jsonl --key sekisho.example.com/audit+1a2b3c4d+AQ...
`
}

func (cmd *auditVerifyCmd) Run(a *app) error {
	check, err := a.newCheck(cmd.Key, cmd.File != "")
	if err != nil {
		return err
	}
	var report string
	if cmd.File != "" {
		report, err = check.file(cmd.File)
	} else {
		report, err = check.server(a, io.Discard)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(a.out, report)
	return err
}

// check is one check of a log: with which key, and what was seen of it before.
type check struct {
	client *client.Client // nil: a file, a key, and no home
	key    string
	seen   []string // checkpoints: one or none
}

// logMemory is audit.json: what was seen of the logs of the servers, by URL.
type logMemory map[string]seenLog

type seenLog struct {
	Key        string `json:"key"`
	Checkpoint string `json:"checkpoint"`
}

const memoryFile = "audit.json"

// newCheck finds the key: the one given, or the one remembered, or the one that login has learned. Once a log was
// checked, its server cannot bring in another key by itself.
func (a *app) newCheck(key string, offline bool) (*check, error) {
	if key != "" {
		if _, err := audit.NewVerifier(key); err != nil {
			return nil, &usageError{"--key: want the log's verifier key, such as sekisho.example.com/audit+1a2b3c4d+AQ..."}
		}
	}
	open := a.signedIn
	if offline {
		open = a.client
	}
	c, err := open()
	if err != nil {
		if offline && key != "" {
			return &check{key: key}, nil
		}
		return nil, err
	}
	known, err := readMemory(c.Home())
	if err != nil {
		return nil, err
	}
	before, config := known[c.Config().URL], c.Config()
	switch {
	case key != "":
	case before.Key != "" && config.AuditKey != "" && before.Key != config.AuditKey:
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("%s now names %s as the key of its audit log; the log was checked with %s before.", config.URL, config.AuditKey, before.Key),
			Next:     "Ask your administrator whether the key was really changed; if so, give it with --key.",
		}
	case before.Key != "":
		key = before.Key
	case config.AuditKey != "":
		key = config.AuditKey
	default:
		return nil, &sekisho.Refusal{
			Sentence: "The key of the audit log is not known on this machine.", Next: "Log in again, or give it with --key.",
		}
	}
	check := &check{client: c, key: key}
	if before.Key == key && before.Checkpoint != "" {
		check.seen = []string{before.Checkpoint}
	}
	return check, nil
}

// server checks the server's log, writing it to w as an export file, and remembers its checkpoint.
func (k *check) server(a *app, w io.Writer) (string, error) {
	v, err := audit.NewVerifier(k.key, k.seen...)
	if err != nil {
		return "", err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	checkpoint, err := k.receive(a, v, out)
	if err != nil {
		return "", errors.Join(err, out.Flush())
	}
	trailer, err := audit.Trailer(checkpoint)
	if err != nil {
		return "", err
	}
	out.Write(trailer) // Flush gives the error
	if err := out.Flush(); err != nil {
		return "", err
	}
	report, err := v.Finish(checkpoint)
	if err != nil {
		return "", wrong(err)
	}
	if err := k.remember(checkpoint); err != nil {
		return "", err
	}
	return k.say(report), nil
}

// receive streams the log through the verifier. On a bad line it stops.
func (k *check) receive(a *app, v *audit.Verifier, out io.Writer) (string, error) {
	stream, err := k.client.Audit().Export(a.ctx, connect.NewRequest(&apiv1.ExportRequest{}))
	if err != nil {
		return "", err
	}
	defer stream.Close()
	bar := a.counter()
	defer bar.done()
	for stream.Receive() {
		for _, line := range stream.Msg().Events {
			if _, err := out.Write(append(line, '\n')); err != nil {
				return "", err
			}
			if err := v.Add(line); err != nil {
				return "", wrong(err)
			}
		}
		bar.show(v.Size())
		if stream.Msg().Checkpoint != "" {
			return stream.Msg().Checkpoint, nil
		}
	}
	if err := stream.Err(); err != nil {
		return "", err
	}
	return "", wrong(fmt.Errorf("the server sent %d lines and no checkpoint", v.Size()))
}

// file checks an export file. One that was made before the log was last seen is shorter, and that is no fault.
func (k *check) file(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	report, err := audit.Verify(f, k.key, k.seen...)
	var cut *audit.Cut
	if errors.As(err, &cut) {
		return fmt.Sprintf("%s\nThe log has since grown: %d were seen on the server.\n", headline(report), cut.Seen), nil
	}
	if err != nil {
		return "", wrong(err)
	}
	return k.say(report), nil
}

func (k *check) say(r audit.Report) string {
	text := headline(r) + "\n"
	if len(k.seen) > 0 {
		text += "It begins with all that was seen of the log before.\n"
	}
	return text
}

func headline(r audit.Report) string {
	return fmt.Sprintf("%s, root %s, signed by %s: nothing was changed.", count(int(r.Events), "event"), r.Root, plain(r.Signer))
}

// wrong tells the person that the log is not what it should be.
func wrong(err error) error {
	return &sekisho.Refusal{
		Sentence: fmt.Sprintf("The audit log is not as it was written: %s.", plain(err.Error())),
		Next:     "Keep what you have of it, and tell those who look after security.", Cause: err,
	}
}

// readMemory reads audit.json. A damaged one is an error: forgetting quietly is what somebody who changed the log wants.
func readMemory(h client.Home) (logMemory, error) {
	known := logMemory{}
	text, err := os.ReadFile(h.Path(memoryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return known, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &known)
	}
	if err != nil {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("%s, which remembers what was seen of the audit log, cannot be read.", h.Path(memoryFile)),
			Next:     "Restore it, or delete it to begin anew with what the server says now.", Cause: err,
		}
	}
	return known, nil
}

// remember keeps the checkpoint for the next time, unless another process has meanwhile.
func (k *check) remember(checkpoint string) error {
	h := k.client.Home()
	known, err := readMemory(h)
	if err != nil {
		return err
	}
	url := k.client.Config().URL
	if len(k.seen) > 0 && known[url].Checkpoint != k.seen[0] {
		return nil
	}
	known[url] = seenLog{Key: k.key, Checkpoint: checkpoint}
	text, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return err
	}
	if err := replace(h.Path(memoryFile), append(text, '\n')); err != nil {
		return fmt.Errorf("remember the checkpoint: %w", err)
	}
	return nil
}

// counter shows on a terminal how many events have been checked.
type counter struct {
	to   io.Writer // nil: no terminal
	last time.Time
}

func (a *app) counter() *counter {
	if !a.terminal {
		return &counter{}
	}
	return &counter{to: a.err}
}

func (c *counter) show(n int64) {
	if now := time.Now(); c.to != nil && now.Sub(c.last) > 100*time.Millisecond {
		c.last = now
		fmt.Fprintf(c.to, "\rchecked %d events\x1b[K", n)
	}
}

func (c *counter) done() {
	if c.to != nil {
		fmt.Fprint(c.to, "\r\x1b[K")
	}
}
