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
	rest   start // where the cursor rested first after that, or after the last newline where no editor reads
	began  start // where it was when the user began to type
	edited bool  // an editor was reading then

	enter   time.Duration // when Enter was pressed last
	enters  int           // Enters that no newline has answered yet
	since   int           // Enters since an editor took a line last
	batch   int           // further Enters that came in the same packet as the last
	queued  int           // those of them whose lines were not looked at yet
	fed     bool          // there was a newline since Enter was pressed
	stopped uint64        // the last row of the line that an editor reads, when it stops
	echoed  []string      // lines that were typed ahead, as the terminal echoed them
}

// rested notes where the cursor is when the output has paused.
func (c *Commands) rested(at time.Duration) {
	l := &c.line
	if at-c.output < restTime {
		return
	}
	if c.screen.Alternate() {
		c.paneRested()
	} else if !l.rest.ok || strings.TrimSpace(l.rest.prompt) == "" || !c.stands(l.rest) {
		l.rest = c.here()
	}
}

// stands reports whether the prompt of a start is still where it was.
func (c *Commands) stands(at start) bool {
	i := c.screen.grid.find(at.id)
	return i >= 0 && c.before(i, at.x) == at.prompt
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
	return l.enters > 0 && !l.fed && c.now-l.enter < aheadTime
}

// entered notes that Enter was pressed.
func (c *Commands) entered(count int) {
	l := &c.line
	l.enter, l.fed, l.batch = c.now, false, count-1
	l.enters = min(l.enters+count, maxEnters)
	l.since = min(l.since+count, maxEnters)
}

// pasting is what line editors do when they begin and stop reading.
func (c *Commands) pasting(on bool) {
	if c.screen.Alternate() {
		return
	}
	c.drawing()
	l := &c.line
	switch {
	case on && !l.editor:
		l.editor, l.opened, l.rest = true, c.here(), start{}
		c.over()
	case !on && l.editor:
		c.screen.armed, l.stopped = true, c.joined()
		if c.screen.x == 0 && c.screen.row.end() == 0 {
			c.drawing()
		}
	}
}

// drawing takes the line of an editor that has stopped to read, once the cursor is where the command's output begins:
// below the line. zsh goes there after it has said that it stopped.
func (c *Commands) drawing() {
	if !c.screen.armed {
		return
	}
	c.screen.armed = false
	c.accept()
	l := &c.line
	l.stopped = 0
	l.editor, l.edited = false, false
	l.began, l.rest, l.opened = start{}, start{}, start{}
	l.enters, l.queued = 0, 0
}

