package terminal

import (
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
	lines []string
}

// Keystrokes gives what the user typed, where the recording has it. It comes after the Typed of the same bytes.
func (c *Commands) Keystrokes(at time.Duration, data []byte) {
	k := &c.keys
	for _, b := range data {
		switch {
		case b == '\r' || b == '\n':
			text := string(k.line)
			if k.mixed || !utf8.ValidString(text) {
				text = ""
			}
			k.lines = append(k.lines, text)
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

// typedLine finds the start of a line in row last that ends in what was typed.
func (c *Commands) typedLine(last int) (at start, row, x int, ok bool) {
	g := c.screen.grid
	row = g.start(last)
	var line []byte
	for i := row; i <= last; i++ {
		line = g.line(i).append(line, 0, c.screen.cols)
	}
	text := strings.TrimRight(string(line), " ")
	for i, typed := range c.keys.lines {
		typed = strings.TrimSpace(typed)
		prompt, found := strings.CutSuffix(text, typed)
		if typed == "" || !found || prompt == "" {
			continue
		}
		if row, x, ok = c.after(row, prompt); ok {
			c.keys.lines = c.keys.lines[i+1:]
			return start{ok: true, id: g.line(row).id, x: x, prompt: prompt}, row, x, true
		}
	}
	return start{}, 0, 0, false
}
