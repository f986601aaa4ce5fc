package main

import (
	"io"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

// looking follows the channels of a session and keeps to one of them.
type looking struct {
	only     *uint32          // the channel that was asked for
	channels map[uint32]*seen // that are open
	current  uint32           // the one that is looked at; 0 is none
}

// seen is a channel that is open.
type seen struct {
	runs    bool               // it has a program
	pty     bool               // and that has a terminal
	filters [2]terminal.Filter // output, standard error; where no screen is painted
	texts   [2]terminal.Text   // the same; where one is, for a program without a terminal
	screen  *terminal.Screen   // nil until something is painted
}

func newLooking(only *uint32) looking { return looking{only: only, channels: map[uint32]*seen{}} }

// take keeps in mind what an entry says of its channel, and gives that channel: nil for what is of none.
func (l *looking) take(e recording.Entry) *seen {
	if e.Channel == 0 {
		return nil
	}
	c := l.channels[e.Channel]
	if c == nil {
		c = &seen{}
		l.channels[e.Channel] = c
	}
	switch e.Kind {
	case recording.ChannelClose:
		delete(l.channels, e.Channel)
		if l.current == e.Channel {
			l.current = 0
		}
	case recording.PTYRequest:
		c.pty = true
	case recording.Shell, recording.Exec, recording.Subsystem:
		c.runs = true
	}
	l.choose()
	return c
}

// choose keeps to a channel until it is closed, then takes the first of the others that runs a program.
func (l *looking) choose() {
	if l.only != nil {
		l.current = *l.only
		return
	}
	if l.current != 0 {
		return
	}
	for n, c := range l.channels {
		if c.runs && (l.current == 0 || n < l.current) {
			l.current = n
		}
	}
}

// now is the channel that is looked at, nil if there is none.
func (l *looking) now() *seen { return l.channels[l.current] }

// stream tells output, 0, from standard error, 1; ok is false for what is neither.
func stream(k recording.Kind) (n int, ok bool) {
	switch k {
	case recording.Output:
		return 0, true
	case recording.Stderr:
		return 1, true
	}
	return 0, false
}

// view shows one channel of a session to what is no terminal: all of it, from the beginning, as it is but for what a
// terminal must not be told.
type view struct {
	looking
	out io.Writer
	buf []byte // of the entry that is looked at
}

// show takes an entry in and shows it if it is of the channel that is looked at.
func (v *view) show(e recording.Entry) error {
	c := v.take(e)
	n, ok := stream(e.Kind)
	if c == nil || !ok {
		return nil
	}
	v.buf = c.filters[n].Append(v.buf[:0], e.Data)
	if v.now() != c || len(v.buf) == 0 {
		return nil
	}
	_, err := v.out.Write(v.buf)
	return err
}

// all shows all that a recording has, until it ends.
func (v *view) all(r *recording.Reader) error {
	for {
		e, err := r.Next()
		if err == nil {
			err = v.show(e)
		}
		if err != nil {
			return err
		}
	}
}
