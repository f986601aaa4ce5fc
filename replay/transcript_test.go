package replay_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

func TestTranscriptEdits(t *testing.T) {
	r := newTape(out("lx\bs\x1b[K -l\r\n\x1b]0;title\x07total é\b0"))
	var got bytes.Buffer
	if err := replay.Transcript(&got, r); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "\nls -l\ntotal 0\n") {
		t.Errorf("transcript:\n%s", &got)
	}
}

// pty begins a recording with a terminal of 20x4.
var pty = recording.Entry{Kind: recording.PTYRequest, Data: recording.PTY{Term: "xterm", Cols: 20, Rows: 4}.Encode()}

// A program with a terminal: what stood on its screen is told, each line once, in the order in which it went.
func TestTranscriptOfAScreen(t *testing.T) {
	for name, c := range map[string]struct {
		in   []string
		want []string
	}{
		"plain":         {[]string{"$ ls\r\na b\r\n$ "}, []string{"$ ls", "a b", "$"}},
		"repeated":      {[]string{"ok\r\nok\r\nok\r\nok\r\nok\r\nok\r\n"}, []string{"ok", "ok", "ok", "ok", "ok", "ok"}},
		"scrolled":      {[]string{"1\r\n2\r\n3\r\n4\r\n5\r\n6"}, []string{"1", "2", "3", "4", "5", "6"}},
		"edited":        {[]string{"$ lx", "\b \b", "s -l", "\r\nx\r\n"}, []string{"$ ls -l", "x"}},
		"wrapped":       {[]string{"$ echo 0123456789", "012345678 9012345\r\nx\r\n\r\n\r\n\r\n"}, []string{"$ echo 0123456789012345678 9012345", "x"}},
		"split":         {[]string{"se\x1b[1mcr\x1b[0", "met\x1b]0;title\x07\r\n"}, []string{"secret"}},
		"progress":      {[]string{"[##........]", "\r[###.......]", "\r[####......]", "\r[##########]\r\n"}, []string{"[##########]"}},
		"cleared":       {[]string{"secret\r\n", "\x1b[2J\x1b[H", "after\r\n"}, []string{"secret", "after"}},
		"reset":         {[]string{"secret\r\n", "\x1bc", "after\r\n"}, []string{"secret", "after"}},
		"alternate":     {[]string{"$ vi\r\n", "\x1b[?1049h\x1b[H", "text", "\x1b[2;1H~", "\x1b[?1049l", "$ "}, []string{"$ vi", "text", "~", "$"}},
		"written over":  {[]string{"\x1b[?1049h\x1b[H", "the first page", "\x1b[Hanother picture", "\x1b[?1049l"}, []string{"the first page", "another picture"}},
		"lines deleted": {[]string{"a\r\nbbb\r\nc", "\x1b[2;1H\x1b[M", "\r\n"}, []string{"bbb", "a", "c"}},
	} {
		entries := []recording.Entry{pty}
		for _, piece := range c.in {
			entries = append(entries, out(piece))
		}
		var got bytes.Buffer
		if err := replay.Transcript(&got, newTape(entries...)); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(got.String()) {
			if line := strings.TrimRight(line, " \n"); line != "" && line[0] != '#' {
				lines = append(lines, line)
			}
		}
		if d := cmp.Diff(c.want, lines); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

// A window that gets smaller or larger loses no line, and tells none twice.
func TestTranscriptResized(t *testing.T) {
	entries := []recording.Entry{pty, out("one\r\ntwo\r\nthree\r\nfour")}
	for _, size := range [][2]uint32{{10, 2}, {80, 24}, {3, 1}, {20, 4}} {
		entries = append(entries, recording.Entry{Kind: recording.Resize, Data: recording.EncodeResize(size[0], size[1])})
	}
	entries = append(entries, out("\r\nfive\r\n"))
	var got bytes.Buffer
	if err := replay.Transcript(&got, newTape(entries...)); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one", "two", "three", "four", "five"} {
		if n := strings.Count(got.String(), "\n"+line+"\n"); n != 1 {
			t.Errorf("%s stands %d times in\n%s", line, n, &got)
		}
	}
}

// What stood on the screen is told though a window of another size has no room for it, or joins it to what was told before.
func TestTranscriptCutByResize(t *testing.T) {
	for name, c := range map[string]struct {
		in   []string
		size [2]uint32
	}{
		"alternate, fewer rows":    {[]string{"\x1b[?1049h\x1b[3;1Hswallow\x1b[H"}, [2]uint32{20, 1}},
		"alternate, fewer columns": {[]string{"\x1b[?1049h\x1b[2;9Hswallow"}, [2]uint32{10, 4}},
		"below the cursor":         {[]string{"one\r\nswallow\x1b[H"}, [2]uint32{20, 1}},
		"behind the cursor":        {[]string{"one two swallow\x1b[H"}, [2]uint32{8, 1}},
		"joined":                   {[]string{"one two three four five", "\x1b[?1049h", "\x1b[?1049l", "\x1b[2;1Hswallow\r\n"}, [2]uint32{40, 4}},
	} {
		entries := []recording.Entry{pty}
		for _, in := range c.in {
			entries = append(entries, out(in))
		}
		entries = append(entries, recording.Entry{Kind: recording.Resize, Data: recording.EncodeResize(c.size[0], c.size[1])})
		var got bytes.Buffer
		if err := replay.Transcript(&got, newTape(entries...)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.String(), "swallow") {
			t.Errorf("%s:\n%s", name, &got)
		}
	}
}

// What was typed is told line by line: Enter sends a carriage return.
func TestTranscriptTyped(t *testing.T) {
	typed := func(text string) recording.Entry { return recording.Entry{Kind: recording.Input, Data: []byte(text)} }
	var got bytes.Buffer
	if err := replay.Transcript(&got, newTape(pty, typed("su"), typed(" -\rhunter2\r"), typed("id\r"))); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), " input:\nsu -\nhunter2\nid\n") {
		t.Errorf("got\n%s", &got)
	}
}

func TestSeconds(t *testing.T) {
	if s := fmt.Sprint(replay.Seconds(4520724 * time.Microsecond)); s != "4.520724" {
		t.Errorf("got %s", s)
	}
}
