package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/sekisho/sekisho/recording"
)

// Transcript writes a recording as plain text to be read and searched: what the target sent, without control
// sequences, and lines that begin with "# " for everything else. When the recording is cut, all of what is there is
// written and the error wraps ErrCut.
func Transcript(w io.Writer, r Source) error {
	out := bufio.NewWriter(w)
	s := r.Header().Session
	fmt.Fprintf(out, "# session %s: %s as %s on %s, started %s\n", s.ID, printable(s.Identity.Subject),
		printable(s.Login), printable(s.Target), s.Started.UTC().Format(time.RFC3339))
	t := transcript{out: out, lines: map[lineKey]*line{}}
	var end error
	for end == nil {
		var e recording.Entry
		if e, end = r.Next(); end == nil {
			t.entry(e)
		}
	}
	t.flush()
	if how, at, ok := r.End(); ok {
		fmt.Fprintf(out, "# %s ended: %s\n", clock(at), printable(string(how)))
	} else {
		fmt.Fprintf(out, "# %s\n", end)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write transcript: %w", err)
	}
	if errors.Is(end, io.EOF) {
		return nil
	}
	return end
}

type lineKey struct {
	channel uint32
	kind    recording.Kind
}

// transcript keeps one line per stream, so that streams that write at the same time do not tear lines apart.
type transcript struct {
	out   *bufio.Writer
	lines map[lineKey]*line
	order []lineKey
	shown lineKey
}

func (t *transcript) entry(e recording.Entry) {
	if !stream(e.Kind) {
		t.flush()
		fmt.Fprintf(t.out, "# %s channel %d: %s\n", clock(e.At), e.Channel, Describe(e))
		if e.Kind == recording.ChannelClose {
			t.close(e.Channel)
		}
		return
	}
	key := lineKey{e.Channel, e.Kind}
	l := t.lines[key]
	if l == nil {
		l = &line{}
		t.lines[key], t.order = l, append(t.order, key)
	}
	l.add(e.Data, func(text []byte) { t.print(key, text) })
}

// print writes one whole line, and says before whose it is when that changes.
func (t *transcript) print(key lineKey, text []byte) {
	if key != t.shown {
		t.shown = key
		fmt.Fprintf(t.out, "# channel %d %s:\n", key.channel, key.kind)
	}
	t.out.Write(text) // the error stays in out until Flush
	t.out.WriteByte('\n')
}

// flush writes the lines that have begun, in the order in which their streams appeared.
func (t *transcript) flush() {
	for _, key := range t.order {
		if l := t.lines[key]; len(l.text) > 0 {
			t.print(key, l.text)
			l.text = l.text[:0]
		}
	}
}

// close forgets the streams of a channel, so that many channels one after the other cost nothing.
func (t *transcript) close(channel uint32) {
	kept := t.order[:0]
	for _, key := range t.order {
		if key.channel == channel {
			delete(t.lines, key)
		} else {
			kept = append(kept, key)
		}
	}
	t.order = kept
}

// sequence is what Screen lets through apart from text.
var sequence = regexp.MustCompile(`\x1b(\[[0-9;:?]*[@-~]|[()][0AB]|[78DEHM])`)

// maxLine is where a line that does not end is broken.
const maxLine = 16 << 10

// line is the last line of a stream, as far as it is known.
type line struct {
	screen recording.Screen
	text   []byte
	buf    []byte
}

func (l *line) add(data []byte, print func([]byte)) {
	l.buf = l.screen.Append(l.buf[:0], data)
	for _, b := range sequence.ReplaceAll(l.buf, nil) {
		switch {
		case b == '\n':
			print(l.text)
			l.text = l.text[:0]
		case b == '\b': // takes back one character, as line editors use it
			_, size := utf8.DecodeLastRune(l.text)
			l.text = l.text[:len(l.text)-size]
		case b >= 0x20 || b == '\t':
			l.text = append(l.text, b)
		}
		if len(l.text) >= maxLine && b < utf8.RuneSelf {
			print(l.text)
			l.text = l.text[:0]
		}
	}
}

// clock is a time within the session, such as 0:01:02.345.
func clock(at time.Duration) string {
	at = at.Round(time.Millisecond)
	return fmt.Sprintf("%d:%02d:%02d.%03d", at/time.Hour, at/time.Minute%60, at/time.Second%60, at/time.Millisecond%1000)
}
