package replay_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

// looking is a query for a word, everywhere.
func looking(word string) replay.Query {
	return replay.Query{Commands: true, Output: true, Match: func(text string) []int {
		if i := strings.Index(text, word); i >= 0 {
			return []int{i, i + len(word)}
		}
		return nil
	}}
}

func search(t testing.TB, q replay.Query, entries ...recording.Entry) (hits []replay.Hit) {
	t.Helper()
	if err := replay.Search(newTape(entries...), q, func(h replay.Hit) error {
		hits = append(hits, h)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return hits
}

// A word is found however it came to stand on the screen, and told once.
func TestSearchScreens(t *testing.T) {
	for name, pieces := range map[string][]string{
		"plain":            {"a swallow\r\n"},
		"in two pieces":    {"a swal", "low\r\n"},
		"coloured":         {"swal\x1b[1;31mlow\x1b[0m\r\n"},
		"typed":            {"$ s", "w", "x", "\b", "al", "low", "\r\n"},
		"typed backwards":  {"\x1b[1;8Hlow", "\x1b[1;4Hswal"},
		"wrapped":          {"0123456789012345swallow\r\n"},
		"wrapped and gone": {"0123456789012345swallow\r\n\r\n\r\n\r\n\r\n\r\n"},
		"inserted":         {"swow\x1b[1;3H\x1b[4hall\x1b[4l\r\n"},
		"taken away":       {"swallow", "\r\x1b[K\r\n"},
		"replaced":         {"swallow", "\rnothing"},
		"on another page":  {"\x1b[?1049hswallow", "\x1b[?1049l"},
		"erased at once":   {"swallow\x1b[2J\x1b[H"},
		"never shown":      {"swallow\rxxxxxxxx\r\n"},
		"taken back":       {"swallow\b\b\b\b\b\b\bxxxxxxx\b\b\r\n"},
		"and without end":  {"swallow\b\b\b\b\b\b\bxxxxxxx"},
		"hidden and back":  {"x\bswallow\rxxxxxxxx\r\n"},
		"concealed":        {"\x1b[8mswallow\x1b[0m\r\n"},
		"with no end":      {"swallow"},
	} {
		entries := []recording.Entry{pty}
		for _, piece := range pieces {
			entries = append(entries, out(piece))
		}
		hits := search(t, looking("swallow"), entries...)
		if len(hits) != 1 {
			t.Errorf("%s: found %d times: %+v", name, len(hits), hits)
			continue
		}
		if h := hits[0]; h.Text[h.From:h.To] != "swallow" || h.Kind != "output" || h.Raw != strings.Contains("never shown, taken back, and without end, hidden and back", name) {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

// What a program without a terminal takes back is found, too.
func TestSearchTakenBack(t *testing.T) {
	for _, kind := range []recording.Kind{recording.Output, recording.Stderr} {
		hits := search(t, looking("swallow"), recording.Entry{Kind: recording.Exec, Channel: 1, Data: []byte("x")},
			recording.Entry{Kind: kind, Channel: 1, Data: []byte("swallow\b\b\b\b\b\b\bxxxxxxx\n")})
		if len(hits) != 1 || !hits[0].Raw || hits[0].Kind != kind.String() {
			t.Errorf("%s: %+v", kind, hits)
		}
	}
}

func TestSearchElsewhere(t *testing.T) {
	entries := []recording.Entry{
		{Kind: recording.Exec, Channel: 1, At: time.Second, Data: []byte("rm swallow")},
		{Kind: recording.Output, Channel: 1, At: 2 * time.Second, Data: []byte("a swallow\n")},
		{Kind: recording.Stderr, Channel: 1, At: 3 * time.Second, Data: []byte("no swallow\n")},
		{Kind: recording.Input, Channel: 1, At: 4 * time.Second, Data: []byte("swallow\n")},
		{Kind: recording.File, At: 5 * time.Second, Data: []byte(`{"operation":"remove","path":"/swallow","result":"ok"}`)},
		{Kind: recording.ExitStatus, Channel: 1, At: 6 * time.Second, Data: recording.EncodeExitStatus(0)},
	}
	var got []string
	for _, h := range search(t, looking("swallow"), entries...) {
		got = append(got, fmt.Sprintf("%s %d %s %s", replay.Clock(h.At), h.Channel, h.Kind, h.Text))
	}
	want := []string{
		"0:00:02.000 1 output a swallow", "0:00:03.000 1 stderr no swallow", "0:00:04.000 1 input swallow",
		"0:00:05.000 0 file remove /swallow: ok", "0:00:01.000 1 command rm swallow",
	}
	for i := range want {
		if i >= len(got) || !strings.Contains(got[i], strings.Fields(want[i])[2]) {
			t.Errorf("got %q", got)
			break
		}
	}
	q := looking("swallow")
	q.Output = false
	if hits := search(t, q, entries...); len(hits) != 1 || hits[0].Kind != "command" {
		t.Errorf("commands: %+v", hits)
	}
	q.Commands, q.Output = false, true
	if hits := search(t, q, entries...); len(hits) != 4 {
		t.Errorf("output: %+v", hits)
	}
}

func TestSearchContext(t *testing.T) {
	q := looking("x")
	q.Context = 2
	hits := search(t, q, out("1\n2\n3\n4x\n5x\n6\n7\n8\n9x\n"))
	type context struct{ Before, After []string }
	var got []context
	for _, h := range hits {
		got = append(got, context{h.Before, h.After})
	}
	want := []context{
		{[]string{"2", "3"}, []string{"5x", "6"}}, {[]string{"3", "4x"}, []string{"6", "7"}}, {[]string{"7", "8"}, nil},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestSearchEnds(t *testing.T) {
	enough := errors.New("enough")
	for _, tape := range []*tape{newTape(out("x\ny\n")), newTape(out("x")), newTape(recording.Entry{Kind: recording.Exec, Data: []byte("x")}), newTape(pty, out("x\rz"))} {
		if err := replay.Search(tape, looking("x"), func(replay.Hit) error { return enough }); !errors.Is(err, enough) {
			t.Errorf("%v", err)
		}
	}
	cut := newTape(out("x"))
	cut.cut = true
	found := 0
	if err := replay.Search(cut, looking("x"), func(replay.Hit) error { found++; return nil }); !errors.Is(err, recording.ErrCut) || found != 1 {
		t.Errorf("cut: %d, %v", found, err)
	}
}

// FuzzSearch: search ends, tells places that are in the text, and finds in a program's output what is there.
func FuzzSearch(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		q := looking("s")
		q.Context = 3
		for _, h := range search(t, q, fuzzed(b).entries...) {
			if h.Text[h.From:h.To] != "s" || len(h.Before) > 3 || len(h.After) > 3 {
				t.Errorf("%+v", h)
			}
			if h.Kind != "command" {
				steers(t, "a hit", h.Text)
			}
		}
	})
}

// A line has the time when it came, whatever happens to the window afterwards.
func TestSearchAfterResize(t *testing.T) {
	hits := search(t, looking("swallow"), pty,
		recording.Entry{Kind: recording.Output, Channel: pty.Channel, At: time.Second, Data: []byte("a swallow\r\n")},
		recording.Entry{Kind: recording.Resize, Channel: pty.Channel, At: time.Hour, Data: recording.EncodeResize(70, 3)},
		recording.Entry{Kind: recording.Output, Channel: pty.Channel, At: 2 * time.Hour, Data: []byte("\r\n\r\n\r\n")})
	if len(hits) != 1 || hits[0].At != time.Second {
		t.Errorf("%+v", hits)
	}
}

// A line without an end is broken, whatever its characters are.
func TestSearchLongLines(t *testing.T) {
	longest := 0
	q := replay.Query{Output: true, Match: func(text string) []int {
		longest = max(longest, len(text))
		return nil
	}}
	search(t, q, recording.Entry{Kind: recording.Output, Channel: 1, Data: []byte(strings.Repeat("\u95a2", 1<<20))})
	if longest == 0 || longest > 16<<10+4 {
		t.Errorf("a line of %d bytes", longest)
	}
}

// What screens show thousands of times leaves room for what is in the bytes alone.
func TestSearchRawAmongMany(t *testing.T) {
	q := looking("")
	q.Match = regexp.MustCompile(`swall?ow`).FindStringIndex
	entries := []recording.Entry{pty}
	for i := range 10_000 {
		line := out("swalow\r\n")
		line.At = time.Duration(i) * time.Second
		entries = append(entries, line)
	}
	last := out("swallow\rxxxxxxxx\r\n")
	last.At = 24 * time.Hour
	hits := search(t, q, append(entries, last)...)
	if n := len(hits); n == 0 || !hits[n-1].Raw || hits[n-1].Text[hits[n-1].From:hits[n-1].To] != "swallow" {
		t.Errorf("%d hits", n)
	}
}
