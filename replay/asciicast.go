package replay

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

// Asciicast writes one channel of a recording as asciicast v2 (docs.asciinema.org/manual/asciicast/v2): output and
// standard error as "o", kept input as "i", window changes as "r", commands of a shell and bytes that were lost as "m". The bytes are those that the target
// sent, control sequences included, as far as they are UTF-8. A program without a pty gets 80x24, and carriage returns
// before its newlines; a window larger than terminal.Screen can be is that large. When the recording is cut, all of what is there is written and the error wraps ErrCut; when it
// has no such channel, the error is a *NoChannelError.
func Asciicast(w io.Writer, r Source, channel uint32) error { return asciicast(w, r, channel, 2) }

// Asciicast3 is Asciicast in version 3 (docs.asciinema.org/manual/asciicast/v3): times are those since the event
// before, and the exit status is an "x".
func Asciicast3(w io.Writer, r Source, channel uint32) error { return asciicast(w, r, channel, 3) }

func asciicast(w io.Writer, r Source, channel uint32, version int) error {
	out := bufio.NewWriter(w)
	s := r.Header().Session
	c := &cast{
		lines: newLines(out), choice: Choose(channel), version: version, timestamp: s.Started.Unix(),
		title: fmt.Sprintf("%s as %s on %s (%s)", s.Identity.Subject, s.Login, s.Target, s.ID),
	}
	c.commands = newCommandReader(c.mark)
	end, err := each(r, c.entry)
	if err == nil {
		err = c.commands.end()
	}
	if err := errors.Join(err, c.finish(), out.Flush()); err != nil {
		return fmt.Errorf("write asciicast: %w", err)
	}
	if err := c.choice.Missing(end); err != nil {
		return err
	}
	return whole(end)
}

