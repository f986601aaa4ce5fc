package terminal_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/terminal"
)

// A row keeps its id from the screen to where it went off the top, and is given there once.
func TestRowsAndGone(t *testing.T) {
	s := terminal.NewScreen(10, 3)
	s.Keep(100)
	fmt.Fprint(s, "one\r\n0123456789abc \r\n")
	ids := map[string]uint64{}
	s.Rows(func(r terminal.Row) {
		text := string(r.Append(nil))
		if r.Wrapped() != (text == "0123456789") {
			t.Errorf("%q wrapped: %v", text, r.Wrapped())
		}
		ids[text] = r.ID()
	})
	fmt.Fprint(s, "x\r\ny\r\n")
	var gone []string
	take := func(r terminal.Row) {
		text := string(r.Append(nil))
		if before, ok := ids[text]; ok && before != r.ID() {
			t.Errorf("%q was %d and is %d", text, before, r.ID())
		}
		gone = append(gone, text)
	}
	s.Gone(take)
	s.Gone(take)
	if d := cmp.Diff([]string{"one", "0123456789", "abc"}, gone); d != "" {
		t.Errorf("gone (-want +got)\n%s", d)
	}
}

// FuzzRows: a row that is said not to have changed since the last look is as it was.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{
		"0123456789abc\x1b[A\x1b[9C\x1b[J", "0123456789 \r\n\x1b[2A\x1b[2K", "関関\b\bx\x1b[3@\x1b[2P\x1b[4X", "e\u0301\u0302\x1b[1J", "\x1b[?1049hx\x1b[?1049l\x1b[S\x1b[L",
		"\x01abcdefgh\x02ijklmnop\x03\x04", "\x1b[44m\x1b[Kx\x1b[4hyz\x1b[b", "\x1bc\x1b[1;2r\n\n\x1bM", "aaaaaaaaaaaa\x1b[1;5H\x1b[K",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script string) {
		s := terminal.NewScreen(10, 4)
		s.Keep(3)
		known := map[uint64]string{}
		for i := range len(script) {
			if b := script[i]; b > 0 && b < 5 {
				s.Resize(3*int(b), int(b))
			}
			s.Write([]byte(script[i : i+1]))
			look := func(r terminal.Row) {
				is := fmt.Sprintf("%s %v", r.Append(nil), r.Wrapped())
				if was, ok := known[r.ID()]; ok && !r.Changed() && was != is {
					t.Fatalf("%q after %q: %q is not said to have changed from %q", script, script[:i+1], is, was)
				}
				known[r.ID()] = is
			}
			s.Gone(look)
			s.Rows(look)
		}
	})
}

func TestAppendRow(t *testing.T) {
	s := terminal.NewScreen(10, 2)
	fmt.Fprint(s, "a\x1b[31mb関c\x1b[0m")
	for _, c := range []struct {
		y, from, to int
		want        string
	}{
		{0, 0, 3, "\x1b[0ma\x1b[0;38;5;1mb \x1b[0m"},
		{0, 1, 4, "\x1b[0m\x1b[0;38;5;1mb関\x1b[0m"},
		{0, 3, 6, "\x1b[0m\x1b[0;38;5;1m c\x1b[0m \x1b[0m"},
		{1, 0, 2, "\x1b[0m  \x1b[0m"},
		{2, 0, 2, ""},
		{-1, 0, 2, ""},
	} {
		if got := string(s.AppendRow(nil, c.y, c.from, c.to)); got != c.want {
			t.Errorf("row %d, columns %d to %d: %q, want %q", c.y, c.from, c.to, got, c.want)
		}
	}
}
