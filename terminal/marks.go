package terminal

import (
	"strconv"
	"strings"
)

type markStage uint8

const (
	unmarked    markStage = iota
	markedInput           // after B: the user's command begins
	markedTaken           // it was read
	markedRun             // after C: it runs
)

// marks is what the shell's semantic marks have told (FinalTerm's OSC 133, VS Code's 633).
type marks struct {
	stage    markStage
	input    start // where B stood
	complete bool  // this shell sends C as well
	exact    string
}

// marked is a mark.
func (c *Commands) marked(family, kind byte, rest string) {
	if c.screen.Alternate() {
		return
	}
	c.drawing()
	m := &c.marks
	switch kind {
	case 'A':
		c.over()
	case 'B':
		c.over()
		if at := c.here(); !c.typedBefore(at) {
			m.stage, m.input = markedInput, at
		}
	case 'E':
		if family == '6' {
			line, _, _ := strings.Cut(rest, ";")
			m.exact = strings.TrimSpace(plainLines(unescape(line)))
		}
	case 'C':
		c.runs()
	case 'D':
		c.exited(rest)
	}
}

// typedBefore reports whether the user had begun to type to the left of a mark B: then the prompt does not end there.
func (c *Commands) typedBefore(at start) bool {
	began := c.line.began
	return began.ok && classify(began.prompt) == shellLike && len(at.prompt) > len(began.prompt) && strings.HasPrefix(at.prompt, began.prompt)
}

// runs is the mark that a command was taken. Most often its line was read when the cursor left it.
func (c *Commands) runs() {
	m, l := &c.marks, &c.line
	m.complete = true
	switch {
	case m.stage == markedInput && l.since > 0:
		l.since--
		l.enters = max(l.enters-1, 0)
		last := c.lastLine()
		if row, x, _ := c.confirm(m.input, last); row >= 0 && row <= last {
			c.take(m.input, row, x, last, HowMarks, High)
		}
	case m.stage == markedTaken && m.exact != "" && c.held != nil && c.held.How == HowMarks:
		text, sure := told(m.exact, c.held.Text, c.held.Confidence)
		c.held.Text, c.held.Confidence, m.exact = cut(text, maxCommand), sure, ""
	}
	m.stage = markedRun
}

// exited is the mark that the command ended.
func (c *Commands) exited(rest string) {
	if c.marks.stage != markedRun && c.marks.stage != markedTaken {
		return
	}
	c.marks.stage = unmarked
	c.over()
	code, _, _ := strings.Cut(rest, ";")
	if n, err := strconv.Atoi(code); err == nil && n >= 0 && n <= 255 && c.held != nil && c.held.ExitStatus == nil {
		c.held.ExitStatus = &n
	}
}
