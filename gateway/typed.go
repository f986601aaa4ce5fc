package gateway

import (
	"bytes"
	"io"

	"github.com/sekisho/sekisho/recording"
)

// typist passes on what the user sends to a program. On a terminal it marks on the tape that the user began to type, and
// that they pressed Enter: commands are read off the screen at these places. Neither what was typed nor how much of it is
// in the marks. Where the policies say so, it keeps what was typed as well, before the target has it.
type typist struct {
	*channel
	to     io.Writer
	typing bool // something came since the last Enter
}

// input is where the user's input goes to: past the tape, unless it is typed.
func (c *channel) input() io.Writer {
	if c.tape == nil || !c.takesInput || !c.terminal && !c.decision.Limits.Keystrokes {
		return c.far
	}
	return &typist{channel: c, to: c.far}
}

func (t *typist) Write(p []byte) (int, error) {
	if err := t.mark(p); err != nil {
		return 0, err
	}
	if t.decision.Limits.Keystrokes {
		if err := t.record(recording.Input, p); err != nil {
			return 0, err
		}
	}
	return t.to.Write(p)
}

// mark puts what a packet means on the tape; it becomes durable with the next entry that is waited for.
func (t *typist) mark(p []byte) error {
	if !t.terminal {
		return nil
	}
	if !t.typing {
		t.typing = true
		if err := t.keepTyped(0); err != nil {
			return err
		}
	}
	if enters := bytes.Count(p, []byte{'\r'}) + bytes.Count(p, []byte{'\n'}); enters > 0 {
		t.typing = false
		return t.keepTyped(enters)
	}
	return nil
}

// typed are the marks that most packets get, made once.
var (
	typedBegan = recording.Typing{}.Encode()
	typedEnter = recording.Typing{Enter: true}.Encode()
)

// keepTyped marks how often Enter was pressed; 0 is that the user began to type.
func (t *typist) keepTyped(enters int) error {
	switch enters {
	case 0:
		return t.keep(recording.Typed, typedBegan)
	case 1:
		return t.keep(recording.Typed, typedEnter)
	}
	return t.keep(recording.Typed, recording.Typing{Enter: true, Count: uint32(enters)}.Encode())
}
