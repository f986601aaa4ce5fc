package main

import (
	"io"
	"os"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/sekisho/sekisho/terminal"
)

// playground is the person's terminal while a player has it: keys come as they are pressed, and what is painted is on the
// alternate screen.
type playground struct {
	in, out *os.File
	was     *term.State
	keys    chan string
}

// playground takes the terminal, if both ends of the command are on one; ok is false if not.
func (a *app) playground() (p *playground, ok bool) {
	in, isIn := terminalAt(a.in)
	out, isOut := terminalAt(a.out)
	if !isIn || !isOut {
		return nil, false
	}
	return &playground{in: in, out: out, keys: make(chan string, 64)}, true
}

// have lets show have the terminal, and gives it back as it was.
func (p *playground) have(show func(screening) error) error {
	if err := p.enter(); err != nil {
		return err
	}
	defer p.leave()
	return show(screening{p.keys, p.write, p.size})
}

// enter takes the terminal; leave gives it back as it was.
func (p *playground) enter() (err error) {
	if p.was, err = term.MakeRaw(int(p.in.Fd())); err != nil {
		return err
	}
	// The alternate screen, and no wrapping: a character that is wider than was thought cannot scroll the picture.
	_, err = io.WriteString(p.out, "\x1b[?1049h\x1b[?7l")
	go p.listen()
	return err
}

func (p *playground) leave() {
	io.WriteString(p.out, terminal.Reset) // there is nobody to tell that it cannot be written
	term.Restore(int(p.in.Fd()), p.was)
}

func (p *playground) size() (cols, rows int) {
	cols, rows, err := term.GetSize(int(p.out.Fd()))
	if err != nil {
		return 80, 24
	}
	return cols, rows
}

func (p *playground) write(b []byte) error {
	_, err := p.out.Write(b)
	return err
}

// listen reads keys until the terminal is gone.
func (p *playground) listen() {
	defer close(p.keys)
	buf := make([]byte, 256)
	for {
		n, err := p.in.Read(buf)
		for _, key := range pressed(buf[:n]) {
			p.keys <- key
		}
		if err != nil {
			return
		}
	}
}

// keySequences are the keys that send more than a character, as xterm sends them (ctlseqs, "PC-Style Function Keys").
var keySequences = map[string]string{
	"\x1b[C": "right", "\x1b[D": "left", "\x1bOC": "right", "\x1bOD": "left", "\x1b[5~": "pgup", "\x1b[6~": "pgdn",
	"\x1b[H": "home", "\x1b[F": "end", "\x1bOH": "home", "\x1bOF": "end", "\x1b[1~": "home", "\x1b[4~": "end",
}

// pressed gives the names of the keys in what was read at once; those that the player does not know are left out.
func pressed(b []byte) (keys []string) {
	for len(b) > 0 {
		name, size := pressedFirst(b)
		if name != "" {
			keys = append(keys, name)
		}
		b = b[size:]
	}
	return keys
}

func pressedFirst(b []byte) (name string, size int) {
	switch c := b[0]; {
	case c == 3:
		return "ctrl-c", 1
	case c == '\r' || c == '\n':
		return "enter", 1
	case c == 0x7f || c == '\b':
		return "backspace", 1
	case c == 0x1b:
		size := sequenceSize(b)
		if size == 1 {
			return "escape", 1
		}
		return keySequences[string(b[:size])], size
	case c < 0x20:
		return "", 1
	}
	r, size := utf8.DecodeRune(b)
	if r == utf8.RuneError {
		return "", size
	}
	return string(r), size
}

// sequenceSize is how many bytes the sequence at the front of b has: ESC [ parameters final, or ESC and a character.
func sequenceSize(b []byte) int {
	if len(b) < 2 {
		return 1
	}
	if b[1] == 'O' {
		return min(3, len(b))
	}
	if b[1] != '[' {
		return 2
	}
	for i := 2; i < len(b); i++ {
		if b[i] >= 0x40 && b[i] <= 0x7e {
			return i + 1
		}
	}
	return len(b)
}
