package terminal_test

import (
	"bufio"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho/terminal"
)

var showCorpus = flag.Bool("corpus", false, "show what was wrong and missed in the corpus")

// event is a line of the corpus (testdata/record/main.go).
type event struct {
	At         int64
	Kind, Data string
	Count      int
	Cols, Rows int
	Group      string
	Expect     []expected
}

type expected struct {
	Text, Dir string
	Program   bool
	Exit      *int
}

func loadStory(t testing.TB, path string) (events []event) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		events = append(events, e)
	}
	return events
}

// replayStory gives what Commands finds in a story. piece is how many bytes of output it gets at once; 0 is all.
func replayStory(events []event, piece int) (found []terminal.Command) {
	c := terminal.NewCommands(events[0].Cols, events[0].Rows, func(cmd terminal.Command) { found = append(found, cmd) })
	at := time.Duration(0)
	for _, e := range events[1:] {
		at = time.Duration(e.At) * time.Millisecond
		switch e.Kind {
		case "output":
			data := []byte(e.Data)
			for piece > 0 && len(data) > piece {
				c.Output(at, data[:piece])
				data = data[piece:]
			}
			c.Output(at, data)
		case "began":
			c.Typed(at, terminal.Began, 1)
		case "enter":
			c.Typed(at, terminal.Enter, uint32(e.Count))
		case "resize":
			c.Resize(at, e.Cols, e.Rows)
		}
	}
	c.End(at)
	return found
}

// score counts commands that were right, found but not run so, and run but not found.
type score struct{ right, wrong, missed int }

func (s *score) add(o score) { s.right += o.right; s.wrong += o.wrong; s.missed += o.missed }

// compare lines found and expected commands up, so that as many as can be are right.
func compare(want []expected, found []terminal.Command, differ func(string, string)) (s score) {
	best := make([][]int, len(want)+1)
	for i := range best {
		best[i] = make([]int, len(found)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for j := len(found) - 1; j >= 0; j-- {
			best[i][j] = max(best[i+1][j], best[i][j+1])
			if want[i].Text == found[j].Text {
				best[i][j] = max(best[i][j], best[i+1][j+1]+1)
			}
		}
	}
	i, j := 0, 0
	for i < len(want) || j < len(found) {
		switch {
		case i < len(want) && j < len(found) && want[i].Text == found[j].Text && best[i][j] == best[i+1][j+1]+1:
			s.right++
			i, j = i+1, j+1
		case j == len(found) || i < len(want) && best[i+1][j] >= best[i][j+1]:
			s.missed++
			differ("missed", want[i].Text)
			i++
		default:
			s.wrong++
			differ("wrong", string(found[j].Confidence)+": "+found[j].Text)
			j++
		}
	}
	return s
}

// What was reached. Worse is a step back; better is to be written down here and in COMMANDS.md.
var reached = map[string]score{
	"shells": {right: 875, wrong: 1, missed: 1},
	"panes":  {right: 89, wrong: 1, missed: 2},
}

// The commands that were typed to real shells are found.
func TestCorpus(t *testing.T) {
	paths, err := filepath.Glob("testdata/corpus/*.jsonl")
	if err != nil || len(paths) == 0 {
		t.Fatal("no corpus: ", err)
	}
	sums := map[string]*score{"shells": {}, "panes": {}}
	sure := map[terminal.Confidence]*score{terminal.High: {}, terminal.Medium: {}, terminal.Low: {}}
	for _, path := range paths {
		events := loadStory(t, path)
		found := replayStory(events, 0)
		name := strings.TrimSuffix(filepath.Base(path), ".jsonl")
		s := compare(events[0].Expect, found, func(what, text string) {
			if *showCorpus {
				t.Logf("%s: %s: %q", name, what, text)
			}
		})
		t.Logf("%-24s right %3d wrong %2d missed %2d", name, s.right, s.wrong, s.missed)
		sums[events[0].Group].add(s)
		count(sure, events[0].Expect, found)
		checkFacts(t, name, events[0].Expect, found)
	}
	for group, s := range sums {
		t.Logf("%s: of %d commands %d right (%.1f %%), %d missed; %d wrong (%.1f %%)", group, s.right+s.missed, s.right,
			100*float64(s.right)/float64(s.right+s.missed), s.missed, s.wrong, 100*float64(s.wrong)/float64(s.right+s.wrong))
		if r := reached[group]; s.right < r.right || s.wrong > r.wrong || s.missed > r.missed {
			t.Errorf("%s: %+v was reached", group, r)
		}
	}
	for c, s := range sure {
		t.Logf("%s confidence: %d right, %d wrong", c, s.right, s.wrong)
	}
}

func count(sure map[terminal.Confidence]*score, want []expected, found []terminal.Command) {
	for _, f := range found {
		right := false
		for _, w := range want {
			right = right || w.Text == f.Text
		}
		if right {
			sure[f.Confidence].right++
		} else {
			sure[f.Confidence].wrong++
		}
	}
}

// checkFacts checks directories and exit statuses, and that lines for other programs are of low confidence.
func checkFacts(t *testing.T, name string, want []expected, found []terminal.Command) {
	t.Helper()
	byText := map[string][]terminal.Command{}
	for _, f := range found {
		byText[f.Text] = append(byText[f.Text], f)
		if f.Until != 0 && f.Until < f.At {
			t.Errorf("%s: %q ends before it begins", name, f.Text)
		}
	}
	for _, w := range want {
		all := byText[w.Text]
		if len(all) != 1 {
			continue
		}
		f := all[0]
		if w.Dir != "" && f.Directory != w.Dir {
			t.Errorf("%s: %q: directory %q, want %q", name, w.Text, f.Directory, w.Dir)
		}
		if w.Exit != nil && (f.ExitStatus == nil || *f.ExitStatus != *w.Exit) {
			t.Errorf("%s: %q: exit status %v, want %d", name, w.Text, f.ExitStatus, *w.Exit)
		}
		if w.Program && f.Confidence != terminal.Low {
			t.Errorf("%s: %q is of %s confidence", name, w.Text, f.Confidence)
		}
	}
}

// Output may be cut anywhere.
func TestCorpusInPieces(t *testing.T) {
	paths, _ := filepath.Glob("testdata/corpus/*.jsonl")
	for _, path := range paths {
		events := loadStory(t, path)
		whole := replayStory(events, 0)
		for _, piece := range []int{1, 7} {
			cut := replayStory(events, piece)
			if len(cut) != len(whole) {
				t.Fatalf("%s: %d commands, in pieces %d", path, len(whole), len(cut))
			}
			for i := range cut {
				if cut[i].Text != whole[i].Text || cut[i].Confidence != whole[i].Confidence || cut[i].Directory != whole[i].Directory {
					t.Errorf("%s: %+v in pieces, %+v whole", path, cut[i], whole[i])
				}
			}
		}
	}
}