// castHeader2 and castHeader3 are the first lines of the two versions.
type castHeader2 struct {
	Version   int               `json:"version"`
	Width     int               `json:"width"`
	Height    int               `json:"height"`
	Timestamp int64             `json:"timestamp"`
	Command   string            `json:"command,omitempty"`
	Title     string            `json:"title,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
}

type castHeader3 struct {
	Version   int      `json:"version"`
	Term      castTerm `json:"term"`
	Timestamp int64    `json:"timestamp"`
	Command   string   `json:"command,omitempty"`
	Title     string   `json:"title,omitempty"`
}

type castTerm struct {
	Cols int    `json:"cols"`
	Rows int    `json:"rows"`
	Type string `json:"type,omitempty"`
}

// cast writes the header as late as it can: what is in it comes in entries before the first output.
type cast struct {
	lines      *lines
	choice     Choice
	version    int
	timestamp  int64
	title      string
	command    string
	pty        recording.PTY
	wired      bool // there is a pty
	cols, rows int  // of it: players refuse sizes that no terminal has, and so all of the cast
	begun      bool
	at, told   time.Duration // of this entry; of the last line
	screen     feed
	in         terminal.Text
	line       []byte
	commands   *commandReader
	held       []castEvent
	heldBytes  int
	holding    bool
}

// castEvent is a line that is not written yet.
type castEvent struct {
	at   time.Duration
	code string
	data string
}

// maxHeld is how many bytes of lines are held. What a shell's command was is known when the next prompt is there; until
// then lines are held, so that its marker stands where Enter was pressed.
const maxHeld = 1 << 20

// mark puts a marker in.
func (c *cast) mark(k Command) error {
	if k.Channel != c.choice.channel || k.Found == string(terminal.HowExec) {
		return nil
	}
	i := 0
	for i < len(c.held) && c.held[i].at < k.At {
		i++
	}
	at := k.At
	if !c.holding {
		at = c.at
	}
	c.held = slices.Insert(c.held, i, castEvent{at, "m", k.Text})
	return c.release()
}

// release writes what was held.
func (c *cast) release() error {
	held := c.held
	c.held, c.heldBytes, c.holding = nil, 0, false
	for _, e := range held {
		if err := c.write(e.at, e.code, e.data); err != nil {
			return err
		}
	}
	return nil
}

func (c *cast) entry(e recording.Entry) error {
	if !c.choice.Takes(e) {
		return nil
	}
	c.at = max(c.at, e.At) // times must not go back
	if y, err := recording.DecodeTyping(e.Data); e.Kind == recording.Typed && err == nil && y.Enter {
		c.holding = true
	}
	if err := c.event(e); err != nil {
		return err
	}
	return c.commands.entry(e)
}

func (c *cast) event(e recording.Entry) error {
	switch e.Kind {
	case recording.PTYRequest:
		return c.terminal(e.Data)
	case recording.Exec, recording.Subsystem:
		c.command = strings.ToValidUTF8(string(e.Data), "\ufffd")
	case recording.Resize:
		return c.resize(e.Data)
	case recording.Output, recording.Stderr:
		c.line = c.screen.append(c.line[:0], e)
		return c.put("o", c.line)
	case recording.Input:
		c.line = c.in.Append(c.line[:0], e.Data)
		return c.put("i", c.line)
	case recording.Lost:
		return c.put("m", []byte(Describe(e)))
	case recording.ExitStatus:
		return c.exit(e.Data)
	}
	return nil
}

func (c *cast) terminal(data []byte) (err error) {
	if c.wired || c.begun {
		return nil
	}
	c.pty, err = recording.DecodePTY(data)
	c.cols, c.rows = terminal.Size(c.pty.Cols, c.pty.Rows)
	c.wired, c.screen.pty = err == nil, err == nil
	return err
}

func (c *cast) resize(data []byte) error {
	cols, rows, err := recording.DecodeResize(data)
	if err != nil || cols == 0 || rows == 0 {
		return err
	}
	w, h := terminal.Size(cols, rows)
	return c.put("r", fmt.Appendf(nil, "%dx%d", w, h))
}

func (c *cast) exit(data []byte) error {
	status, err := recording.DecodeExitStatus(data)
	if err != nil || c.version < 3 {
		return err
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.put("x", strconv.AppendUint(nil, uint64(status), 10))
}

// put writes one line, or holds it.
func (c *cast) put(code string, data []byte) error {
	if !c.holding {
		return c.write(c.at, code, string(data))
	}
	c.held = append(c.held, castEvent{c.at, code, string(data)})
	if c.heldBytes += len(data) + 64; c.heldBytes > maxHeld {
		return c.release()
	}
	return nil
}

// write writes one line. Times are rounded before differences are taken, so that no error adds up.
func (c *cast) write(at time.Duration, code, data string) error {
	if err := c.begin(); err != nil || len(data) == 0 {
		return err
	}
	at = max(at.Truncate(time.Microsecond), c.told)
	shown := at
	if c.version == 3 {
		shown -= c.told
	}
	c.told = at
	return c.lines.encode([]any{seconds(shown), code, data})
}

// seconds is a time in JSON, to the microsecond.
func seconds(d time.Duration) json.Number {
	return json.Number(fmt.Sprintf("%d.%06d", d/time.Second, d%time.Second/time.Microsecond))
}

func (c *cast) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	if c.cols == 0 || c.rows == 0 {
		c.cols, c.rows = 80, 24
	}
	return c.lines.encode(c.header())
}

func (c *cast) header() any {
	if c.version == 3 {
		return castHeader3{c.version, castTerm{c.cols, c.rows, c.pty.Term}, c.timestamp, c.command, c.title}
	}
	h := castHeader2{c.version, c.cols, c.rows, c.timestamp, c.command, c.title, nil}
	if c.pty.Term != "" {
		h.Env = map[string]string{"TERM": c.pty.Term}
	}
	return h
}

// flush writes characters that were cut off.
func (c *cast) flush() error {
	if tail := c.screen.flush(nil); len(tail) > 0 {
		return c.put("o", tail)
	}
	return nil
}

// finish writes what is left: the header of a channel without output, characters that were cut off.
func (c *cast) finish() error {
	if err := errors.Join(c.release(), c.begin()); err != nil {
		return err
	}
	return c.flush()
}
