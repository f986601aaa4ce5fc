package gateway

import (
	"strings"
	"testing"
)

func TestSwitched(t *testing.T) {
	for name, c := range map[string]struct{ said, undo string }{
		"nothing":             {"plain text \x1b[31mred\x1b[0m", ""},
		"an editor":           {"\x1b[?1049h\x1b[22;0;0t\x1b[?1h\x1b=\x1b[?2004h\x1b[?25l", "\x1b[0m\x1b[?1l\x1b[?2004l\x1b[?1049l\x1b[?25h"},
		"an editor that left": {"\x1b[?1049h\x1b[?25l...\x1b[?1049l\x1b[?25h", ""},
		"several at once":     {"\x1b[?1000;1006;25l\x1b[?1002;1006h", "\x1b[0m\x1b[?1002l\x1b[?1006l\x1b[?25h"},
		"no modes of ours":    {"\x1b[?12h\x1b[?3l\x1b[4h\x1b[?1049$p\x1b[?u", ""},
		"twice":               {"\x1b[?1049h\x1b[?1049h", "\x1b[0m\x1b[?1049l"},
		"too long":            {"\x1b[?" + strings.Repeat("1;", 100) + "1049h", ""},
		"not whole":           {"\x1b[?1049", ""},
		"one in another":      {"\x1b[?10\x1b[?1049h", "\x1b[0m\x1b[?1049l"},
	} {
		for _, size := range []int{1, 2, 3, 7, 1000} {
			var s switched
			for rest := []byte(c.said); len(rest) > 0; rest = rest[min(size, len(rest)):] {
				s.see(rest[:min(size, len(rest))])
			}
			if got := s.undo(); got != c.undo {
				t.Errorf("%s, in pieces of %d: %q, want %q", name, size, got, c.undo)
			}
			if len(s.tail) > maxModes {
				t.Errorf("%s: %d bytes kept", name, len(s.tail))
			}
		}
	}
}

func FuzzSwitched(f *testing.F) {
	f.Add([]byte("\x1b[?1049h\x1b[?25l"), 3)
	f.Fuzz(func(t *testing.T, said []byte, size int) {
		size = max(1, size&15)
		var whole, pieces switched
		whole.see(said)
		for rest := said; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			pieces.see(rest[:min(size, len(rest))])
		}
		if whole.undo() != pieces.undo() {
			t.Errorf("whole %q, in pieces of %d %q", whole.undo(), size, pieces.undo())
		}
	})
}
