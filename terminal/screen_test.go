package terminal_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/terminal"
)

// draw shows what is on a screen of 10 columns and 4 rows, without the empty rows at its end.
func draw(t *testing.T, in string) (s *terminal.Screen, text string) {
	t.Helper()
	s = terminal.NewScreen(10, 4)
	s.Write([]byte(in))
	bytewise := terminal.NewScreen(10, 4)
	for i := range len(in) {
		bytewise.Write([]byte{in[i]})
	}
	same(t, s, bytewise)
	return s, strings.TrimRight(s.Text(), "\n")
}

// same checks that two screens show the same.
func same(t *testing.T, a, b *terminal.Screen) {
	t.Helper()
	if diff := cmp.Diff(a.Text(), b.Text()); diff != "" {
		t.Errorf("text differs:\n%s", diff)
	}
	if x, y := a.Render(nil), b.Render(nil); !bytes.Equal(x, y) {
		t.Errorf("looks differ:\n%q\n%q", x, y)
	}
}

func TestScreen(t *testing.T) {
	for name, c := range map[string]struct {
		in, want string
		x, y     int
	}{
		"text":                  {"ab\r\ncd", "ab\ncd", 2, 1},
		"newline only":          {"ab\ncd", "ab\n  cd", 4, 1},
		"wrap":                  {"0123456789ab", "0123456789\nab", 2, 1},
		"wrap waits":            {"0123456789", "0123456789", 9, 0},
		"wrap waits, CR":        {"0123456789\rx", "x123456789", 1, 0},
		"backspace at the end":  {"0123456789\bx", "01234567x9", 9, 0},
		"no wrap":               {"\x1b[?7l0123456789ab", "012345678b", 9, 0},
		"scroll":                {"1\r\n2\r\n3\r\n4\r\n5", "2\n3\n4\n5", 1, 3},
		"region":                {"1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\nx", "1\n3\nx\n4", 1, 2},
		"reverse feed":          {"1\r\n2\x1b[H\x1bMx", "x\n1\n2", 1, 0},
		"origin":                {"\x1b[2;3r\x1b[?6h\x1b[2;2Hx\x1b[9;9Hy", "\n\n x      y", 9, 2},
		"tabs":                  {"a\tb\tc", "a       bc", 9, 0},
		"own tabs":              {"\x1b[3g\x1b[4G\x1bH\ra\tb", "a  b", 4, 0},
		"back tab":              {"abcdefghij\x1b[Zx", "abcdefghxj", 9, 0},
		"erase line":            {"abcdef\x1b[3D\x1b[K", "abc", 3, 0},
		"erase line to cursor":  {"abcdef\x1b[3D\x1b[1K", "    ef", 3, 0},
		"erase display":         {"ab\r\ncd\r\nef\x1b[2;2H\x1b[J", "ab\nc", 1, 1},
		"erase above":           {"ab\r\ncd\r\nef\x1b[2;1H\x1b[1J", "\n d\nef", 0, 1},
		"erase all":             {"ab\r\ncd\x1b[2Jx", "\n  x", 3, 1},
		"erase characters":      {"abcdef\x1b[4D\x1b[2X", "ab  ef", 2, 0},
		"insert characters":     {"abcdef\x1b[4D\x1b[2@", "ab  cdef", 2, 0},
		"insert at the border":  {"0123456789\r\x1b[3@", "   0123456", 0, 0},
		"delete characters":     {"abcdef\x1b[4D\x1b[2P", "abef", 2, 0},
		"insert mode":           {"abc\r\x1b[4hxy\x1b[4lz", "xyzbc", 3, 0},
		"insert lines":          {"1\r\n2\r\n3\x1b[2;1H\x1b[Lx", "1\nx\n2\n3", 1, 1},
		"delete lines":          {"1\r\n2\r\n3\x1b[2;1H\x1b[M", "1\n3", 0, 1},
		"scroll up and down":    {"1\r\n2\r\n3\x1b[2S\x1b[T", "\n3", 1, 2},
		"save and restore":      {"ab\x1b7\x1b[3;3Hx\x1b8y", "aby\n\n  x", 3, 0},
		"alternate screen":      {"ab\x1b[?1049h\x1b[Hxy\x1b[?1049lc", "abc", 3, 0},
		"on alternate":          {"ab\x1b[?1049h\x1b[Hxy", "xy", 2, 0},
		"line drawing":          {"\x1b(0lqk\x1b(Bq\x0ex\x0f", "┌─┐qx", 5, 0},
		"line drawing by shift": {"\x1b)0q\x0eq\x0fq", "q─q", 3, 0},
		"wide":                  {"関所x", "関所x", 5, 0},
		"wide at the border":    {"012345678関", "012345678\n関", 2, 1},
		"half of a wide":        {"関所\r\x1b[Cx", " x所", 2, 0},
		"other half":            {"関所\rx", "x 所", 1, 0},
		"wide erased in half":   {"関所\x1b[2G\x1b[K", "", 1, 0},
		"combining":             {"e\u0301x", "e\u0301x", 2, 0},
		"combining at the end":  {"012345678e\u0301", "012345678e\u0301", 9, 0},
		"too many combining":    {"e" + strings.Repeat("\u0301", 99) + "x", "e" + strings.Repeat("\u0301", 4) + "x", 2, 0},
		"combining moves":       {"e\u0301\r\x1b[@", " e\u0301", 0, 0},
		"no UTF-8":              {"a\xffb\xe9\x96c", "a\ufffdb\ufffd\ufffdc", 6, 0},
		"repeat":                {"ab\x1b[3b", "abbbb", 5, 0},
		"endless repeat":        {"a\x1b[999999999b", "aaaaaaaaaa\na", 1, 1},
		"OSC and DCS":           {"a\x1b]0;title\x07b\x1bP1$r\x1b\\c\x1b]2;x\x1b\\d", "abcd", 4, 0},
		"cancelled":             {"a\x1b[1\x18b", "ab", 2, 0},
		"wrong sequence":        {"a\x1b[1?2hb\x1b[>1;2mc\x1b[!pd", "abcd", 4, 0},
		"control in a sequence": {"ab\x1b[\b2Cx", "ab x", 4, 0},
		"many parameters":       {"a\x1b[" + strings.Repeat("1;", 99) + "mb", "ab", 2, 0},
		"reset":                 {"ab\x1b[2;3r\x1b[4h\x1bcx", "x", 1, 0},
		"numbers too big":       {"\x1b[99999999999;99999999999Hx\x1b[99999999999A\x1b[99999999999Dy", "y\n\n\n         x", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, text := draw(t, c.in)
			if text != c.want {
				t.Errorf("shows\n%s\nwant\n%s", text, c.want)
			}
			if x, y := s.Cursor(); x != c.x || y != c.y {
				t.Errorf("cursor %d,%d, want %d,%d", x, y, c.x, c.y)
			}
			renders(t, s)
		})
	}
}

