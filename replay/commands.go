package replay

import (
	"strings"
	"time"

	"github.com/sekisho/sekisho/recording"
)

// Command is a command that was run in a session.
type Command struct {
	// At is when it was begun, as seen: for a shell's, when Enter was pressed.
	At      time.Duration
	Channel uint32
	// Text is the command in UTF-8. It may hold anything else, newlines too.
	Text string
	// Directory is where it ran, "" where that is not known.
	Directory string
	// Exit is its exit status, nil while and where that is not known; Signal is what ended it instead.
	Exit   *int
	Signal string
	// Found says how it was found: "exec" when the client asked for just this command.
	Found string
	// Confidence is "high", "medium" or "low": how sure it is that just this was run.
	Confidence string
}

// Commands gives the commands of a recording, in the order in which they ended, or of which it became known that their
// end will not be told. It says how the recording ended as Transcript does; an error of take ends it at once.
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
}

func newCommandReader(take func(Command) error) *commandReader {
	return &commandReader{take: take, running: map[uint32]*Command{}}
}

func (c *commandReader) entry(e recording.Entry) error {
	switch e.Kind {
	case recording.Exec:
		return c.asked(e, "exec", string(e.Data))
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

// asked is a command that the client named.
func (c *commandReader) asked(e recording.Entry, found, text string) error {
	if err := c.exited(e.Channel, func(*Command) {}); err != nil {
		return err
	}
	if len(c.order) >= maxScreens {
		if err := c.exited(c.order[0], func(*Command) {}); err != nil {
			return err
		}
	}
	text = strings.ToValidUTF8(text[:min(len(text), maxCommand)], "\ufffd")
	c.running[e.Channel] = &Command{At: e.At, Channel: e.Channel, Text: text, Found: found, Confidence: "high"}
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
	for len(c.order) > 0 {
		if err := c.exited(c.order[0], func(*Command) {}); err != nil {
			return err
		}
	}
	return nil
}
