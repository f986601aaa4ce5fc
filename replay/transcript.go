package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sekisho/sekisho/recording"
)

// Transcript writes a recording as plain text to be read and searched: what stood on the screen where there was a pty,
// else what the target sent, without control sequences; and lines that begin with "# " for everything else. A line of a
// screen is written when it goes off its top, is written over or taken away, and so may come after others that are
// younger. When the recording is cut, all of what is there is written and the error wraps ErrCut.
func Transcript(w io.Writer, r Source) error {
	out := bufio.NewWriter(w)
	s := r.Header().Session
	fmt.Fprintf(out, "# session %s: %s as %s on %s, started %s\n", s.ID, printable(s.Identity.Subject),
		printable(s.Login), printable(s.Target), s.Started.UTC().Format(time.RFC3339))
	t := transcript{out: out}
	t.view = newViewer(t.line)
	end, err := each(r, t.entry)
	t.view.end()
	if how, at, ok := r.End(); ok {
		fmt.Fprintf(out, "# %s ended: %s\n", Clock(at), printable(string(how)))
	} else if end != nil {
		fmt.Fprintf(out, "# %s\n", end)
	}
	if err := errors.Join(err, out.Flush()); err != nil {
		return fmt.Errorf("write transcript: %w", err)
	}
	return whole(end)
}

// transcript says before a line whose it is when that changes.
type transcript struct {
	out   *bufio.Writer
	view  *viewer
	shown struct {
		channel uint32
		kind    recording.Kind
	}
}

func (t *transcript) entry(e recording.Entry) error {
	if e.Kind.Stream() || e.Kind == recording.PTYRequest || e.Kind == recording.Resize {
		t.view.entry(e)
	}
	if e.Kind.Stream() || e.Kind == recording.Typed {
		return nil
	}
	switch c := t.view.channels.of(e.Channel); {
	case e.Kind == recording.ChannelClose:
		t.view.close(e.Channel)
	case e.Kind == recording.ExitStatus, e.Kind == recording.ExitSignal, c != nil && c.screen == nil:
		t.view.flush(e.Channel, e.At)
	}
	_, err := fmt.Fprintf(t.out, "# %s channel %d: %s\n", Clock(e.At), e.Channel, Describe(e))
	return err
}

// line writes one whole line, and says before whose it is when that changes.
func (t *transcript) line(l shown) {
	if t.shown.channel != l.channel || t.shown.kind != l.kind {
		t.shown.channel, t.shown.kind = l.channel, l.kind
		fmt.Fprintf(t.out, "# channel %d %s:\n", l.channel, l.kind) // an error stays in out until Flush
	}
	t.out.WriteString(l.text)
	t.out.WriteByte('\n')
}

// Clock is a time within a session for people, such as 0:01:02.345.
func Clock(at time.Duration) string {
	at = at.Round(time.Millisecond)
	return fmt.Sprintf("%d:%02d:%02d.%03d", at/time.Hour, at/time.Minute%60, at/time.Second%60, at/time.Millisecond%1000)
}