// renders checks that what Render gives draws the same screen, is safe, and that drawing goes on as on the first.
func renders(t *testing.T, s *terminal.Screen) {
	t.Helper()
	s.Write([]byte{0x18}) // ends what the input left open
	drawn := s.Render(nil)
	var f terminal.Filter
	if safe := f.Append(nil, drawn); !bytes.Equal(safe, drawn) {
		t.Errorf("Render gives what is not let through:\n%q\n%q", drawn, safe)
	}
	again := terminal.NewScreen(s.Size())
	again.Write([]byte("left\x1b[2;3r\x1b[?6h\x1b[?1049hover\x1b[4h\x1b(0"))
	again.Write(drawn)
	same(t, s, again)
	const more = "xyz\x1b[31mq\r\nabc\n\n\n\x1b8d\x1b[?1049l"
	s.Write([]byte(more))
	again.Write([]byte(more))
	same(t, s, again)
}

// goesOn checks that a screen that was drawn from the Picture of s goes on in the middle of a sequence as s does, and wraps
// its lines anew as s does. What background new columns have is not compared.
func goesOn(t *testing.T, s *terminal.Screen) {
	t.Helper()
	again := terminal.NewScreen(s.Size())
	again.Write(s.Picture(nil))
	for range 2 {
		cols, rows := s.Size()
		for _, on := range []*terminal.Screen{s, again} {
			on.Write([]byte("1;2;4Hx\x07y\x1b\\z\t.\nv"))
			on.Resize(cols+3, rows)
		}
		if got, want := again.Text(), s.Text(); got != want {
			t.Errorf("shows\n%s\nwant\n%s", got, want)
		}
	}
}

func TestPicture(t *testing.T) {
	for _, in := range []string{
		"a\x1b", "a\x1b(", "a\x1b[", "a\x1b[3", "a\x1b[3;", "a\x1b[38:2::1:2", "a\x1b[?2", "a\x1b[1<", "a\x1b[2 ", "a\x1b]0;tit\u00e9", "a\x1bPq", "a\x1b_",
		"a\xe9\x96", "a\x1b]0;\xe9", "a\x1b[" + strings.Repeat("1;", 100), "a\x1b]0;" + strings.Repeat("x", 40<<10),
		strings.Repeat("0123456789", 3), strings.Repeat("0123456789", 2) + " \r\n$ ", "0123456789012345678関関\r\n" + strings.Repeat("関", 20), "\x1b[44m" + strings.Repeat(" ", 21) + "\x1b[m\r", "\x1b[9G\x1b[g\x1b[6G\x1bH\r\x1b[20h",
		"\x1b(0\x1b7\x1b[?1049h\x1b(Bpass", "\x1b(0\x1b7\x1b(B" + strings.Repeat("pass", 5),
	} {
		s := terminal.NewScreen(20, 4)
		s.Write([]byte(in))
		goesOn(t, s)
	}
}

