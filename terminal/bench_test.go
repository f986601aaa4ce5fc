package terminal_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/sekisho/sekisho/terminal"
)

func BenchmarkScreen(b *testing.B) {
	for name, data := range map[string][]byte{"plain": plainText(), "vim": vimLike(), "colours": colours()} {
		b.Run(name, func(b *testing.B) {
			s := terminal.NewScreen(80, 24)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				s.Write(data)
			}
		})
	}
}

func BenchmarkCommands(b *testing.B) {
	for name, data := range map[string][]byte{"plain": plainText(), "vim": vimLike()} {
		b.Run(name, func(b *testing.B) {
			c := terminal.NewCommands(80, 24, func(terminal.Command) {})
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				c.Output(0, data)
			}
		})
	}
}

func BenchmarkFilter(b *testing.B) {
	for name, data := range map[string][]byte{"plain": plainText(), "vim": vimLike()} {
		b.Run(name, func(b *testing.B) {
			var f terminal.Filter
			var out []byte
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				out = f.Append(out[:0], data)
			}
		})
	}
}

// plainText is like the output of find.
func plainText() []byte {
	var b bytes.Buffer
	for i := range 10000 {
		fmt.Fprintf(&b, "/usr/share/doc/package-%d/examples/file-%d.conf.example\r\n", i%77, i)
	}
	return b.Bytes()
}

// vimLike is like an editor that moves about a file with syntax colours.
func vimLike() []byte {
	var b bytes.Buffer
	b.WriteString("\x1b[?1049h\x1b[1;23r")
	for i := range 5000 {
		fmt.Fprintf(&b, "\x1b[?25l\x1b[23;1H\n\x1b[23;1H\x1b[33m%4d \x1b[m\x1b[35mfunc\x1b[m name%d(\x1b[32m\"text\"\x1b[m) {\x1b[K", i, i)
		fmt.Fprintf(&b, "\x1b[24;63H%d,1\x1b[9C%d%%\x1b[%d;%dH\x1b[?25h", i, i%100, i%22+1, i%70+1)
	}
	return b.Bytes()
}

func colours() []byte {
	var b bytes.Buffer
	for i := range 10000 {
		fmt.Fprintf(&b, "\x1b[0m\x1b[01;34mfolder%d\x1b[0m  \x1b[38;5;%dmfile%d\x1b[0m\r\n", i, i%256, i)
	}
	return b.Bytes()
}
