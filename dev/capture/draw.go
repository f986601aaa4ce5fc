package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"strings"
)

const (
	columns    = 104
	charTenths = 78 // of a pixel, in a monospaced font of 13 px
	lineHeight = 18
	margin     = 20
)

// text is the session as plain text.
func text(steps []step) string {
	var b strings.Builder
	for i, s := range steps {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s$ %s\n", s.person, s.shown)
		if s.out != "" {
			b.WriteString(s.out + "\n")
		}
	}
	return b.String()
}

// row is one line of the screen; of a command's first one, prompt is the person.
type row struct {
	prompt, text string
	command      bool
}

func rows(steps []step) []row {
	var all []row
	for i, s := range steps {
		if i > 0 {
			all = append(all, row{})
		}
		for n, part := range fold(s.person+"$ "+s.shown, columns) {
			r := row{text: part, command: true}
			if n == 0 {
				r.prompt, r.text = s.person+"$", strings.TrimPrefix(part, s.person+"$")
			}
			all = append(all, r)
		}
		if s.out == "" {
			continue
		}
		for l := range strings.SplitSeq(s.out, "\n") {
			for _, part := range fold(l, columns) {
				all = append(all, row{text: part})
			}
		}
	}
	return all
}

// fold breaks a line as a terminal of that width would.
func fold(s string, width int) []string {
	r := []rune(s)
	var parts []string
	for len(r) > width {
		parts = append(parts, string(r[:width]))
		r = r[width:]
	}
	return append(parts, string(r))
}

// draw makes the picture: a dark terminal, which can be read on light and dark pages alike.
func draw(steps []step) []byte {
	all := rows(steps)
	width, height := columns*charTenths/10+2*margin, len(all)*lineHeight+2*margin+14
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title desc">
<title id="title">A terminal session with Sekisho</title>
<desc id="desc">Mei signs in, runs commands on web1 and db1, lists, verifies and reads the recording of db1; ken is refused on db1 with the reason; the audit log is verified. The same text stands in README.md.</desc>
<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d0d7de;white-space:pre}.p{fill:#7ee787;font-weight:bold}.c{fill:#ffffff;font-weight:bold}</style>
<rect width="%[1]d" height="%[2]d" rx="8" fill="#161b22" stroke="#6e7681"/>
<circle cx="20" cy="16" r="5" fill="#6e7681"/><circle cx="38" cy="16" r="5" fill="#6e7681"/><circle cx="56" cy="16" r="5" fill="#6e7681"/>
`, width, height, width, height)
	for i, r := range all {
		if r.text == "" && r.prompt == "" {
			continue
		}
		class, prompt := "", ""
		if r.command {
			class = ` class="c"`
		}
		if r.prompt != "" {
			prompt = `<tspan class="p">` + escape(r.prompt) + `</tspan>`
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d"%s xml:space="preserve">%s%s</text>`+"\n", margin, margin+28+i*lineHeight, class, prompt, escape(r.text))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func escape(s string) string {
	var b bytes.Buffer
	xml.EscapeText(&b, []byte(s)) // a Buffer takes everything
	return b.String()
}

const (
	begin = "<!-- capture: made by dev/capture.sh -->"
	end   = "<!-- end of capture -->"
)

// replace puts the text between the markers of a Markdown file.
func replace(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(old), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("%s has no markers of capture", path)
	}
	fresh := before + begin + "\n\n```console\n" + text + "```\n\n" + end + after
	return os.WriteFile(path, []byte(fresh), 0o644)
}
