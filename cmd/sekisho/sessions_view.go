package main

import (
	"bytes"
	"io"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

// view shows one channel of a session. On a terminal, what came before of a channel that has a terminal is gone through on a
// screen that nobody sees, and only what stands there in the end is painted.
type view struct {
	out      io.Writer
	raw      bool        // line feeds need carriage returns
	paint    bool        // out is a terminal
	live     func() bool // what came before has been read
	only     *uint32     // the channel that was asked for
	channels map[uint32]*seen
	current  uint32 // what is shown; 0 is none
	buf      []byte // of the entry that is looked at
}

// seen is a channel that is open.
type seen struct {
	runs    bool
	screen  *terminal.Screen // nil where the channel has no terminal, or none is painted
	shown   bool             // what stands on the screen was painted
	pty     bool
	filters [2]terminal.Filter // output, standard error
}

// show takes an entry in and shows it if it is of the channel that is looked at.
func (v *view) show(e recording.Entry) error {
	if e.Channel == 0 {
		return nil
	}
	c := v.channels[e.Channel]
	if c == nil {
		c = &seen{}
		v.channels[e.Channel] = c
	}
	v.take(c, e)
	v.choose()
	now := v.channels[v.current]
	switch {
	case now == nil:
		return nil
	case now.screen != nil && !now.shown:
		return v.repaint(now)
	case now != c || len(v.buf) == 0:
		return nil
	}
	if v.raw && !c.pty {
		v.buf = bytes.ReplaceAll(v.buf, []byte("\n"), []byte("\r\n"))
	}
	_, err := v.out.Write(v.buf)
	return err
}

// take keeps in mind what an entry says of its channel, and leaves in buf what of it may be shown.
func (v *view) take(c *seen, e recording.Entry) {
	v.buf = v.buf[:0]
	switch e.Kind {
	case recording.ChannelClose:
		delete(v.channels, e.Channel)
		if v.current == e.Channel {
			v.current = 0
		}
	case recording.PTYRequest:
		c.pty = true
		if pty, err := recording.DecodePTY(e.Data); err == nil && v.paint {
			c.screen = terminal.NewScreen(terminal.Size(pty.Cols, pty.Rows))
		}
	case recording.Resize:
		if cols, rows, err := recording.DecodeResize(e.Data); err == nil && c.screen != nil {
			c.screen.Resize(terminal.Size(cols, rows))
		}
	case recording.Shell, recording.Exec, recording.Subsystem:
		c.runs = true
	case recording.Output:
		v.takeOutput(c, &c.filters[0], e.Data)
	case recording.Stderr:
		v.takeOutput(c, &c.filters[1], e.Data)
	}
}

func (v *view) takeOutput(c *seen, filter *terminal.Filter, data []byte) {
	if c.screen != nil {
		c.screen.Write(data)
	}
	v.buf = filter.Append(v.buf, data)
}

// choose keeps to a channel until it is closed, then takes the first of the others that runs a program.
func (v *view) choose() {
	if v.only != nil {
		v.current = *v.only
		return
	}
	if v.current != 0 {
		return
	}
	for n, c := range v.channels {
		if c.runs && (v.current == 0 || n < v.current) {
			v.current = n
		}
	}
}

// repaint paints a screen once what came before has been read.
func (v *view) repaint(c *seen) error {
	if !v.live() {
		return nil
	}
	c.shown = true
	_, err := v.out.Write(c.screen.Render(nil))
	return err
}
