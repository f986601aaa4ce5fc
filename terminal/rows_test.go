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
	s.Rows(func(id uint64, wrapped bool, text []byte) {
		if wrapped != (string(text) == "0123456789") {
			t.Errorf("%q wrapped: %v", text, wrapped)
		}
		ids[string(text)] = id
	})
	fmt.Fprint(s, "x\r\ny\r\n")
	var gone []string
	take := func(id uint64, _ bool, text []byte) {
		if before, ok := ids[string(text)]; ok && before != id {
			t.Errorf("%q was %d and is %d", text, before, id)
		}
		gone = append(gone, string(text))
	}
	s.Gone(take)
	s.Gone(take)
	if d := cmp.Diff([]string{"one", "0123456789", "abc"}, gone); d != "" {
		t.Errorf("gone (-want +got)\n%s", d)
	}
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
