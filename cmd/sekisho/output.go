package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-isatty"

	"github.com/sekisho/sekisho/replay"
)

// terminalAt is the terminal that a stream of the command stands on; ok is false where it is none.
func terminalAt(stream any) (f *os.File, ok bool) {
	f, ok = stream.(*os.File)
	return f, ok && isatty.IsTerminal(f.Fd())
}

// json prints v as indented JSON: what --json means on every command.
func (a *app) json(v any) error {
	enc := json.NewEncoder(escaping{a.out})
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// escaping writes JSON so that no terminal obeys it (replay.AppendEscaped). A character must not be cut between two writes.
type escaping struct{ to io.Writer }

func (e escaping) Write(p []byte) (int, error) {
	if _, err := e.to.Write(replay.AppendEscaped(nil, p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// table prints rows under a header, columns as wide as they need. Cells come from servers: what could steer a
// terminal is taken out of them.
func (a *app) table(header []string, rows [][]string) error {
	width := make([]int, len(header))
	for _, row := range append([][]string{header}, rows...) {
		for i := range row {
			row[i] = plain(row[i])
			width[i] = max(width[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	for n, row := range append([][]string{header}, rows...) {
		line := ""
		for i, cell := range row {
			line += cell + strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)+2)
		}
		line = strings.TrimRight(line, " ")
		if n == 0 {
			line = a.bold(line)
		}
		b.WriteString(line + "\n")
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

func (a *app) bold(s string) string {
	if !a.colour {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// plain replaces everything that a terminal would obey instead of showing.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// plainLines is plain for what may have several lines.
func plainLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = plain(line)
	}
	return strings.Join(lines, "\n")
}

// until says how long something still lasts, in words.
func until(now, end time.Time) string {
	left := end.Sub(now).Round(time.Minute)
	switch {
	case left <= 0:
		return "ended"
	case left < time.Hour:
		return fmt.Sprintf("%d min", int(left.Minutes()))
	case left < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(left.Hours()), int(left.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(left.Hours()/24))
}

// count words a number of things whose plural ends in s.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
