package terminal_test

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/terminal"
)

// session plays what a person and a shell do. "<" begins what the shell sends, ">" what the person types: each line is one
// packet, with \r, \n, \e as escapes.
func session(t *testing.T, script string) (found []terminal.Command) {
	t.Helper()
	c := terminal.NewCommands(80, 24, func(cmd terminal.Command) { found = append(found, cmd) })
	at, began := time.Duration(0), false
	unescape := strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\e`, "\x1b", `\a`, "\a")
	for _, l := range strings.Split(strings.TrimSpace(script), "\n") {
		at += time.Second
		data := unescape.Replace(strings.TrimLeft(l, "\t")[1:])
		if strings.TrimLeft(l, "\t")[0] == '<' {
			c.Output(at, []byte(data))
			continue
		}
		if !began {
			c.Typed(at, terminal.Began, 1)
			began = true
		}
		if n := strings.Count(data, "\r") + strings.Count(data, "\n"); n > 0 {
			c.Typed(at, terminal.Enter, uint32(n))
			began = false
		}
	}
	c.End(at)
	return found
}

func texts(found []terminal.Command) (all []string) {
	for _, c := range found {
		all = append(all, string(c.Confidence)+": "+c.Text)
	}
	return all
}

func TestCommands(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   []string
	}{
		"bash": {`
			<\e[?2004halice@web1:~$ 
			>ls\r
			<ls\r\n\e[?2004l\rfile\r\n\e[?2004halice@web1:~$ 
			>p
			<p
			>wd\r
			<wd\r\n\e[?2004l\r/home/alice\r\n\e[?2004halice@web1:~$ `,
			[]string{"high: ls", "high: pwd"}},
		"dash": {`
			<$ 
			>ls\r
			<ls\r\nfile\r\n$ `,
			[]string{"medium: ls"}},
		"question": {`
			<$ 
			>./install\r
			<./install\r\nReally? [y/N]: 
			>y\r
			<y\r\n$ 
			>\r
			<\r\n$ `,
			[]string{"medium: ./install"}},
		"password": {`
			<\e[?2004halice@web1:~$ 
			>sudo id\r
			<sudo id\r\n\e[?2004l\r[sudo] password for alice: 
			>hunter2\r
			<\r\nuid=0(root)\r\n\e[?2004halice@web1:~$ `,
			[]string{"high: sudo id"}},
		"aborted": {`
			<\e[?2004h$ 
			>rm -rf /
			<rm -rf /
			>\e
			<^C\e[?2004l\r\r\n\e[?2004h$ 
			>id\r
			<id\r\n\e[?2004l\rroot\r\n\e[?2004h$ `,
			[]string{"medium: id"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, texts(session(t, c.script))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzCommands: whatever comes in whatever order, reading ends, what is found is text, and cuts make no difference.
func FuzzCommands(f *testing.F) {
	f.Add("\x1b[?2004h$ \x00ls\x01\r\n\x1b[?2004l\r\x1b[?2004h$ ")
	f.Add("$ \x00a\x01\r\n$ \x1b[?1049h$ \x00x\x01\n\x1b[?1049l")
	f.Add("\x1b]133;A\a$ \x1b]133;B\a\x00false\x01\r\n\x1b]133;C\a\x1b]133;D;1\a\x02\x03")
	f.Fuzz(func(t *testing.T, script string) {
		whole, cuts := playScript(script, 1<<20), playScript(script, 1)
		if diff := cmp.Diff(whole, cuts); diff != "" {
			t.Errorf("cuts differ:\n%s", diff)
		}
		for _, c := range whole {
			if !utf8.ValidString(c.Text) || strings.ContainsFunc(c.Text, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
				t.Errorf("%q is no plain text", c.Text)
			}
			if c.Confidence == "" || c.How == "" || strings.TrimSpace(c.Text) == "" {
				t.Errorf("%+v", c)
			}
		}
	})
}

// playScript takes bytes 0 to 7 for things that happen, and all else for output.
func playScript(script string, piece int) (found []terminal.Command) {
	c := terminal.NewCommands(20, 5, func(cmd terminal.Command) { found = append(found, cmd) })
	at := time.Duration(0)
	for script != "" {
		at += 30 * time.Millisecond
		n := strings.IndexFunc(script, func(r rune) bool { return r < 7 })
		if n < 0 {
			n = len(script)
		}
		for out := script[:n]; out != ""; {
			p := min(piece, len(out))
			c.Output(at, []byte(out[:p]))
			out = out[p:]
		}
		if script = script[n:]; script == "" {
			break
		}
		switch script[0] {
		case 0:
			c.Typed(at, terminal.Began, 1)
		case 1, 2:
			c.Typed(at, terminal.Enter, uint32(script[0]))
		case 3, 4:
			c.Resize(at, 5*int(script[0]), 2*int(script[0]))
		case 5:
			c.Keystrokes(at, []byte("ls\r"))
		case 6:
			at += time.Second
		}
		script = script[1:]
	}
	c.End(at)
	return found
}
