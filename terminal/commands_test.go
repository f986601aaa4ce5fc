package terminal_test

import (
	"strings"
	"testing"
	"time"

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
			c.Typed(at, terminal.Enter, n)
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

func TestExec(t *testing.T) {
	c := terminal.Exec(time.Second, "ls\r\n\x1b[2Jx\x00")
	if c.Text != "ls\n[2Jx" || c.How != terminal.HowExec || c.Confidence != terminal.High || c.Cut {
		t.Errorf("%+v", c)
	}
}
