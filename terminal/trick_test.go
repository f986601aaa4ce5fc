package terminal_test

import (
	"testing"
	"time"

	"github.com/sekisho/sekisho/terminal"
)

// What is drawn between the moment when an editor has taken a line and the command's own output, such as by bash's PS0,
// does not change what was run.
func TestErasedAfterEnter(t *testing.T) {
	for name, trick := range map[string]string{
		"erase line":       "\x1b[A\x1b[2K",
		"erase rest":       "\x1b[A\x1b[4C\x1b[K",
		"erase characters": "\x1b[A\x1b[4C\x1b[40X",
		"delete":           "\x1b[A\x1b[4C\x1b[40P",
		"delete line":      "\x1b[A\x1b[M",
		"insert line":      "\x1b[A\x1b[L",
		"insert":           "\x1b[A\x1b[2C\x1b[40@",
		"scroll":           "\x1b[20T",
		"scroll up":        "\x1b[20S",
		"reset":            "\x1bc",
		"reverse feed":     "\x1b[9A\x1bM\x1bM\x1bM",
		"private erase":    "\x1b[A\x1b[?2K",
		"feed":             "\n\n\n",
		"down":             "\x1b[9B",
		"alternate":        "\x1b[?1049h\x1b[2J\x1b[?1049l",
		"soft reset":       "\x1b[!p\x1b[A\x1b[K",
		"resize":           "",
		"combine":          "\x1b[A\x1b[4C\u0301",
	} {
		for shell, taken := range map[string]string{"bash": "\r\n\x1b[?2004l\r", "zsh": "\x1b[?2004l\r\r\n"} {
			var found []terminal.Command
			c := terminal.NewCommands(80, 24, func(cmd terminal.Command) { found = append(found, cmd) })
			at := time.Duration(0)
			say := func(text string) { at += time.Second; c.Output(at, []byte(text)) }
			say("$ true\r\n\x1b[?2004h$ ")
			c.Typed(at+1, terminal.Began, 1)
			say("ls; evil --now")
			c.Typed(at+1, terminal.Enter, 1)
			say(taken + trick + "good\r\n\x1b[?2004h$ ")
			c.End(at + time.Minute)
			if len(found) != 1 || found[0].Text != "ls; evil --now" {
				t.Errorf("%s, %s: %+v", shell, name, found)
			}
		}
	}
}

// A command line that a shell tells by itself (OSC 633 E) is believed as far as the screen shows the same.
func TestToldCommandIsOnScreen(t *testing.T) {
	for name, c := range map[string]struct {
		told       string
		confidence terminal.Confidence
	}{
		"same":          {"evil  --now", terminal.High},
		"another":       {"good", terminal.Low},
		"only in parts": {"evil", terminal.Low},
	} {
		for when, script := range map[string][2]string{
			"before Enter": {"\x1b]633;E;" + c.told + "\a", ""},
			"after":        {"", "\x1b]633;E;" + c.told + "\a\x1b]633;C\a"},
		} {
			var found []terminal.Command
			r := terminal.NewCommands(80, 24, func(cmd terminal.Command) { found = append(found, cmd) })
			r.Output(0, []byte("\x1b[?2004h\x1b]633;A\a$ \x1b]633;B\a"+script[0]))
			r.Typed(time.Second, terminal.Began, 1)
			r.Output(2*time.Second, []byte("evil  --now"))
			r.Typed(3*time.Second, terminal.Enter, 1)
			r.Output(4*time.Second, []byte("\r\n\x1b[?2004l\r"+script[1]+"output\r\n"))
			r.End(time.Minute)
			if len(found) != 1 || found[0].Text != "evil  --now" || found[0].Confidence != c.confidence {
				t.Errorf("%s, %s: %+v", name, when, found)
			}
		}
	}
}

// What the user types or has printed within the line does not hide its beginning, or all of it.
func TestHiddenInTheLine(t *testing.T) {
	for name, c := range map[string]struct {
		typed, want string
		sure        terminal.Confidence
	}{
		"mark":      {"evil;\x1b]133;B\a ls", "evil; ls", terminal.High},
		"given up":  {"evil #^C", "evil #^C", terminal.Low},
		"two marks": {"evil;\x1b]133;A\a\x1b]133;B\a ls", "evil; ls", terminal.High},
	} {
		var found []terminal.Command
		r := terminal.NewCommands(80, 24, func(cmd terminal.Command) { found = append(found, cmd) })
		r.Output(0, []byte("\x1b[?2004h$ "))
		r.Typed(time.Second, terminal.Began, 1)
		r.Output(2*time.Second, []byte(c.typed))
		r.Typed(3*time.Second, terminal.Enter, 1)
		r.Output(4*time.Second, []byte("\r\n\x1b[?2004l\routput\r\n"))
		r.End(time.Minute)
		if len(found) != 1 || found[0].Text != c.want || found[0].Confidence != c.sure {
			t.Errorf("%s: %+v", name, found)
		}
	}
}