// accept reads the line that an editor has taken.
func (c *Commands) accept() {
	l := &c.line
	if l.since == 0 {
		c.abort()
		return
	}
	l.since--
	last := c.lastLine()
	at, first, x, sure, ok := c.locate(last)
	if !ok {
		return
	}
	how := HowScreen
	if c.marks.stage == markedInput {
		how, sure = HowMarks, High
		c.marks.stage = markedTaken
	} else if l.since == 0 && c.screen.grid.start(last) > first {
		sure = lower(sure, Medium) // from the history, or torn by what came between
	}
	c.take(at, first, x, last, how, sure)
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
	if row, torn := c.torn(last); torn {
		return l.began, row, l.began.x, Low, true
	}
	if at, row, x, sure, ok = c.prompted(last); ok {
		return at, row, x, sure, true
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

// prompted finds the start by what was typed, or by a known prompt that stands before it: what is between was not typed, but
// an editor can put there what it likes for a key.
func (c *Commands) prompted(last int) (at start, row, x int, sure Confidence, ok bool) {
	typed, typedRow, typedX, ok := c.typed(last)
	at, row, x, remembered := c.remembered(last)
	switch {
	case ok && (!remembered || row > typedRow || row == typedRow && x >= typedX):
		return typed, typedRow, typedX, High, true
	case remembered:
		return at, row, x, Medium, true
	}
	return start{}, 0, 0, Low, false
}

// torn reports that something was written behind the prompt before the user began to type, below it.
func (c *Commands) torn(last int) (row int, torn bool) {
	l, g := &c.line, c.screen.grid
	if !l.began.ok || !l.edited || !l.rest.ok || classify(l.rest.prompt) != shellLike {
		return 0, false
	}
	row = g.find(l.began.id)
	return row, row >= 0 && row <= last && g.find(l.rest.id) >= 0 && row > g.find(l.rest.id)
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
	if l.editor || c.screen.row.wrapped && c.screen.y+1 < c.screen.rows {
		return // within the line
	}
	if l.enters > 0 && (c.marks.stage != markedInput || !c.marks.complete) {
		l.fed = true
		c.ended()
	} else if l.enters == 0 {
		c.interrupted()
		c.echoedAgain()
	}
	l.rest = start{}
}

// interrupted forgets the command that is held where Ctrl-C was pressed at the prompt for the rest of it.
func (c *Commands) interrupted() {
	r := c.screen.row
	n := r.end()
	if c.held == nil || n < 4 || r.at(n-1).r != 'C' || r.at(n-2).r != '^' {
		return
	}
	if c.continues(c.cursorLine(), string(r.append(nil, 0, 2))) {
		c.held = nil
	}
}

// echoedAgain takes a line that was typed ahead and that the shell shows behind its prompt now that it reads it, where it
// does not say that an editor reads.
func (c *Commands) echoedAgain() {
	l := &c.line
	if len(l.echoed) == 0 {
		return
	}
	last := c.cursorLine()
	first := c.screen.grid.start(last)
	for _, known := range slices.Backward(c.known) {
		row, x, ok := c.after(first, known)
		if !ok || row > last {
			continue
		}
		at := start{ok: true, id: c.screen.grid.line(row).id, x: x, prompt: known}
		if c.read(at, row, x, last, false) == l.echoed[0] {
			l.echoed = l.echoed[1:]
			c.take(at, row, x, last, HowScreen, Medium)
			return
		}
	}
}

// ended looks at the line that a newline ends while Enters wait for one.
func (c *Commands) ended() {
	l := &c.line
	last := c.cursorLine()
	first := c.screen.grid.start(last)
	behind := l.rest.ok && strings.TrimSpace(l.began.prompt) == "" && classify(l.rest.prompt) == shellLike
	if l.began.ok && !behind {
		if at, row, x, ok := c.within(c.shorten(l.began), first, last); ok {
			c.answered(at, row, x, last)
			return
		}
	}
	switch {
	case c.reads(first, last):
	case l.queued > 0:
		l.enters--
		l.queued--
		c.take(start{ok: true, prompt: "$ "}, first, 0, last, HowScreen, Low)
	case l.rest.ok && classify(l.rest.prompt) == shellLike:
		if at, row, x, ok := c.within(l.rest, first, last); ok {
			c.answered(at, row, x, last)
		}
	}
}

// reads takes a line behind a prompt that is known, long enough not to be met elsewhere.
func (c *Commands) reads(first, last int) bool {
	for _, known := range slices.Backward(c.known) {
		if row, x, ok := c.after(first, known); ok && row <= last && len(known) > 4 {
			c.answered(start{ok: true, id: c.screen.grid.line(row).id, x: x, prompt: known}, row, x, last)
			return true
		}
	}
	return false
}

// within finds a start in the line of rows first to last: it was there, or the line was drawn anew there.
func (c *Commands) within(at start, first, last int) (found start, row, x int, ok bool) {
	if strings.TrimSpace(at.prompt) != "" {
		row, x, ok = c.after(first, at.prompt)
		return at, row, x, ok && row <= last
	}
	row = c.screen.grid.find(at.id)
	return at, row, at.x, row >= first && row <= last
}

// answered takes the line that Enter ended, where no editor reads.
func (c *Commands) answered(at start, row, x, last int) {
	l := &c.line
	l.enters--
	l.began = start{}
	sure, how := Medium, HowScreen
	if c.marks.stage == markedInput {
		at, sure, how = c.marks.input, High, HowMarks
		if r, n, _ := c.confirm(at, last); r >= 0 && r <= last {
			row, x = r, n
		}
		c.marks.stage = markedTaken
	} else if k := classify(at.prompt); k != shellLike && k != replLike && !c.continues(row, at.prompt) {
		if text := c.read(at, row, x, last, false); k == noPrompt && text != "" && len(l.echoed) < maxLines {
			l.echoed = append(l.echoed, text)
		}
		return
	}
	l.echoed = nil
	if c.take(at, row, x, last, how, sure) && (at.prompt == "$ " || at.prompt == "# ") {
		l.queued, l.batch = min(l.batch, l.enters), 0 // a shell without an editor: the terminal has echoed them already
	}
}
