package terminal

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxKeys is how many bytes of a line that is typed are kept, and maxLines how many lines that are typed ahead.
const (
	maxKeys  = 4 << 10
	maxLines = 16
)

// keys are the lines that were typed, where the recording has what was typed. They only ever help to find where a line
// begins: what is not on the screen is no command.
type keys struct {
	line  []byte
	mixed bool // there were keys that edit
	lines []typedLine
}

// typedLine is a line up to Enter. What an editor made of one with keys that edit is not known.
type typedLine struct {
	text   string
	edited bool
}

// Keystrokes gives what the user typed, where the recording has it. It comes after the Typed of the same bytes.
func (c *Commands) Keystrokes(at time.Duration, data []byte) {
	k := &c.keys
	for _, b := range data {
		switch {
		case b == '\r' || b == '\n':
			text := strings.TrimSpace(string(k.line))
			k.lines = append(k.lines, typedLine{text, k.mixed || !utf8.ValidString(text)})
			if len(k.lines) > maxLines {
				k.lines = k.lines[1:]
			}
			k.line, k.mixed = k.line[:0], false
		case b == 0x7f || b == '\b':
			_, size := utf8.DecodeLastRune(k.line)
			k.line = k.line[:len(k.line)-size]
		case b < 0x20 || len(k.line) >= maxKeys:
			k.mixed = true
		default:
			k.line = append(k.line, b)
		}
	}
}

// typed finds the start of a line in row last that ends in what was typed. Of the lines that wait to be read, it is the
// longest that the line ends in; while one of them was edited, that is not known.
func (c *Commands) typed(last int) (at start, row, x int, ok bool) {
	waiting := c.keys.waiting(c.line.since + 1)
	if len(waiting) == 0 || slices.ContainsFunc(waiting, func(l typedLine) bool { return l.edited }) {
		return start{}, 0, 0, false
	}
	g := c.screen.grid
	row = g.start(last)
	if (last-row)*c.screen.cols > maxKeys+maxPrompt {
		return start{}, 0, 0, false
	}
	var line []byte
	for i := row; i <= last; i++ {
		line = g.line(i).append(line, 0, c.screen.cols)
	}
	text := strings.TrimRight(string(line), " ")
	longest := ""
	for _, l := range waiting {
		if len(l.text) > len(longest) && strings.HasSuffix(text, l.text) {
			longest = l.text
		}
	}
	prompt := strings.TrimSuffix(text, longest)
	if longest == "" || prompt == "" {
		return start{}, 0, 0, false
	}
	row, x, ok = c.after(row, prompt)
	return start{ok: true, id: g.line(row).id, x: x, prompt: prompt}, row, x, ok
}

// waiting are the last n lines, as far as they are kept.
func (k *keys) waiting(n int) []typedLine { return k.lines[max(0, len(k.lines)-n):] }