func TestLooks(t *testing.T) {
	s := terminal.NewScreen(10, 2)
	s.Write([]byte("\x1b[1;31ma\x1b[0;38;5;200;48:2::1:2:3mb\x1b[22;39;49;4:3mc\x1b[4:0;7md\x1b[me\x1b[44m\x1b[K"))
	got := string(s.Render(nil))
	for _, want := range []string{
		"\x1b[0;1;38;5;1ma", "\x1b[0;38;5;200;48;2;1;2;3mb", "\x1b[0;4mc", "\x1b[0;7md", "\x1b[0me", "\x1b[0;48;5;4m\x1b[K",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	renders(t, s)
}

// A screen has no more cells than it may, whatever it is asked for, and in whatever order.
func TestSizes(t *testing.T) {
	for _, c := range [][4]int{{1 << 30, 1 << 30, 1000, 262}, {1, 1 << 30, 2, 1000}, {1000, 262, 1000, 262}, {640, 200, 640, 200}, {0, -1, 80, 24}, {1000, 0, 1000, 24}} {
		if cols, rows := terminal.NewScreen(c[0], c[1]).Size(); cols != c[2] || rows != c[3] {
			t.Errorf("%dx%d is %dx%d", c[0], c[1], cols, rows)
		}
	}
	s := terminal.NewScreen(10, 1000)
	s.Resize(1000, 0)
	if cols, rows := s.Size(); cols != 1000 || rows != 262 {
		t.Errorf("wider: %dx%d", cols, rows)
	}
	if cols, rows := terminal.Size(1<<32-1, 1<<32-1); cols != 1000 || rows != 262 {
		t.Errorf("as a recording has it: %dx%d", cols, rows)
	}
	if cols, rows := terminal.Size(0, 0); cols != 0 || rows != 0 {
		t.Errorf("not known: %dx%d", cols, rows)
	}
}

func TestResize(t *testing.T) {
	for name, c := range map[string]struct {
		in         string
		cols, rows int
		want       string
		x, y       int
	}{
		"narrower":         {"$ 012345", 5, 4, "$ 012\n345", 3, 1},
		"wider":            {"0123456789abc\r\n$ ", 20, 4, "0123456789abc\n$", 2, 1},
		"lower":            {"1\r\n2\r\n3\r\n$ ", 10, 2, "3\n$", 2, 1},
		"lower, top":       {"1\r\n$ ", 10, 2, "1\n$", 2, 1},
		"higher":           {"1\r\n2\r\n3\r\n$ ", 10, 6, "1\n2\n3\n$", 2, 3},
		"wide in two rows": {"abc関", 4, 4, "abc\n関", 2, 1},
		"alternate":        {"main\x1b[?1049h\x1b[Habcdef\r\nx", 3, 2, "abc\nx", 1, 1},
		"too big":          {"a", 1 << 30, 1 << 30, "a", 1, 0},
		"nothing":          {"a", 0, -1, "a", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := terminal.NewScreen(10, 4)
			s.Write([]byte(c.in))
			s.Resize(c.cols, c.rows)
			if text := strings.TrimRight(s.Text(), "\n"); text != c.want {
				t.Errorf("shows\n%s\nwant\n%s", text, c.want)
			}
			if x, y := s.Cursor(); x != c.x || y != c.y {
				t.Errorf("cursor %d,%d, want %d,%d", x, y, c.x, c.y)
			}
		})
	}
}

func TestDirectory(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b]7;file://web1/srv/a%20b\x07":                       "/srv/a b",
		"\x1b]7;file:///srv\x1b\\":                               "/srv",
		"\x1b]7;/srv\x07":                                        "",
		"\x1b]7;https://web1/srv\x07":                            "",
		"\x1b]633;P;Cwd=/srv\\x3ba\\\\b\x07":                     `/srv;a\b`,
		"\x1b]1337;CurrentDir=/srv\x07":                          "/srv",
		"\x1b]7;file:///a%0ab%1b[c\x07":                          "/ab[c",
		"\x1b]7;file:///" + strings.Repeat("a", 40<<10) + "\x07": "",
	} {
		s := terminal.NewScreen(80, 24)
		s.Write([]byte(in))
		if got := s.Directory(); got != want {
			t.Errorf("%.40q: directory %q, want %q", in, got, want)
		}
	}
}

func FuzzScreen(f *testing.F) {
	f.Add("ls\r\n\x1b[31mfoo\x1b[0m\x1b[2;3r\x1b[?1049h関\x1b[L\x1b[M", 5, 20, 3)
	f.Add("e\u0301\x1b[@\x1b[P\x1b[4hx\x1b[?6h\x1b[99b\x1b[T", 2, 1, 1)
	f.Add("0123456789abcdef\x1b[K\x1b[44m\x1b[2J\x1b[3@\x1b[7P", 9, 3, 9)
	f.Fuzz(func(t *testing.T, in string, cut, cols, rows int) {
		cut = max(0, min(cut, len(in)))
		whole, cuts := terminal.NewScreen(7, 3), terminal.NewScreen(7, 3)
		for _, s := range []*terminal.Screen{whole, cuts} {
			if s == whole {
				s.Write([]byte(in[:cut]))
			} else {
				for i := range cut {
					s.Write([]byte{in[i]})
				}
			}
			s.Resize(min(cols, 30), min(rows, 30))
			s.Write([]byte(in[cut:]))
		}
		same(t, whole, cuts)
		goesOn(t, cuts)
		renders(t, whole)
	})
}
