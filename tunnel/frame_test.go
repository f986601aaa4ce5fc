package tunnel_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/tunnel"
)

const (
	someConnector = "con_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	someLink      = "lnk_aaaaaaaaaaaaaaaaaaaaaaaaaa"
	someStream    = "str_aaaaaaaaaaaaaaaaaaaaaaaaaa"
)

func TestFramesSurviveTheWire(t *testing.T) {
	for _, f := range tunnel.Frames(someConnector, someLink, someStream) {
		wire := tunnel.AppendFrame(nil, f)
		rest := bytes.NewReader(append(bytes.Clone(wire), "stream"...))
		got, err := tunnel.ReadFrame(rest)
		if err != nil {
			t.Errorf("read %T: %v", f, err)
			continue
		}
		if again := tunnel.AppendFrame(nil, got); !bytes.Equal(again, wire) {
			t.Errorf("%T: %x became %x", f, wire, again)
		}
		if left, _ := io.ReadAll(rest); string(left) != "stream" {
			t.Errorf("%T: reading took bytes of the stream, left %q", f, left)
		}
	}
}

func TestHostileFramesAreRefused(t *testing.T) {
	text := func(s string) string { return string(rune(len(s))) + s }
	ids := text(someConnector) + text(someLink) + text("v1")
	for name, wire := range map[string]string{
		"kind 0":                  "\x00\x00\x00",
		"unknown kind":            "\x63\x00\x00",
		"longer than 4 KiB":       "\x05\x10\x01" + strings.Repeat("x", 4097),
		"cut head":                "\x05\x00",
		"cut body":                "\x07\x00\x02\x00",
		"bytes too many":          "\x05\x00\x01x",
		"other protocol":          "\x01\x00" + text("\x02\x01\x00\x00"+ids),
		"role 3":                  "\x01\x00" + text("\x01\x03\x00\x00"+ids),
		"data with targets":       "\x01\x00" + text("\x01\x02\x00\x01"+ids),
		"too many targets":        "\x01\x00" + text("\x01\x01\x7f\xff"+ids),
		"no connector ID":         "\x01\x00" + text("\x01\x01\x00\x01"+text("root")+text(someLink)+text("v1")),
		"no targets":              "\x02\x00\x00",
		"target with a slash":     "\x02\x00" + text(text("../db1")),
		"target as address":       "\x08\x00" + text(text("127.0.0.1:22")+text(someStream)),
		"stream with a newline":   "\x08\x00" + text(text("db1")+text("str_aaaaaaaaaaaaaaaaaaaaaaaa\n\n")),
		"reason with an escape":   "\x0a\x00" + text(text("\x1b[2J")),
		"text longer than body":   "\x0a\x00\x02\x7fx",
		"text cut before its end": "\x04\x00\x00",
	} {
		if f, err := tunnel.ReadFrame(strings.NewReader(wire)); err == nil {
			t.Errorf("%s: read as %#v", name, f)
		}
	}
}

func TestManyTargetsFitSeveralFrames(t *testing.T) {
	var names []string
	for i := range 1024 {
		names = append(names, strings.Repeat("n", 1+i%60)+"."+sekisho.NewID("x")[2:])
	}
	var wire []byte
	frames := tunnel.ServeFrames(names)
	for _, f := range frames {
		wire = tunnel.AppendFrame(wire, f)
	}
	r := bytes.NewReader(wire)
	var again []byte
	for range frames {
		f, err := tunnel.ReadFrame(r)
		if err != nil {
			t.Fatal(err)
		}
		again = tunnel.AppendFrame(again, f)
	}
	if diff := cmp.Diff(wire, again); diff != "" {
		t.Error(diff)
	}
	if len(frames) < 2 {
		t.Errorf("%d frames hold 1024 names", len(frames))
	}
}

func FuzzFrame(f *testing.F) {
	for _, frame := range tunnel.Frames(someConnector, someLink, someStream) {
		f.Add(tunnel.AppendFrame(nil, frame))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bytes.NewReader(wire)
		frame, err := tunnel.ReadFrame(r)
		if err != nil {
			return
		}
		used := wire[:len(wire)-r.Len()]
		if again := tunnel.AppendFrame(nil, frame); !bytes.Equal(again, used) {
			t.Errorf("%x parses and encodes to %x", used, again)
		}
	})
}
