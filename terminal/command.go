package terminal

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTitle is how many bytes of a title or a directory are kept.
const (
	maxTitle     = 256
	maxDirectory = 4096
)

// command does an operating system command that has come to its end.
func (s *Screen) command() {
	if len(s.osc) >= maxOSC {
		return
	}
	number, rest, _ := strings.Cut(string(s.osc), ";")
	switch number {
	case "0", "2":
		s.title = plain(rest, maxTitle)
	case "7":
		if u, err := url.Parse(rest); err == nil && u.Scheme == "file" {
			s.enter(u.Path)
		}
	case "1337":
		if path, ok := strings.CutPrefix(rest, "CurrentDir="); ok {
			s.enter(path)
		}
	case "133", "633":
		s.mark(number[0], rest)
	}
}

// enter notes the directory that a shell told.
func (s *Screen) enter(path string) {
	if !strings.HasPrefix(path, "/") {
		return
	}
	s.directory = plain(path, maxDirectory)
	if s.watch != nil {
		s.watch.moved()
	}
}

// mark hands on a mark of FinalTerm's protocol (133) or of VS Code's (633).
func (s *Screen) mark(family byte, text string) {
	if text == "" {
		return
	}
	kind, rest := text[0], strings.TrimPrefix(text[1:], ";")
	if family == '6' && kind == 'P' {
		if path, ok := strings.CutPrefix(rest, "Cwd="); ok {
			s.enter(unescape(path))
		}
		return
	}
	if s.watch != nil {
		s.watch.marked(family, kind, rest)
	}
}

// unescape undoes VS Code's \\ and \xNN.
func unescape(text string) string {
	var out []byte
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, `\\`):
			out = append(out, '\\')
			i++
		case len(rest) >= 4 && rest[0] == '\\' && rest[1] == 'x' && hex(rest[2]) >= 0 && hex(rest[3]) >= 0:
			out = append(out, byte(hex(rest[2])<<4|hex(rest[3])))
			i += 3
		default:
			out = append(out, text[i])
		}
	}
	return string(out)
}

func hex(b byte) int { return strings.IndexByte("0123456789abcdef", b|0x20) }

// plain gives at most n bytes of text without control characters, in valid UTF-8.
func plain(text string, n int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, text)
	for len(text) > n {
		_, size := utf8.DecodeLastRuneInString(text[:n+1])
		text = text[:min(n, n+1-size)]
	}
	return text
}
