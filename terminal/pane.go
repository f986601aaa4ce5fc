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
	entered     bool
	typed, text string // up to the cursor, and all, when Enter was pressed
	at          time.Duration
}

// maxPaneRows is how many rows a line in a pane may take.
const maxPaneRows = 16

// paneBegan notes where the user begins to type, where that is behind a shell's prompt and before nothing.
func (c *Commands) paneBegan() {
	c.paneDone()
	s := c.screen
	r, x := s.row, s.x
	left, right := x, x
	for left > 0 && r.at(left-1).r != '│' {
		left--
	}
	for right < s.cols && r.at(right).r != '│' {
		if cell := r.at(right); cell.r != 0 && cell.r != ' ' {
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
	i := c.screen.grid.find(p.id)
	if i < 0 {
		p.ok = false
		return
	}
	text, ok := c.paneRead(i)
	p.entered, p.text, p.at = true, text, c.now
	p.ok = ok
	p.typed = text
	if c.cursorLine() == i && c.screen.x >= p.x {
		p.typed = string(c.screen.row.append(nil, p.x, c.screen.x))
	}
}

// paneRead gives the line that begins in row i, if its prompt is still there.
func (c *Commands) paneRead(i int) (text string, ok bool) {
	p, g := &c.pane, c.screen.grid
	r := g.line(i)
	if string(r.append(nil, p.left, p.x)) != p.prompt {
		return "", false
	}
	var line []byte
	from := p.x
	for n := 0; n < maxPaneRows && i < g.lines(); n, i = n+1, i+1 {
		r = g.line(i)
		line = r.append(line, from, p.right)
		if end := r.at(p.right - 1); end.r == 0 || end.r == ' ' {
			break
		}
		from = p.left
	}
	return strings.TrimRight(string(line), " "), true
}

// paneFeed is a newline on the alternate screen.
func (c *Commands) paneFeed() {
	p := &c.pane
	if !p.ok || !p.entered {
		return
	}
	if i := c.screen.grid.find(p.id); i >= 0 && c.cursorLine() >= i && c.cursorLine() < i+maxPaneRows {
		c.paneDone()
	}
}

// paneDone reads the line once more, with what was drawn since, and takes it.
func (c *Commands) paneDone() {
	p := c.pane
	defer func() { c.pane = pane{} }()
	if !p.ok || !p.entered || !c.screen.Alternate() {
		return
	}
	text := p.text
	if i := c.screen.grid.find(p.id); i >= 0 {
		if now, ok := c.paneRead(i); ok && strings.HasPrefix(now, strings.TrimRight(p.typed, " ")) {
			text = now
		}
	}
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
	if !alternate {
		c.paneDone()
		c.line.enters, c.line.since, c.line.queued = 0, 0, 0
	}
	c.pane = pane{}
}
