package terminal

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Reset undoes what Filter lets through, so that a terminal is usable after a replay: alternate screen, margins,
// origin, insert and wrap modes, output that is held back (2026), tab stops (DECST8C), attributes, character sets, cursor.
// The cursor stays where it is, or goes back to where it was before the alternate screen: what moves it (1049, DECSTBM,
// DECOM) stands between DECSC and DECRC.
const Reset = "\x1b[?2026l\x1b[?5W\x1b7\x1b[?1049l\x1b7\x1b[r\x1b[?69l\x1b[?6l\x1b8\x1b[0m\x1b[?5l\x1b[4l\x1b[?7h\x0f\x1b(B\x1b)B\x1b[?25h"

// maxSequence is the longest control sequence that is let through.
const maxSequence = 64

// Filter makes output safe to be shown on somebody else's terminal. A target may have sent anything: sequences that
// write the clipboard (OSC 52), make the terminal answer as if the person had typed (DSR, DA, window and title
// reports, DECRQSS, ENQ), switch the mouse or keyboard into other modes, or print. Filter lets through text, colours
// (SGR), cursor movement, erasing and scrolling, and the harmless modes (ECMA-48, xterm's ctlseqs); everything else
// is dropped, and so is every OSC, DCS, APC, PM and SOS string. The output is valid UTF-8 without C1 controls.
// The zero value is ready.
type Filter struct {
	text  Text
	runes []byte
	state filterState
	seq   []byte // the control sequence so far, without ESC [
	long  bool   // and it is too long to be let through
}

type filterState uint8

const (
	ground   filterState = iota
	escape               // after ESC
	charset              // after ESC ( or )
	skipOne              // after ESC and an intermediate that is not let through
	csi                  // after ESC [
	str                  // inside OSC, DCS, APC, PM or SOS
	strBreak             // after ESC inside of one
)

// Append adds to dst what may be shown of the next piece of output.
func (f *Filter) Append(dst, data []byte) []byte {
	f.runes = f.text.Append(f.runes[:0], data)
	for _, r := range string(f.runes) {
		dst = f.rune(dst, r)
	}
	return dst
}

func (f *Filter) rune(dst []byte, r rune) []byte {
	switch {
	case r == 0x18 || r == 0x1a: // CAN and SUB end every sequence
		f.state = ground
		return dst
	case r == 0x1b && f.state == str:
		f.state = strBreak
		return dst
	case r == 0x1b:
		f.state = escape
		return dst
	}
	switch f.state {
	case escape:
		return f.escape(dst, r)
	case charset:
		f.state = ground
		if r == 'B' || r == '0' || r == 'A' {
			dst = append(append(dst, 0x1b), string(f.seq)...)
			dst = utf8.AppendRune(dst, r)
		}
		return dst
	case skipOne:
		if r < 0x20 || r > 0x2f {
			f.state = ground
		}
		return dst
	case csi:
		return f.control(dst, r)
	case str:
		if r == 0x07 || r == 0x9c { // BEL and ST
			f.state = ground
		}
		return dst
	case strBreak:
		// ESC \ is the proper end. Any other ESC sequence ends the string too, and begins there.
		if r == '\\' {
			f.state = ground
			return dst
		}
		return f.escape(dst, r)
	}
	return f.plain(dst, r)
}

// plain is a character outside of any sequence.
func (f *Filter) plain(dst []byte, r rune) []byte {
	switch {
	case r >= 0x20 && r < 0x7f || r > 0x9f:
		return utf8.AppendRune(dst, r)
	case r >= 0x07 && r <= 0x0f: // BEL BS HT LF VT FF CR SO SI
		return append(dst, byte(r))
	}
	return dst
}

// escape is the character after ESC.
func (f *Filter) escape(dst []byte, r rune) []byte {
	f.state = ground
	switch r {
	case '[':
		f.state, f.seq, f.long = csi, f.seq[:0], false
	case ']', 'P', 'X', '^', '_':
		f.state = str
	case '(', ')':
		f.state, f.seq = charset, append(f.seq[:0], byte(r))
	case '7', '8', 'D', 'E', 'H', 'M': // cursor kept and put back, line feeds, tab stop
		return append(dst, 0x1b, byte(r))
	default:
		if r >= 0x20 && r <= 0x2f {
			f.state = skipOne
		} else if r < 0x20 {
			return f.plain(dst, r)
		}
	}
	return dst
}

// control is a character of a control sequence.
func (f *Filter) control(dst []byte, r rune) []byte {
	switch {
	case r < 0x20: // executed in the middle of a sequence
		return f.plain(dst, r)
	case r >= 0x40 && r <= 0x7e:
		f.state = ground
		if !f.long && harmless(string(f.seq), byte(r)) {
			dst = append(dst, 0x1b, '[')
			dst = append(dst, f.seq...)
			dst = append(dst, byte(r))
		}
	case r > 0x7e || len(f.seq) >= maxSequence:
		f.long = true
	default:
		f.seq = append(f.seq, byte(r))
	}
	return dst
}

// modes that may be switched: by private number, and by ANSI number.
var (
	privateModes = []int{5, 6, 7, 12, 25, 47, 69, 1047, 1048, 1049, 2026}
	ansiModes    = []int{4}
)

// harmless reports whether CSI parameters final neither makes the terminal answer nor changes what keys send.
func harmless(parameters string, final byte) bool {
	if strings.IndexByte("hl", final) >= 0 {
		numbers, private := strings.CutPrefix(parameters, "?")
		modes := ansiModes
		if private {
			modes = privateModes
		}
		for n := range strings.SplitSeq(numbers, ";") {
			mode, err := strconv.Atoi(n)
			if err != nil || !slices.Contains(modes, mode) {
				return false
			}
		}
		return true
	}
	if parameters == "?5" && final == 'W' { // DECST8C
		return true
	}
	if strings.Trim(parameters, "0123456789;:") != "" {
		return false
	}
	if final == 'T' && strings.Contains(parameters, ";") {
		return false // not scrolling but mouse tracking
	}
	if final == 'J' && strings.Trim(parameters, "012") != "" {
		return false // 3 erases what the terminal keeps beyond its top: the viewer's own
	}
	return strings.IndexByte("ABCDEFGHJKLMPSTXZ@`adefgmrsu", final) >= 0
}
