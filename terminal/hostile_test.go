package terminal_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho/terminal"
)

// Few bytes never cost much: this ends, and not at the end of the test's patience.
func TestHostileOutput(t *testing.T) {
	for name, piece := range map[string]string{
		"repeat":      "x\x1b[999999999b",
		"insert":      "\x1b[999999999@\x1b[999999999L",
		"scroll":      "\x1b[999999999S\x1b[999999999T",
		"erase":       "\x1b[41m\x1b[2J\x1b[1J",
		"fill":        strings.Repeat("x", 500) + "\x1b[2J",
		"tabs":        "\x1b[999999999I\x1b[999999999Z",
		"screens":     "\x1b[?1049h\x1b[?1049l",
		"newlines":    "\n\n\n\n",
		"title":       "\x1b]0;" + strings.Repeat("t", 100) + "\a",
		"marks":       "\x1b]133;A\a$ \x1b]133;B\a\x1b]133;C\a\x1b]133;D\a",
		"editor":      "\x1b[?2004h$ x\x1b[?2004l\n",
		"combining":   "e" + strings.Repeat("\u0301", 100),
		"accents":     "e\u0301",
		"wide":        "関\b関",
		"parameters":  "\x1b[" + strings.Repeat("1;", 100) + "m",
		"unfinished":  "\x1b]" + strings.Repeat("x", 100),
		"line editor": "\x1b[?2004h\r\x1b[?2004l\r",
		"long line":   strings.Repeat("x", 50<<10) + strings.Repeat("\x1b[?2004hx\x1b[?2004lx", 6000),
	} {
		c := terminal.NewCommands(1000, 1000, func(terminal.Command) {})
		data := []byte(strings.Repeat(piece, 1+(50<<10)/len(piece)))
		c.Output(0, []byte("$ "))
		for i := range 3 {
			at := time.Duration(i) * time.Second
			c.Typed(at, terminal.Began, 1)
			c.Typed(at, terminal.Enter, 1<<30)
			c.Output(at, data)
			c.Resize(at, 900+i, 900+i)
		}
		c.End(time.Minute)
		t.Logf("%s is read", name)
	}
}

// Sizes without end do not cost much either, and no command is sure after them.
func TestHostileSizes(t *testing.T) {
	var found []terminal.Command
	c := terminal.NewCommands(1000, 1000, func(cmd terminal.Command) { found = append(found, cmd) })
	c.Output(0, []byte(strings.Repeat("x", 2_000_000)+"\r\n\x1b[?2004h$ "))
	c.Typed(time.Second, terminal.Began, 1)
	c.Output(2*time.Second, []byte("evil --now"))
	for i := range 20_000 {
		c.Resize(3*time.Second, 1000-i%2, 1000)
		c.Output(3*time.Second, []byte("\x1b[m"))
	}
	c.Resize(4*time.Second, 7, 1000)
	c.Typed(5*time.Second, terminal.Enter, 1)
	c.Output(6*time.Second, []byte("\r\n\x1b[?2004l\rdone\r\n"))
	c.End(time.Minute)
	for _, cmd := range found {
		if cmd.Confidence == terminal.High {
			t.Errorf("%+v", cmd)
		}
	}
}

// Where keystrokes are recorded, they show where a line begins that was typed ahead after no known prompt. An answer that
// no shell read is not taken for the end of a command, and after keys that edit nothing is said.
func TestKeystrokes(t *testing.T) {
	for typed, want := range map[string]string{"lx\x7fs\r": "ls", "s\rls\r": "ls", "\x1b[A\rs\r": "", "s\r\x1b[A\r": "", "": ""} {
		var found []terminal.Command
		c := terminal.NewCommands(80, 24, func(cmd terminal.Command) { found = append(found, cmd) })
		c.Typed(0, terminal.Began, 1)
		c.Typed(0, terminal.Enter, max(1, uint32(strings.Count(typed, "\r"))))
		c.Keystrokes(0, []byte(typed))
		c.Output(time.Second, []byte("ls\r\n\x1b[?2004hmy own prompt) ls\r\n\x1b[?2004l\rfile\r\n\x1b[?2004hmy own prompt) "))
		c.End(time.Minute)
		got := ""
		for _, cmd := range found {
			got += cmd.Text
		}
		if got != want {
			t.Errorf("%q: %+v", typed, found)
		}
	}
}

// A key of which an editor makes a command that ends in it hides nothing of that, though it was typed ahead.
func TestKeystrokesOfAMacro(t *testing.T) {
	for name, shown := range map[string]string{"one row": "rm -rf /tmp/x", "two rows": "rm -rf \\\r\n /tmp/x"} {
		var got []string
		c := terminal.NewCommands(80, 24, func(cmd terminal.Command) { got = append(got, cmd.Text) })
		at := time.Duration(0)
		typed := func(keys string) {
			at += time.Second
			c.Typed(at, terminal.Began, 1)
			c.Typed(at, terminal.Enter, 1)
			c.Keystrokes(at, []byte(keys+"\r"))
		}
		output := func(text string) {
			at += time.Second
			c.Output(at, []byte(text))
		}
		output("\x1b[?2004halice@web1:~$ ")
		typed("sleep 2")
		output("sleep 2\r\n\x1b[?2004l\r")
		typed("x")
		output("x\r\n\x1b[?2004halice@web1:~$ ")
		output(shown)
		output("\r\n\x1b[?2004l\r\x1b[?2004halice@web1:~$ ")
		c.End(time.Minute)
		if all := strings.Join(got, "|"); !strings.Contains(all, "rm -rf") || !strings.Contains(all, "/tmp/x") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
