package recording

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// AnyChannel stands for the first channel of a session on which a program runs.
const AnyChannel = math.MaxUint32

// Asciicast writes one channel of a recording as asciicast v2 (docs.asciinema.org/manual/asciicast/v2): output and
// standard error as "o", kept input as "i", window changes as "r". The bytes are those that the target sent, control
// sequences included, as far as they are UTF-8. A program without a pty gets 80x24, and carriage returns before its
// newlines. When the recording is cut, all of what is there is written and the error wraps ErrCut.
func Asciicast(w io.Writer, r *Reader, channel uint32) error {
	out := bufio.NewWriter(w)
	c := &cast{enc: newLines(out), channel: channel}
	s := r.Header().Session
	c.head.Version, c.head.Timestamp = 2, s.Started.Unix()
	c.head.Title = fmt.Sprintf("%s as %s on %s (%s)", s.Identity.Subject, s.Login, s.Target, s.ID)
	var end error
	for end == nil {
		var e Entry
		if e, end = r.Next(); end == nil {
			if err := c.entry(e); err != nil {
				return fmt.Errorf("write asciicast: %w", err)
			}
		}
	}
	if err := errors.Join(c.finish(), out.Flush()); err != nil {
		return fmt.Errorf("write asciicast: %w", err)
	}
	if errors.Is(end, io.EOF) {
		return nil
	}
	return end
}

type castHeader struct {
	Version   int               `json:"version"`
	Width     uint32            `json:"width"`
	Height    uint32            `json:"height"`
	Timestamp int64             `json:"timestamp"`
	Command   string            `json:"command,omitempty"`
	Title     string            `json:"title,omitempty"`
	Env       map[string]string `json:"env,omitempty"`
}

// cast writes the header as late as it can: what is in it comes in entries before the first output.
type cast struct {
	enc       *lines
	channel   uint32
	head      castHeader
	begun     bool
	pty       bool
	at        time.Duration
	out, errs text
	in        text
	last      byte
	line      []byte
	scratch   []byte
}

func (c *cast) entry(e Entry) error {
	if c.channel == AnyChannel && e.Kind < Note && e.Kind != ChannelOpen && e.Kind != ChannelClose {
		c.channel = e.Channel
	}
	if e.Channel != c.channel {
		return nil
	}
	c.at = max(c.at, e.At) // times must not go back
	switch e.Kind {
	case PTYRequest:
		return c.terminal(e.Data)
	case Exec, Subsystem:
		c.head.Command = strings.ToValidUTF8(string(e.Data), "\ufffd")
	case Resize:
		return c.resize(e.Data)
	case Output:
		return c.print(&c.out, e.Data)
	case Stderr:
		return c.print(&c.errs, e.Data)
	case Input:
		c.line = c.in.append(c.line[:0], e.Data)
		return c.event("i", c.line)
	}
	return nil
}

func (c *cast) terminal(data []byte) error {
	p, err := DecodePTY(data)
	if err != nil {
		return err
	}
	c.pty, c.head.Width, c.head.Height = true, p.Cols, p.Rows
	if p.Term != "" {
		c.head.Env = map[string]string{"TERM": p.Term}
	}
	return nil
}

func (c *cast) resize(data []byte) error {
	cols, rows, err := DecodeResize(data)
	if err != nil || cols == 0 || rows == 0 {
		return err
	}
	return c.event("r", fmt.Appendf(nil, "%dx%d", cols, rows))
}

// print writes a piece of output. Without a pty nothing has turned the program's newlines into CR LF.
func (c *cast) print(t *text, data []byte) error {
	c.line = t.append(c.line[:0], data)
	line := c.line
	if !c.pty {
		c.scratch = crlf(c.scratch[:0], line, c.last)
		line = c.scratch
	}
	if len(line) > 0 {
		c.last = line[len(line)-1]
	}
	return c.event("o", line)
}

func (c *cast) event(kind string, data []byte) error {
	if err := c.begin(); err != nil || len(data) == 0 {
		return err
	}
	at := json.Number(strconv.FormatFloat(c.at.Seconds(), 'f', 6, 64))
	return c.enc.encode([]any{at, kind, string(data)})
}

func (c *cast) begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	if c.head.Width == 0 || c.head.Height == 0 {
		c.head.Width, c.head.Height = 80, 24
	}
	return c.enc.encode(c.head)
}

// finish writes what is left: the header of a channel without output, characters that were cut off.
func (c *cast) finish() error {
	if err := c.begin(); err != nil {
		return err
	}
	if tail := c.errs.flush(c.out.flush(nil)); len(tail) > 0 {
		return c.event("o", tail)
	}
	return nil
}
