package terminal

import (
	"slices"
	"strings"
	"time"
)

// restTime is how long the output must have paused for the cursor to have rested somewhere; aheadTime is how long after
// Enter it may be that the program has not seen it.
const (
	restTime  = 40 * time.Millisecond
	aheadTime = 2 * time.Second
)

// line is what is known of the line that the user types on the main screen.
type line struct {
	editor bool  // a line editor reads: bracketed paste is on
	opened start // where the cursor was when it began
	rest   start // where the cursor rested first after that
	began  start // where it was when the user began to type
	edited bool  // an editor was reading then

	enter  time.Duration // when Enter was pressed last
	enters int           // Enters that no newline has answered yet
	since  int           // Enters since an editor took a line last
	queued int           // Enters that came at once with one whose line was a command
}

// rested notes where the cursor is when the output has paused.
func (c *Commands) rested(at time.Duration) {
	l := &c.line
	if l.editor && !l.rest.ok && !c.screen.Alternate() && at-c.output >= restTime {
		l.rest = c.here()
	}
}

// began notes where the user begins to type.
func (c *Commands) began() {
	l := &c.line
	if l.began.ok && c.ahead() {
		return // the line before is still on its way
	}
	l.began, l.edited = c.here(), l.editor
	l.enters, l.queued = 0, 0
	if l.editor {
		l.since = 0
	}
	if c.held != nil && c.held.Until == 0 && classify(l.began.prompt) != noPrompt {
		c.held.Until = c.output
	}
	if c.held != nil && !c.continues(c.cursorLine(), l.began.prompt) && classify(l.began.prompt) != noPrompt {
		c.flush()
	}
}

// ahead reports whether the program has not answered the last Enter yet.
func (c *Commands) ahead() bool {
	l := &c.line
	if l.editor && l.edited {
		return l.since > 0 // it reads the same line still
	}
	return l.enters > 0 && c.now-l.enter < aheadTime
}

// entered notes that Enter was pressed.
func (c *Commands) entered(count int) {
	l := &c.line
	l.enter = c.now
	l.enters = min(l.enters+count, maxEnters)
	l.since = min(l.since+count, maxEnters)
}

// pasting is what line editors do when they begin and stop reading.
func (c *Commands) pasting(on bool) {
	if c.screen.Alternate() {
		return
	}
	l := &c.line
	switch {
	case on && !l.editor:
		l.editor, l.opened, l.rest = true, c.here(), start{}
		c.over()
	case !on && l.editor:
		c.accept()
		l.editor, l.edited = false, false
		l.began, l.rest, l.opened = start{}, start{}, start{}
		l.enters, l.queued = 0, 0
	}
}

// accept reads the line that an editor has taken.
func (c *Commands) accept() {
	l := &c.line
	if l.since == 0 {
		c.abort()
		return
	}
	l.since--
	at, first, x, sure, ok := c.locate(c.lastLine())
	if !ok {
		return
	}
	how := HowScreen
	if c.marks.stage == markedInput {
		how, sure = HowMarks, High
		c.marks.stage = markedTaken
	}
	c.take(at, first, x, c.lastLine(), how, sure)
}

// abort forgets a command of which a continuation line was given up.
func (c *Commands) abort() {
	at := c.line.began
	if c.held != nil && at.ok && c.continues(c.screen.grid.find(at.id), at.prompt) {
		c.held = nil
	}
	c.marks.stage = unmarked
}

// locate finds where the command begins that ends in row last.
func (c *Commands) locate(last int) (at start, row, x int, sure Confidence, ok bool) {
	l := &c.line
	if c.marks.stage == markedInput {
		at = c.marks.input
		row, x, _ = c.confirm(at, last)
		if row >= 0 && row <= last {
			return at, row, x, High, true
		}
	}
	if l.began.ok && l.edited && strings.TrimSpace(l.began.prompt) != "" {
		at = c.shorten(l.began)
		row, x, still := c.confirm(at, last)
		if still {
			return at, row, x, High, true
		}
		if row >= 0 && row <= last {
			return at, row, x, Low, true
		}
	}
	if at, row, x, ok = c.typedLine(last); ok {
		return at, row, x, High, true
	}
	if at, row, x, ok = c.remembered(last); ok {
		return at, row, x, Medium, true
	}
	for _, at := range []start{l.rest, l.opened} {
		if !at.ok || strings.TrimSpace(at.prompt) == "" || classify(at.prompt) == otherLike {
			continue
		}
		if row, x, still := c.confirm(at, last); still {
			return at, row, x, Medium, true
		}
	}
	return c.guessed(last)
}

