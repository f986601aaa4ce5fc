package replay

import (
	"strings"
	"time"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

// Command is a command that was run in a session.
type Command struct {
	// At is when the client asked for it or, in a shell, when Enter was pressed. Until is when the next prompt was there, 0
	// where that is not known.
	At, Until time.Duration
	Channel   uint32
	// Text is the command in UTF-8. It may hold anything else, newlines too. Cut says that it went on.
	Text string
	Cut  bool
	// Directory is where it ran, "" where that is not known. It is absolute, or begins with ~ where a prompt named it.
	Directory string
	// Exit is its exit status, nil while and where that is not known; Signal is what ended it instead.
	Exit   *int
	Signal string
	// Found says how it was found: "exec" when the client asked for just this command, "marks" when the shell marked it,
	// "screen" when it was read off the screen (terminal.How).
	Found string
	// Confidence is "high", "medium" or "low": how sure it is that just this was run (terminal.Confidence).
	Confidence string
}

// Commands gives the commands of a recording, each when its end is known, or that this will not be told: so one may come
// after others that were begun later. It says how the recording ended as Transcript does; an error of take ends it at once.
func Commands(r Source, take func(Command) error) error {
	c := newCommandReader(take)
	end, err := each(r, c.entry)
	if err == nil {
		err = c.end()
	}
	if err != nil {
		return err
	}
	return whole(end)
}

// maxCommand is how many bytes of a command are kept.
const maxCommand = 64 << 10

// commandReader reads commands from entries: what a client asked to be run is exact, what is run in a shell is read off
// its screen.
type commandReader struct {
	take    func(Command) error
	running map[uint32]*Command // by channel: what the client asked for
	order   []uint32
	shells  followed[terminal.Commands] // those with a pty, on whose screens commands are read
	at      time.Duration
	err     error // of take
}

func newCommandReader(take func(Command) error) *commandReader {
	return &commandReader{take: take, running: map[uint32]*Command{}}
}

func (c *commandReader) entry(e recording.Entry) error {
	c.at = max(c.at, e.At)
	e.At = c.at // times must not go back
	if err := c.watch(e); err != nil {
		return err
	}
	switch e.Kind {
	case recording.Exec:
		return c.asked(e, string(e.Data))
	case recording.ExitStatus:
		if status, err := recording.DecodeExitStatus(e.Data); err == nil {
			return c.exited(e.Channel, func(k *Command) { exit := int(status); k.Exit = &exit })
		}
	case recording.ExitSignal:
		if x, err := recording.DecodeExit(e.Data); err == nil {
			return c.exited(e.Channel, func(k *Command) { k.Signal = x.Signal })
		}
	case recording.ChannelClose:
		return c.exited(e.Channel, func(*Command) {})
	}
	return nil
}

// watch shows a channel's screen to those who read commands off it.
func (c *commandReader) watch(e recording.Entry) error {
	if e.Kind == recording.PTYRequest {
		return c.begin(e)
	}
	shell := c.shells.of(e.Channel)
	if shell == nil {
		return nil
	}
	switch e.Kind {
	case recording.Output, recording.Stderr:
		shell.Output(e.At, e.Data)
	case recording.Resize:
		if cols, rows, err := recording.DecodeResize(e.Data); err == nil {
			w, h := terminal.Size(cols, rows)
			shell.Resize(e.At, w, h)
		}
	case recording.Typed:
		if y, err := recording.DecodeTyping(e.Data); err == nil && y.Enter {
			shell.Typed(e.At, terminal.Enter, y.Count)
		} else if err == nil {
			shell.Typed(e.At, terminal.Began, 1)
		}
	case recording.Input:
		shell.Keystrokes(e.At, e.Data)
	case recording.ChannelClose:
		c.finish(e.Channel, e.At)
	}
	return c.err
}

// begin reads commands off one more channel.
func (c *commandReader) begin(e recording.Entry) error {
	p, err := recording.DecodePTY(e.Data)
	if err != nil || c.shells.of(e.Channel) != nil {
		return nil
	}
	channel := e.Channel
	cols, rows := terminal.Size(p.Cols, p.Rows)
	shell := terminal.NewCommands(cols, rows, func(k terminal.Command) {
		if c.err == nil {
			c.err = c.take(Command{
				At: k.At, Until: k.Until, Channel: channel, Text: k.Text, Cut: k.Cut, Directory: k.Directory,
				Exit: k.ExitStatus, Found: string(k.How), Confidence: string(k.Confidence),
			})
		}
	})
	c.shells.add(channel, shell, func(quietest uint32) { c.finish(quietest, e.At) })
	return c.err
}

func (c *commandReader) finish(channel uint32, at time.Duration) {
	if shell := c.shells.of(channel); shell != nil {
		shell.End(at)
		c.shells.drop(channel)
	}
}

// asked is a command that the client named.
func (c *commandReader) asked(e recording.Entry, text string) error {
	if err := c.exited(e.Channel, func(*Command) {}); err != nil {
		return err
	}
	if len(c.order) >= maxScreens {
		if err := c.exited(c.order[0], func(*Command) {}); err != nil {
			return err
		}
	}
	kept := strings.ToValidUTF8(text[:min(len(text), maxCommand)], "\ufffd")
	c.running[e.Channel] = &Command{
		At: e.At, Channel: e.Channel, Text: kept, Cut: len(text) > maxCommand, Found: string(terminal.HowExec), Confidence: string(terminal.High),
	}
	c.order = append(c.order, e.Channel)
	return nil
}

// exited tells the command of a channel, if there is one, after its end was noted.
func (c *commandReader) exited(channel uint32, note func(*Command)) error {
	k := c.running[channel]
	if k == nil {
		return nil
	}
	note(k)
	delete(c.running, channel)
	for i, n := range c.order {
		if n == channel {
			c.order = append(c.order[:i], c.order[i+1:]...)
			break
		}
	}
	return c.take(*k)
}

// end tells the commands that had not ended.
func (c *commandReader) end() error {
	for _, channel := range c.shells.sorted() {
		c.finish(channel, c.at)
	}
	if c.err != nil {
		return c.err
	}
	for len(c.order) > 0 {
		if err := c.exited(c.order[0], func(*Command) {}); err != nil {
			return err
		}
	}
	return nil
}
