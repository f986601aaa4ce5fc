package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sekisho/sekisho/terminal"
)

// leastCols and leastRows are what a terminal must have to show anything.
const leastCols, leastRows = 20, 3

// canvas is a terminal on which an emulated screen is painted, and a line at the bottom. Nothing comes out of it but text,
// SGR, cursor movement and erasing to the end of a row, whatever the program said that drew the screen. What does not fit is
// cut around the cursor; no row is longer than the terminal's.
type canvas struct {
	cols, rows int      // of the terminal
	painted    [][]byte // the rows as they are on the terminal, to paint only those that change; nil: none is
	buf        []byte
}

// size takes the size of the terminal; whatever was on it is painted anew when that changes.
func (c *canvas) size(cols, rows int) {
	if cols != c.cols || rows != c.rows {
		c.cols, c.rows, c.painted = cols, rows, nil
	}
}

// begin begins a painting. Where the terminal is too small for any, it says so there and reports false.
func (c *canvas) begin() bool {
	c.buf = append(c.buf[:0], "\x1b[?25l"...)
	if c.painted == nil {
		c.buf = append(c.buf, "\x1b[0m\x1b[2J"...)
		c.painted = make([][]byte, max(c.rows, 0))
	}
	if c.cols < leastCols || c.rows < leastRows {
		const says = "too small"
		c.row(0, []byte(says[:min(len(says), max(c.cols, 0))]))
		return false
	}
	return true
}

// row paints one row, unless it is there already. What stood there is erased before, for after a row that is full the cursor
// stands on its last character.
func (c *canvas) row(y int, text []byte) {
	if y >= len(c.painted) || c.painted[y] != nil && bytes.Equal(c.painted[y], text) {
		return
	}
	c.painted[y] = append([]byte{}, text...) // never nil, which means: not painted
	c.buf = fmt.Appendf(c.buf, "\x1b[%d;1H\x1b[0m\x1b[K", y+1)
	c.buf = append(c.buf, text...)
	c.buf = append(c.buf, "\x1b[0m"...)
}

// picture paints a screen and the line under it.
func (c *canvas) picture(s *terminal.Screen, status string) {
	cols, rows := s.Size()
	x, y := s.Cursor()
	left, top := within(x, cols, c.cols), within(y, rows, c.rows-1)
	var text []byte
	for i := range c.rows - 1 {
		text = text[:0]
		if i < rows {
			text = s.AppendRow(text, top+i, left, min(cols, left+c.cols))
		}
		c.row(i, text)
	}
	c.bar(status)
	if !s.CursorHidden() {
		c.buf = fmt.Appendf(c.buf, "\x1b[%d;%dH\x1b[?25h", y-top+1, x-left+1)
	}
}

// within is the first of n places of which only some can be seen, so that one of them, the cursor's, is.
func within(cursor, n, seen int) int {
	return max(0, min(cursor-seen+1, n-seen))
}

// lines paints some lines of text instead of a screen; they must be of ASCII.
func (c *canvas) lines(lines []string, status string) {
	for i := range c.rows - 1 {
		text := ""
		if i < len(lines) {
			text = lines[i][:min(len(lines[i]), c.cols-1)]
		}
		c.row(i, []byte(text))
	}
	c.bar(status)
}

// cutNote says of a screen that does not fit how large it is.
func (c *canvas) cutNote(s *terminal.Screen) (note string, cut bool) {
	cols, rows := s.Size()
	return fmt.Sprintf("[cut: %dx%d]", cols, rows), cols > c.cols || rows > c.rows-1
}

// bar paints the last row in reverse. It is cut so that no terminal has to wrap it, however wide it takes characters to be.
func (c *canvas) bar(text string) {
	var b strings.Builder
	left := c.cols - 1
	for _, r := range plain(text) {
		w := 1
		if r > 0x7e {
			w = 2
		}
		if left -= w; left < 0 {
			break
		}
		b.WriteRune(r)
	}
	if left > 0 {
		b.WriteString(strings.Repeat(" ", left))
	}
	c.row(c.rows-1, []byte("\x1b[7m"+b.String()))
}
