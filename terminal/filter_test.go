package terminal_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sekisho/sekisho/terminal"
)

func TestFilter(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"text":                {"ls 関所\r\n\tx\b", "ls 関所\r\n\tx\b"},
		"colours":             {"\x1b[1;38;5;200mx\x1b[0m\x1b[m", "\x1b[1;38;5;200mx\x1b[0m\x1b[m"},
		"cursor":              {"\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b7\x1b8\x1b[?25l", "\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b7\x1b8\x1b[?25l"},
		"alternate screen":    {"\x1b[?1049h\x1b[1;24r\x1b(0q\x1b(B", "\x1b[?1049h\x1b[1;24r\x1b(0q\x1b(B"},
		"clipboard":           {"a\x1b]52;c;cm0=\x07b", "ab"},
		"clipboard, ST":       {"a\x1b]52;c;cm0=\x1b\\b", "ab"},
		"clipboard, C1":       {"a\u009d52;c;cm0=\u009cb", "a52;c;cm0=b"},
		"clipboard, raw C1":   {"a\x9d52;c;x\x9cb", "a\ufffd52;c;x\ufffdb"},
		"title and report":    {"\x1b]0;evil\x07\x1b[21t", ""},
		"answers":             {"\x05\x1b[c\x1b[>c\x1b[6n\x1b[?6n\x1b[x\x1bZ\x1b[0q\x1b[>q", ""},
		"DECRQSS":             {"\x1bP$q\"p\x1b\\x", "x"},
		"string in string":    {"\x1bPa\x1b]52;c;x\x07b\x1b\\c", "bc"},
		"APC, PM, SOS":        {"\x1b_a\x1b\\\x1b^b\x1b\\\x1bXc\x1b\\d", "d"},
		"mouse and paste":     {"\x1b[?1000h\x1b[?1006h\x1b[?2004h\x1b[?1004h\x1b[?1h", ""},
		"mouse among others":  {"\x1b[?25;1000h", ""},
		"keyboard":            {"\x1b[>4;2m\x1b[>1u\x1b[=1u\x1b=\x1b>", ""},
		"printer":             {"\x1b[5i\x1b[?5i", ""},
		"scrollback":          {"\x1b[3J\x1b[03J\x1b[2;3Jx\x1b[J\x1b[0J\x1b[1J", "x\x1b[J\x1b[0J\x1b[1J"},
		"tab stops":           {"\x1b[3g\x1bH\x1b[?5W\x1b[?4W", "\x1b[3g\x1bH\x1b[?5W"},
		"reset":               {"\x1bc\x1b[!p", ""},
		"repeat without end":  {"x\x1b[2147483647b", "x"},
		"other character set": {"\x1b%G\x1b%@\x1b#8x", "x"},
		"ESC in CSI":          {"\x1b[1\x1b[2Kx", "\x1b[2Kx"},
		"cancelled":           {"\x1b[1\x18mx\x1b]52;\x1ay", "mxy"},
		"newline in CSI":      {"\x1b[1\nmx", "\n\x1b[1mx"},
		"endless sequence":    {"\x1b[" + strings.Repeat("1;", 1000) + "mx", "x"},
		"no end":              {"x\x1b[31", "x"},
	} {
		var whole terminal.Filter
		if got := string(whole.Append(nil, []byte(c.in))); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		var piecewise terminal.Filter
		var got []byte
		for i := range len(c.in) {
			got = piecewise.Append(got, []byte(c.in[i:i+1]))
		}
		if string(got) != c.want {
			t.Errorf("%s, byte by byte: %q, want %q", name, got, c.want)
		}
	}
}

// FuzzFilter: what comes out is UTF-8 without C1 controls, holds no string sequences, and passes unchanged.
func FuzzFilter(f *testing.F) {
	f.Add("\x1b[1mx\x1b]52;c;x\x07\x1b[6n", 3)
	f.Add("\x1b\x1b[\x1b]\u009b0m\xc2", 1)
	f.Fuzz(func(t *testing.T, in string, cut int) {
		cut = max(0, min(cut, len(in)))
		var s, again terminal.Filter
		got := s.Append(s.Append(nil, []byte(in[:cut])), []byte(in[cut:]))
		if !utf8.Valid(got) {
			t.Errorf("%q is no UTF-8", got)
		}
		for _, bad := range []string{"\x1b]", "\x1bP", "\x1b_", "\x1b^", "\x1bX", "\x1bc", "\x1b[c", "\x1b[6n", "\x05"} {
			if bytes.Contains(got, []byte(bad)) {
				t.Errorf("%q holds %q", got, bad)
			}
		}
		if strings.ContainsFunc(string(got), func(r rune) bool { return r >= 0x7f && r <= 0x9f }) {
			t.Errorf("%q holds a C1 control", got)
		}
		if second := again.Append(nil, got); !bytes.Equal(second, got) {
			t.Errorf("%q does not pass again: %q", got, second)
		}
	})
}
