package terminal

import (
	"strings"
	"time"
)

// How says how a command was found.
type How string

const (
	// HowExec: the client asked for this command by name (SSH's exec request). No screen is needed for it, and Commands never
	// says so: it is what the others are compared with.
	HowExec How = "exec"
	// HowMarks: the shell marked where its prompt ended (OSC 133 or 633).
	HowMarks How = "marks"
	// HowScreen: read off the screen.
	HowScreen How = "screen"
	// HowPrompt is said of directories only: the prompt names it.
	HowPrompt How = "prompt"
)

// Confidence says how sure it is that a command was given to a shell, and that its text is right.
type Confidence string

const (
	// High: the text is what the shell's own line editor showed when it took the line, from where its prompt ended. The
	// shell marked that place; or the cursor stood there when the user began to type, and the prompt to its left was still
	// there afterwards; or the line ends in just what the recorded keystrokes say. Commands of HowExec are exact.
	High Confidence = "high"
	// Medium: a line after what looks like a shell's prompt, but no line editor said that it was reading (dash, or a bash
	// before 5.1); or the prompt was only recognized, because the user typed ahead or gave a line up before; or the line has
	// several rows of which Enter tells nothing, so that it came from the history or had something written into it.
	Medium Confidence = "medium"
	// Low: the line was typed to a prompt that looks like another program's (python, mysql), inside of a full-screen
	// program that may have a shell in it (tmux, screen), was pasted ahead of the prompt, or lost its prompt on the way.
	Low Confidence = "low"
)

// Command is one command that was run.
type Command struct {
	// At is when Enter was pressed, since the session started; Until is when the next prompt was there, or 0 where that is
	// not known. A command that opened another shell ends with that shell's first prompt.
	At, Until time.Duration
	// Text is the command as it stood on the screen, its lines separated by newlines. It is valid UTF-8 without control
	// characters other than these newlines. Cut says that it went on.
	Text string
	Cut  bool
	// Directory is where the shell was when it took the command, or "" where that is not known. It is absolute, or begins
	// with ~ where it is the prompt that names it (DirectoryHow).
	Directory    string
	DirectoryHow How
	// ExitStatus is what the shell marked, or nil.
	ExitStatus *int
	How        How
	Confidence Confidence
}

// Typing is what the recording tells of what the user types, where it does not tell what.
type Typing uint8

const (
	// Began: the user typed something for the first time since the channel was opened or Enter was pressed last.
	Began Typing = iota + 1
	// Enter: Enter was pressed.
	Enter
)

const (
	// maxCommand is how many bytes of a command are kept.
	maxCommand = 32 << 10
	// maxHistory is how many rows that went off the screen are kept for a line that began there.
	maxHistory = 256
	// maxEnters is how many times Enter may have been pressed ahead.
	maxEnters = 1000
)

// Commands reads the commands off one channel that has a pseudo-terminal. How it does so, and what it cannot see, is in
// COMMANDS.md. Its methods are to be called in the order of the recording, with times that never go back; a Commands may
// be used by one goroutine at a time.
type Commands struct {
	screen *Screen
	found  func(Command)
	now    time.Duration // of what is being read
	output time.Duration // when output came last

	line  line
	marks marks
	pane  pane
	keys  keys
	known prompts
	side  start // the last that had a right prompt

	held *Command // was read last; it may go on in a continuation line
	end  uint64   // the row where it ended
	// lost says that the directory told is another shell's.
	lost bool
}

// NewCommands gives a reader for a terminal of this size. It hands each command to found, in order, when it is over or
// the next one begins.
func NewCommands(cols, rows int, found func(Command)) *Commands {
	c := &Commands{screen: NewScreen(cols, rows), found: found}
	c.screen.main.keep = maxHistory
	c.screen.watch = c
	return c
}

// Screen is the screen as it is now. It is not to be written to.
func (c *Commands) Screen() *Screen { return c.screen }

// Output draws what the program sent.
func (c *Commands) Output(at time.Duration, data []byte) {
	if len(data) == 0 {
		return
	}
	c.rested(at)
	c.now, c.output = at, at
	c.screen.Write(data)
}

// Resize changes the size of the terminal.
func (c *Commands) Resize(at time.Duration, cols, rows int) {
	c.now = at
	c.drawing()
	if !c.screen.Resize(cols, rows) { // where the line begins is not to be relied on
		l := &c.line
		l.began, l.rest, l.opened, c.marks.stage = start{}, start{}, start{}, unmarked
	}
}

// Typed tells that the user typed, before what was typed reached the program. count is how often Enter was pressed.
func (c *Commands) Typed(at time.Duration, what Typing, count uint32) {
	c.rested(at)
	c.now = at
	c.drawing()
	switch what {
	case Began:
		if c.screen.Alternate() {
			c.paneBegan()
		} else {
			c.began()
		}
	case Enter:
		if c.screen.Alternate() {
			c.paneEntered()
		} else {
			c.entered(int(max(1, min(count, maxEnters))))
		}
	}
}

// End tells that the channel is closed: what was read last is handed over.
func (c *Commands) End(at time.Duration) {
	c.now = at
	c.drawing()
	c.paneDone()
	c.flush()
}

// hold keeps a command until it is known whether it goes on.
func (c *Commands) hold(cmd Command) {
	c.flush()
	c.held = &cmd
}

func (c *Commands) flush() {
	if c.held == nil {
		return
	}
	cmd := *c.held
	c.held = nil
	cmd.Text = strings.TrimRight(cmd.Text, "\n")
	c.found(cmd)
}

// over notes that a prompt came.
func (c *Commands) over() {
	if c.held != nil && c.held.Until == 0 {
		c.held.Until = c.now
	}
}
