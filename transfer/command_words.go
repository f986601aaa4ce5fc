package transfer

import "strings"

// Bounds of a command line.
const (
	maxCommand = 64 << 10
	maxWords   = 4096
)

// shellWord is a word as the program gets it; pattern says that the shell may make it something else, or several words.
type shellWord struct {
	text    string
	pattern bool
}

// shellWords takes a simple command apart as sh, bash, zsh, csh and fish agree to do (POSIX XCU 2.2, 2.3). It gives
// nothing where a shell could do anything but start one program with these words, or where shells disagree.
func shellWords(command string) ([]shellWord, bool) {
	if len(command) > maxCommand {
		return nil, false
	}
	s := shell{rest: command}
	var words []shellWord
	for {
		s.rest = strings.TrimLeft(s.rest, " \t")
		if s.rest == "" {
			return words, true
		}
		w, ok := s.word()
		if !ok || len(words) == maxWords {
			return nil, false
		}
		words = append(words, w)
	}
}

// shell is what is left of a command line.
type shell struct{ rest string }

func (s *shell) next() byte {
	c := s.rest[0]
	s.rest = s.rest[1:]
	return c
}

// word reads one word; there is at least one byte of it.
func (s *shell) word() (w shellWord, ok bool) {
	var text strings.Builder
	for first := true; s.rest != "" && s.rest[0] != ' ' && s.rest[0] != '\t'; first = false {
		switch c := s.next(); {
		case c == '\'':
			ok = s.single(&text)
		case c == '"':
			ok = s.double(&text)
		case c == '\\':
			ok = s.escaped(&text)
		default:
			ok = plain(c, first)
			w.pattern = w.pattern || strings.IndexByte("*?[]{}", c) >= 0 || c == '~' && first
			text.WriteByte(c)
		}
		if !ok {
			return w, false
		}
	}
	w.text = text.String()
	return w, true
}

// plain says that a byte without quotes means no more than a part of a word; of a pattern, at most.
func plain(c byte, first bool) bool {
	switch {
	case c < ' ', c == 0x7f, strings.IndexByte(";&|<>()$`!^", c) >= 0:
		return false
	case first:
		return c != '#' && c != '='
	}
	return true
}

// single reads what is between single quotes. A backslash there means itself to most shells, but not to fish.
func (s *shell) single(text *strings.Builder) bool {
	quoted, rest, found := strings.Cut(s.rest, "'")
	s.rest = rest
	text.WriteString(quoted)
	return found && !strings.ContainsAny(quoted, "\\\x00")
}

// double reads what is between double quotes, where a backslash quotes what would mean something otherwise.
func (s *shell) double(text *strings.Builder) bool {
	for s.rest != "" {
		c := s.next()
		switch c {
		case '"':
			return true
		case '$', '`', '!', 0:
			return false
		case '\\':
			if s.rest == "" || strings.IndexByte("$`\"\\", s.rest[0]) < 0 {
				return false
			}
			c = s.next()
		}
		text.WriteByte(c)
	}
	return false
}

// escaped reads what a backslash quotes, anything but the end of a line. Letters and digits mean something to fish.
func (s *shell) escaped(text *strings.Builder) bool {
	if s.rest == "" {
		return false
	}
	c := s.next()
	text.WriteByte(c)
	letter := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
	return (c >= ' ' || c == '\t') && c != 0x7f && !letter
}
