package terminal_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/terminal"
)

// goldenScreens are stories of the corpus of which testdata/screens holds what tmux shows after each quarter. It is made by
// SEKISHO_UPDATE=1 go test -run TestGoldenScreens ./terminal, which needs tmux.
var goldenScreens = []string{
	"bash-editing", "bash-long", "bash-programs", "bash-completion", "dash-simple", "zsh-editing", "zsh-two-lines-long",
	"zsh-programs", "fish-editing", "fish-suggested", "fish-long", "screen-bash", "tmux-bash", "tmux-split",
}

// A screen shows what tmux shows of the same bytes.
func TestGoldenScreens(t *testing.T) {
	for _, name := range goldenScreens {
		events := loadStory(t, "testdata/corpus/"+name+".jsonl")
		var output strings.Builder
		for _, e := range events {
			output.WriteString(e.Data)
		}
		for quarter := 1; quarter <= 4; quarter++ {
			data := wholeSequences(output.String(), output.Len()*quarter/4)
			path := filepath.Join("testdata", "screens", fmt.Sprintf("%s-%d.txt", name, quarter))
			if os.Getenv("SEKISHO_UPDATE") != "" {
				if err := os.WriteFile(path, []byte(tmuxShows(t, data, events[0].Cols, events[0].Rows)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := terminal.NewScreen(events[0].Cols, events[0].Rows)
			s.Write([]byte(data))
			if diff := cmp.Diff(string(want), s.Text()); diff != "" {
				t.Errorf("%s:\n%s", path, diff)
			}
		}
	}
}

// wholeSequences cuts text at n or soon after, where a sequence begins or a line ends.
func wholeSequences(text string, n int) string {
	if i := strings.Index(text[n:], "\x1b["); i >= 0 {
		n += i
	} else {
		n = len(text)
	}
	return text[:n]
}

// tmuxShows has a tmux of its own draw the bytes, and gives what its pane shows.
func tmuxShows(t *testing.T, data string, cols, rows int) string {
	t.Helper()
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "data"), filepath.Join(dir, "s")
	if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		cmd := exec.Command("tmux", append([]string{"-u", "-f", "/dev/null", "-S", socket}, args...)...)
		cmd.Env = append(os.Environ(), "LANG=C.UTF-8", "TERM=xterm-256color")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("tmux %s: %v: %s", args[0], err, out)
		}
		return string(out)
	}
	run("new", "-d", "-x", fmt.Sprint(cols), "-y", fmt.Sprint(rows+1), "stty raw -echo; sleep 0.4; cat "+file+"; sleep 60")
	defer run("kill-server")
	run("set", "-g", "status", "off")
	run("resize-window", "-x", fmt.Sprint(cols), "-y", fmt.Sprint(rows))
	time.Sleep(900 * time.Millisecond)
	var lines strings.Builder
	for l := range strings.Lines(run("capture-pane", "-p")) {
		lines.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	return lines.String()
}
