package recording

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ScreenReset undoes what Screen lets through, so that a terminal is usable after a replay: alternate screen, margins,
// origin, insert and wrap modes, attributes, character sets, cursor. The cursor stays where it is, or goes back to where it
// was before the alternate screen: what moves it (1049, DECSTBM, DECOM) stands between DECSC and DECRC.
const ScreenReset = "\x1b7\x1b[?1049l\x1b7\x1b[r\x1b[?69l\x1b[?6l\x1b8\x1b[0m\x1b[?5l\x1b[4l\x1b[?7h\x0f\x1b(B\x1b)B\x1b[?25h"

// maxSequence is the longest control sequence that is let through.
const maxSequence = 64

// Screen makes output safe to be shown on somebody else's terminal. A target may have sent anything: sequences that
// write the clipboard (OSC 52), make the terminal answer as if the person had typed (DSR, DA, window and title
// reports, DECRQSS, ENQ), switch the mouse or keyboard into other modes, or print. Screen lets through text, colours
// (SGR), cursor movement, erasing and scrolling, and the harmless modes (ECMA-48, xterm's ctlseqs); everything else
// is dropped, and so is every OSC, DCS, APC, PM and SOS string. The output is valid UTF-8 without C1 controls.
// The zero value is ready.
type Screen struct {
	text  text
	runes []byte
	state screenState
	seq   []byte // the control sequence so far, without ESC [
	long  bool   // and it is too long to be let through
}

type screenState uint8

const (
	ground   screenState = iota
	escape               // after ESC
	charset              // after ESC ( or )
	skipOne              // after ESC and an intermediate that is not let through
	csi                  // after ESC [
	str                  // inside OSC, DCS, APC, PM or SOS
	strBreak             // after ESC inside of one
)

// Append adds to dst what may be shown of the next piece of output.
func (s *Screen) Append(dst, data []byte) []byte {
	s.runes = s.text.append(s.runes[:0], data)
	for _, r := range string(s.runes) {
		dst = s.rune(dst, r)
	}
	return dst
}

func (s *Screen) rune(dst []byte, r rune) []byte {
	switch {
	case r == 0x18 || r == 0x1a: // CAN and SUB end every sequence
		s.state = ground
		return dst
	case r == 0x1b && s.state == str:
		s.state = strBreak
		return dst
	case r == 0x1b:
		s.state = escape
		return dst
	}
	switch s.state {
	case escape:
		return s.escape(dst, r)
	case charset:
		s.state = ground
		if r == 'B' || r == '0' || r == 'A' {
			dst = append(append(dst, 0x1b), string(s.seq)...)
			dst = utf8.AppendRune(dst, r)
		}
		return dst
	case skipOne:
		if r < 0x20 || r > 0x2f {
			s.state = ground
		}
		return dst
	case csi:
		return s.control(dst, r)
	case str:
		if r == 0x07 || r == 0x9c { // BEL and ST
			s.state = ground
		}
		return dst
	case strBreak:
		// ESC \ is the proper end. Any other ESC sequence ends the string too, and begins there.
		if r == '\\' {
			s.state = ground
			return dst
		}
		return s.escape(dst, r)
	}
	return s.plain(dst, r)
}

// plain is a character outside of any sequence.
func (s *Screen) plain(dst []byte, r rune) []byte {
	switch {
	case r >= 0x20 && r < 0x7f || r > 0x9f:
		return utf8.AppendRune(dst, r)
	case r >= 0x07 && r <= 0x0f: // BEL BS HT LF VT FF CR SO SI
		return append(dst, byte(r))
	}
	return dst
}

// escape is the character after ESC.
func (s *Screen) escape(dst []byte, r rune) []byte {
	s.state = ground
	switch r {
	case '[':
		s.state, s.seq, s.long = csi, s.seq[:0], false
	case ']', 'P', 'X', '^', '_':
		s.state = str
	case '(', ')':
		s.state, s.seq = charset, append(s.seq[:0], byte(r))
	case '7', '8', 'D', 'E', 'H', 'M': // cursor kept and put back, line feeds, tab stop
		return append(dst, 0x1b, byte(r))
	default:
		if r >= 0x20 && r <= 0x2f {
			s.state = skipOne
		} else if r < 0x20 {
			return s.plain(dst, r)
		}
	}
	return dst
}

// control is a character of a control sequence.
func (s *Screen) control(dst []byte, r rune) []byte {
	switch {
	case r < 0x20: // executed in the middle of a sequence
		return s.plain(dst, r)
	case r >= 0x40 && r <= 0x7e:
		s.state = ground
		if !s.long && harmless(string(s.seq), byte(r)) {
			dst = append(dst, 0x1b, '[')
			dst = append(dst, s.seq...)
			dst = append(dst, byte(r))
		}
	case r > 0x7e || len(s.seq) >= maxSequence:
		s.long = true
	default:
		s.seq = append(s.seq, byte(r))
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
	if strings.Trim(parameters, "0123456789;:") != "" {
		return false
	}
	if final == 'T' && strings.Contains(parameters, ";") {
		return false // not scrolling but mouse tracking
	}
	return strings.IndexByte("ABCDEFGHJKLMPSTXZ@`adefgmrsu", final) >= 0
}
