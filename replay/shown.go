package replay

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

// shown is one line that a recording tells.
type shown struct {
	at      time.Duration
	channel uint32
	kind    recording.Kind
	text    string // without control characters other than tabs; at most maxLine bytes and, of a screen, a row
	raw     bool   // of a program with a pty, but taken from its bytes and not from the screen
}

// viewer turns what programs wrote into lines: what stood on an emulated screen where there was a pty, else what was
// written from newline to newline. A line is told when nothing can change it any more.
type viewer struct {
	take     func(shown)
	raw      bool // tell the bytes of ptys line by line, too
	edits    bool // tell what was changed a little, too
	channels followed[view]
}

func newViewer(take func(shown)) *viewer { return &viewer{take: take} }

// view is one channel.
type view struct {
	at              time.Duration // when something was written last
	screen          *onScreen     // nil without a pty
	out, errs, keys line
	kept            [2]line // with raw: of output and standard error what was taken back at once, too
}

// of gives the channel's view.
func (v *viewer) of(channel uint32) *view {
	c := v.channels.of(channel)
	if c == nil {
		c = &view{kept: [2]line{{all: true}, {all: true}}}
		v.channels.add(channel, c, v.close)
	}
	return c
}

// entry takes what changes the picture; other entries are for the caller.
func (v *viewer) entry(e recording.Entry) {
	switch e.Kind {
	case recording.PTYRequest:
		if p, err := recording.DecodePTY(e.Data); err == nil {
			if c := v.of(e.Channel); c.screen == nil {
				c.screen = newOnScreen(terminal.Size(p.Cols, p.Rows))
				c.screen.edits = v.edits
			}
		}
	case recording.Resize:
		if cols, rows, err := recording.DecodeResize(e.Data); err == nil {
			if c := v.of(e.Channel); c.screen != nil {
				c.screen.resize(cols, rows, e.At, v.printer(e.Channel))
			}
		}
	case recording.Output, recording.Stderr, recording.Input:
		v.stream(e)
	}
}

func (v *viewer) stream(e recording.Entry) {
	c := v.of(e.Channel)
	c.at = max(c.at, e.At)
	told := shown{at: e.At, channel: e.Channel, kind: e.Kind}
	print := func(text []byte) {
		told.text = string(text)
		v.take(told)
	}
	switch {
	case e.Kind == recording.Input:
		data := e.Data
		if c.screen != nil { // at a terminal, Enter sends a carriage return
			data = bytes.ReplaceAll(data, []byte("\r"), []byte("\n"))
		}
		c.keys.add(data, print)
	case c.screen == nil && e.Kind == recording.Stderr:
		c.errs.add(e.Data, print)
	case c.screen == nil:
		c.out.add(e.Data, print)
	default:
		c.screen.write(e.Data, e.At, v.printer(e.Channel))
		if v.raw {
			told.raw = true
			c.out.add(e.Data, print)
		}
	}
	if v.raw && e.Kind != recording.Input {
		told.raw = true
		kept := &c.kept[0]
		if e.Kind == recording.Stderr && c.screen == nil {
			kept = &c.kept[1]
		}
		kept.add(e.Data, print)
	}
}

// printer tells what stood on a channel's screen.
func (v *viewer) printer(channel uint32) printer {
	return func(at time.Duration, text string) {
		v.take(shown{at: at, channel: channel, kind: recording.Output, text: text})
	}
}

// flush tells the lines of a channel that have begun.
func (v *viewer) flush(channel uint32, at time.Duration) {
	c := v.channels.of(channel)
	if c == nil {
		return
	}
	raw := c.screen != nil
	if raw {
		c.screen.flush(v.printer(channel))
	}
	for _, l := range []struct {
		line *line
		kind recording.Kind
		raw  bool
	}{{&c.out, recording.Output, raw}, {&c.kept[0], recording.Output, true}, {&c.kept[1], recording.Stderr, true}, {&c.errs, recording.Stderr, false}, {&c.keys, recording.Input, false}} {
		if len(l.line.text) > 0 {
			l.line.tell(func(text []byte) { v.take(shown{at, channel, l.kind, string(text), l.raw}) })
		}
	}
}

// close tells what is left of a channel and forgets it, so that many channels one after the other cost nothing.
func (v *viewer) close(channel uint32) {
	if c := v.channels.of(channel); c != nil {
		v.flush(channel, c.at)
		v.channels.drop(channel)
	}
}

// end closes all channels.
func (v *viewer) end() {
	for _, channel := range v.channels.sorted() {
		v.close(channel)
	}
}

// maxLine is where a line that does not end is broken.
const maxLine = 16 << 10

// line is the last line of a stream, as far as it is known.
type line struct {
	filter terminal.Filter
	text   []byte
	buf    []byte
	all    bool // nothing is taken back; only lines are told from which something was
	taken  bool
}

func (l *line) add(data []byte, print func([]byte)) {
	l.buf = l.filter.Append(l.buf[:0], data)
	plain := l.buf
	if bytes.IndexByte(plain, 0x1b) >= 0 {
		plain = unsequenced(plain)
	}
	for _, b := range plain {
		if len(l.text) >= maxLine && utf8.RuneStart(b) {
			l.tell(print)
		}
		switch {
		case b == '\n':
			l.tell(print)
		case b == '\b' && l.all:
			l.taken = true
		case b == '\b': // takes back one character, as line editors use it
			_, size := utf8.DecodeLastRune(l.text)
			l.text = l.text[:len(l.text)-size]
		case b >= 0x20 || b == '\t':
			l.text = append(l.text, b)
		}
	}
}

// unsequenced takes the sequences out of what a Filter let through, in place. They are whole: ESC [ to a final byte, ESC and a
// bracket with a character set, or ESC and a character.
func unsequenced(b []byte) []byte {
	kept := b[:0]
	for i := 0; i < len(b); {
		if b[i] != 0x1b {
			kept = append(kept, b[i])
			i++
			continue
		}
		i += 2
		switch {
		case i > len(b):
		case b[i-1] == '[':
			for i < len(b) && (b[i] < '@' || b[i] > '~') {
				i++
			}
			i++
		case b[i-1] == '(' || b[i-1] == ')':
			i++
		}
	}
	return kept
}

// tell prints the line and begins another.
func (l *line) tell(print func([]byte)) {
	if !l.all || l.taken {
		print(l.text)
	}
	l.text, l.taken = l.text[:0], false
}
