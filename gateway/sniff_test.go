package gateway

import (
	"bytes"
	"strings"
	"testing"
)

// sniffed feeds text in pieces of the sizes that cuts says, over and over, and gives what went on, and whether SSH was
// found and where.
func sniffed(connected bool, text string, cuts []byte) (delivered string, s sniffer) {
	s = newSniffer(connected)
	var out []byte
	for i := 0; len(text) > 0; i++ {
		n := len(text)
		if len(cuts) > 0 {
			n = min(n, int(cuts[i%len(cuts)])+1)
		}
		deliver, _ := s.feed([]byte(text[:n]))
		out = append(out, deliver...)
		text = text[n:]
	}
	return string(append(out, s.rest()...)), s
}

func TestSniff(t *testing.T) {
	long := strings.Repeat("x", maxSniffedBytes)
	for name, c := range map[string]struct {
		connected bool
		text      string
		found     bool
		delivered string
	}{
		"a client":                 {true, "SSH-2.0-OpenSSH_9.2\r\n", true, ""},
		"SSH 1":                    {true, "SSH-1.5-x\n", true, ""},
		"no more than a banner":    {true, "SSH-", true, ""},
		"nearly":                   {true, "SSH", false, "SSH"},
		"lower case":               {true, "ssh-2.0", false, "ssh-2.0"},
		"HTTP":                     {true, "GET / HTTP/1.1\r\n\r\n", false, "GET / HTTP/1.1\r\n\r\n"},
		"a client's second line":   {true, "\nSSH-2.0-x\n", false, "\nSSH-2.0-x\n"},
		"nothing":                  {true, "", false, ""},
		"a server":                 {false, "SSH-2.0-OpenSSH_9.2\r\n\x00\x00", true, ""},
		"lines before it":          {false, "Welcome\r\nto this\r\n\nSSH-2.0-x\r\n", true, "Welcome\r\nto this\r\n\n"},
		"a broken banner first":    {false, "SSH\nSS\nSSH-2.0", true, "SSH\nSS\n"},
		"not at a line's start":    {false, " SSH-2.0\nxSSH-\nSSSH-", false, " SSH-2.0\nxSSH-\nSSSH-"},
		"the last line":            {false, strings.Repeat("\n", maxSniffedLines-1) + "SSH-", true, strings.Repeat("\n", maxSniffedLines-1)},
		"too many lines":           {false, strings.Repeat("\n", maxSniffedLines) + "SSH-", false, strings.Repeat("\n", maxSniffedLines) + "SSH-"},
		"too long a line":          {false, long + "\nSSH-", false, long + "\nSSH-"},
		"a line as long as it may": {false, long[2:] + "\nSSH-", true, long[2:] + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, cuts := range [][]byte{nil, {0}, {1}, {2, 0}, {6}} {
				delivered, s := sniffed(c.connected, c.text, cuts)
				if s.found() != c.found || delivered != c.delivered {
					t.Errorf("cut by %v: found %t after %.40q, want %t after %.40q", cuts, s.found(), delivered, c.found, c.delivered)
				}
			}
		})
	}
}

// What cannot become SSH any more is held back not for a moment.
func TestSniffDeliversAtOnce(t *testing.T) {
	s := newSniffer(false)
	for _, step := range []struct{ in, out string }{
		{"220 mail", "220 mail"}, {"\r\n", "\r\n"}, {"S", ""}, {"S", ""}, {"L", "SSL"}, {"S\n", "S\n"}, {"SSH", ""}, {"\n", "SSH\n"},
	} {
		if got, _ := s.feed([]byte(step.in)); string(got) != step.out {
			t.Errorf("after %q came %q, want %q", step.in, got, step.out)
		}
	}
}

func FuzzSniff(f *testing.F) {
	f.Add(true, []byte("SSH-2.0-x"), []byte{0})
	f.Add(false, []byte("hello\nSSH-2.0-x\n"), []byte{3, 0})
	f.Add(false, []byte("SSH\nSS\nS\n"), []byte{1})
	f.Fuzz(func(t *testing.T, connected bool, text, cuts []byte) {
		delivered, s := sniffed(connected, string(text), cuts)
		at := begins(connected, text)
		if s.found() != (at >= 0) {
			t.Fatalf("found %t in %q, where SSH begins at %d", s.found(), text, at)
		}
		if at < 0 {
			at = len(text)
		}
		if delivered != string(text[:at]) {
			t.Fatalf("of %q came %q, want %q", text, delivered, text[:at])
		}
	})
}

// begins is the sniffer's rule told once more, of a whole text: where SSH begins in it, or -1.
func begins(connected bool, text []byte) int {
	lines := maxSniffedLines
	if connected {
		lines = 1
	}
	for at := 0; lines > 0 && at < maxSniffedBytes; lines-- {
		if bytes.HasPrefix(text[at:], []byte(banner)) {
			return at
		}
		n := bytes.IndexByte(text[at:], '\n')
		if n < 0 {
			return -1
		}
		at += n + 1
	}
	return -1
}
