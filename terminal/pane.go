package terminal

import (
	"strings"
	"time"
)

// pane is a line that is typed on the alternate screen, to a shell that may run there inside of tmux or screen.
type pane struct {
	ok          bool
	id          uint64 // of the row where it begins
	left, x     int    // the pane's left border, and where the command begins
	right       int    // the column after the pane
	prompt      string
	rows        int // how many rows it takes
	entered     bool
	looks       int    // how often it was looked at since
	typed, text string // up to the cursor, and all, when Enter was pressed
	at          time.Duration
}

// maxPaneRows is how many rows a line in a pane may take; maxLooks at how many newlines after Enter it is looked at again.
const (
	maxPaneRows = 16
	maxLooks    = 4
)

// paneBegan notes where the user begins to type.
func (c *Commands) paneBegan() {
	c.paneDone()
	c.paneHere()
}

// paneRested notes where the cursor rests: the user may have switched to another pane, or given a line up.
func (c *Commands) paneRested() {
	p := &c.pane
	if p.entered || p.ok && c.paneHas() {
		return
	}
	c.paneHere()
}

// paneHas reports whether the cursor is in the line that is being typed. The full-screen program may have drawn that line
// anew in another row, where it is found by its prompt.
func (c *Commands) paneHas() bool {
	p, s := &c.pane, c.screen
	if s.x < p.left || s.x >= p.right {
		return false
	}
	for x := p.left; x < s.x; x++ {
		if s.row.at(x).r == '│' {
			return false // the pane was split
		}
	}
	for y := s.y; y >= 0 && y > s.y-maxPaneRows; y-- {
		if text := s.grid.rows[y].append(nil, p.left, p.x); string(text) == p.prompt {
			p.id, p.rows = s.grid.rows[y].id, s.y-y+1
			return true
		}
		if y > 0 && !p.full(s.grid.rows[y-1]) {
			return false
		}
	}
	return false
}

// full reports whether the text of a row may go on in the next one: a blank may stand at its end.
func (p *pane) full(r *row) bool { return !r.blank(p.right-1) || !r.blank(p.right-2) }

// paneHere makes the cursor's place the start of a line, if it is behind a shell's prompt and before nothing.
func (c *Commands) paneHere() {
	s := c.screen
	r, x := s.row, s.x
	left, right := x, x
	for left > 0 && r.at(left-1).r != '│' {
		left--
	}
	for right < s.cols && r.at(right).r != '│' {
		if !r.blank(right) {
			return
		}
		right++
	}
	prompt := string(r.append(nil, left, x))
	if !strings.HasSuffix(prompt, " ") || classify(prompt) != shellLike || len(prompt) > maxPrompt {
		return
	}
	c.pane = pane{ok: true, id: r.id, left: left, x: x, right: right, prompt: prompt}
}

// paneEntered reads the line as it is when Enter is pressed; its last characters may not be drawn yet.
func (c *Commands) paneEntered() {
	p := &c.pane
	if !p.ok || p.entered {
		return
	}
	if !c.paneHas() {
		p.ok = false
		return
	}
	i := c.screen.grid.find(p.id)
	p.text = c.paneRead(i)
	p.entered, p.at, p.typed = true, c.now, p.text
	if c.cursorLine() == i && c.screen.x >= p.x {
		p.typed = string(c.screen.row.append(nil, p.x, c.screen.x))
	}
}

// paneRead gives the line that begins in row i, which has at least as many rows as it had when it was looked at.
func (c *Commands) paneRead(i int) string {
	p, g := &c.pane, c.screen.grid
	var line []byte
	from := p.x
	for n := 1; n <= maxPaneRows && i < g.lines(); n, i = n+1, i+1 {
		r := g.line(i)
		line = r.append(line, from, p.right)
		if n >= p.rows && r.blank(p.right-1) {
			break
		}
		from = p.left
	}
	return strings.TrimRight(string(line), " ")
}

// paneFeed is a newline on the alternate screen. What is drawn may be late still, so that it is looked at again.
func (c *Commands) paneFeed() {
	if c.pane.ok && c.pane.entered && c.pane.looks < maxLooks {
		c.pane.looks++
		c.paneLook()
	}
}

// paneLook reads the line once more, with what was drawn since Enter.
func (c *Commands) paneLook() {
	p, s := &c.pane, c.screen
	for y := s.rows - 1; y >= 0; y-- {
		r := s.grid.rows[y]
		if p.typed == "" && r.id != p.id || string(r.append(nil, p.left, p.x)) != p.prompt {
			continue
		}
		if now := c.paneRead(y + len(s.grid.history)); strings.HasPrefix(now, strings.TrimRight(p.typed, " ")) && now != "" {
			p.text = now
			return
		}
	}
}

// paneDone takes the line, when something else is typed or the full-screen program ends.
func (c *Commands) paneDone() {
	if !c.pane.ok || !c.pane.entered || !c.screen.Alternate() {
		c.pane = pane{}
		return
	}
	c.paneLook()
	p := c.pane
	c.pane = pane{}
	text := p.text
	if strings.TrimSpace(text) == "" || strings.HasSuffix(text, "^C") {
		return
	}
	cmd := Command{At: p.at, Text: cut(text, maxCommand), How: HowScreen, Confidence: Low}
	if path := directoryOf(p.prompt); path != "" {
		cmd.Directory, cmd.DirectoryHow = path, HowPrompt
	}
	c.hold(cmd)
}

// switched is between main and alternate screen.
func (c *Commands) switched(alternate bool) {
	c.drawing()
	if !alternate {
		c.paneDone()
		c.line.enters, c.line.since, c.line.queued = 0, 0, 0
	}
	c.line.rest = start{}
	c.pane = pane{}
}
