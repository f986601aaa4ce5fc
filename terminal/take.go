package terminal

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// opener are commands after which another shell may read.
var opener = regexp.MustCompile(`(^|[;&|(\s/])(ba|da|z|fi|k|a|c|tc)?sh(\s|$)|(^|[;&|(\s/])(su|sudo|doas|ssh|mosh|tmux|screen|docker|podman|kubectl|oc|chroot|nsenter|login|newgrp|machinectl|lxc|script|exit|logout)(\s|$)|^\x04`)

// take reads a command from its start to row last, and reports whether there was one.
func (c *Commands) take(at start, first, x, last int, how How, sure Confidence) bool {
	text := c.read(at, first, x, last, c.line.editor)
	goesOn := c.continues(first, at.prompt)
	c.end = c.screen.grid.line(last).id
	if strings.HasSuffix(text, "^C") {
		if goesOn {
			c.held = nil
		}
		if !c.line.editor || goesOn {
			return false
		}
		sure = Low // an editor took it at Enter: these two characters may have been typed
	}
	if goesOn {
		c.extend(text, sure)
		return true
	}
	if how != HowMarks {
		switch classify(at.prompt) {
		case noPrompt, askingLike:
			if sure != Low {
				return false
			}
		case replLike:
			sure = Low
		case otherLike:
			sure = lower(sure, Medium)
		}
	}
	if classify(at.prompt) != replLike {
		c.known.learn(at.prompt)
	}
	if c.marks.exact != "" {
		text, sure = told(c.marks.exact, text, sure)
		c.marks.exact = ""
	}
	if strings.TrimSpace(text) == "" {
		c.flush()
		return false
	}
	kept := cut(text, maxCommand)
	cmd := Command{At: c.line.enter, Text: kept, Cut: len(kept) < len(text), How: how, Confidence: sure}
	cmd.Directory, cmd.DirectoryHow = c.directory(at.prompt)
	c.hold(cmd)
	if opener.MatchString(text) {
		c.lost = true
	}
	return true
}

// told is the line as the shell tells it (OSC 633 E), which is better in its spaces, where the screen shows the same
// line. Where it does not, anything may have told it: the screen's line stays, and is not sure.
func told(exact, text string, sure Confidence) (string, Confidence) {
	between := unicode.IsSpace
	if strings.Contains(text, "\n") { // bash's history has "; " for a newline
		between = func(r rune) bool { return r == ';' || unicode.IsSpace(r) }
	}
	if slices.Equal(strings.FieldsFunc(exact, between), strings.FieldsFunc(text, between)) {
		return exact, sure
	}
	return text, Low
}

// lower gives the lower of two confidences.
func lower(a, b Confidence) Confidence {
	if a == Low || b == Low {
		return Low
	}
	if a == Medium || b == Medium {
		return Medium
	}
	return High
}

// continues reports whether prompt, in row i, asks for the rest of the command that was read last: it stands right
// below that, and is no prompt after which commands began.
func (c *Commands) continues(i int, prompt string) bool {
	if c.held == nil || !continuation.MatchString(prompt) || c.known.has(prompt) {
		return false
	}
	at := c.screen.grid.find(c.end)
	return at >= 0 && i == at+1
}

// extend adds a continuation line to the command that is held.
func (c *Commands) extend(text string, sure Confidence) {
	h := c.held
	h.Until = 0
	h.Confidence = lower(h.Confidence, sure)
	if h.Cut || len(h.Text)+1+len(text) > maxCommand {
		h.Cut = true
		return
	}
	h.Text += "\n" + text
}

// directory gives where the shell is, as it told or as its prompt names it.
func (c *Commands) directory(prompt string) (string, How) {
	if path := c.screen.directory; path != "" && !c.lost {
		return path, HowMarks
	}
	if path := directoryOf(prompt); path != "" {
		return path, HowPrompt
	}
	return "", ""
}

// moved is a directory that was told.
func (c *Commands) moved() { c.lost = false }