// shorten moves a start to the left where a known prompt ends before it: what stands between was typed ahead.
func (c *Commands) shorten(at start) start {
	if c.known.has(at.prompt) || continuation.MatchString(at.prompt) {
		return at
	}
	for _, known := range slices.Backward(c.known) {
		if len(known) > 4 && strings.HasPrefix(at.prompt, known) {
			at.prompt, at.x = known, at.x-(len(at.prompt)-len(known))
			return at
		}
	}
	return at
}

// remembered looks for a known prompt, from row last on upwards.
func (c *Commands) remembered(last int) (at start, row, x int, ok bool) {
	g := c.screen.grid
	low := last - c.screen.rows
	if i := g.find(c.line.opened.id); c.line.opened.ok && i >= 0 {
		low = i
	}
	for i := last; i >= max(low, 0); i-- {
		if i > 0 && g.line(i-1).wrapped {
			continue
		}
		text := string(g.line(i).append(nil, 0, c.screen.cols))
		prompt, ok := c.known.cut(text)
		if !ok && continuation.MatchString(cut(text, 2)) && c.continues(i, cut(text, 2)) {
			prompt, ok = cut(text, 2), true
		}
		if !ok {
			continue
		}
		if row, x, ok = c.after(i, prompt); ok {
			return start{ok: true, id: g.line(row).id, x: x, prompt: prompt}, row, x, true
		}
	}
	return start{}, 0, 0, false
}

// guessed takes what looks most like the end of a prompt in the line where the editor began.
func (c *Commands) guessed(last int) (at start, row, x int, sure Confidence, ok bool) {
	i := last
	if at := c.screen.grid.find(c.line.opened.id); c.line.opened.ok && at >= 0 && at <= last {
		i = at
	}
	text := string(c.screen.grid.line(i).append(nil, 0, c.screen.cols))
	for j := 1; j < len(text); j++ {
		if text[j] != ' ' || !strings.ContainsRune("$#%>", rune(text[j-1])) {
			continue
		}
		if row, x, ok := c.after(i, text[:j+1]); ok {
			return start{ok: true, id: c.screen.grid.line(row).id, x: x, prompt: text[:j+1]}, row, x, Low, true
		}
	}
	return start{}, 0, 0, Low, false
}

// feed is a newline: where no editor reads, it is what the terminal makes of Enter.
func (c *Commands) feed() {
	if c.screen.Alternate() {
		c.paneFeed()
		return
	}
	l := &c.line
	if l.editor || l.enters == 0 || c.marks.stage == markedInput && c.marks.complete {
		return
	}
	last := c.cursorLine()
	first := c.screen.grid.start(last)
	row := c.screen.grid.find(l.began.id)
	switch {
	case l.began.ok && row >= first && row <= last:
		c.answered(c.shorten(l.began), last)
	case l.queued > 0:
		l.enters--
		l.queued--
		c.take(start{ok: true, prompt: "$ "}, first, 0, last, HowScreen, Low)
	}
}

// answered takes the line that Enter ended, where no editor reads.
func (c *Commands) answered(at start, last int) {
	l := &c.line
	l.enters--
	l.began = start{}
	row, x, still := c.confirm(at, last)
	if !still {
		return
	}
	sure, how := Medium, HowScreen
	if c.marks.stage == markedInput {
		at, sure, how = c.marks.input, High, HowMarks
		if r, n, _ := c.confirm(at, last); r >= 0 && r <= last {
			row, x = r, n
		}
		c.marks.stage = markedTaken
	} else if k := classify(at.prompt); k != shellLike && k != replLike && !c.continues(row, at.prompt) {
		return
	}
	if c.take(at, row, x, last, how, sure) {
		l.queued = l.enters
	}
}
