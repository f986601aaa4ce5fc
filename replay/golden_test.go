package replay_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

// exports are all formats, each into one stream.
var exports = map[string]func(io.Writer, replay.Source) error{
	"asciicast": func(w io.Writer, r replay.Source) error { return replay.Asciicast(w, r, replay.AnyChannel) },
	"asciicast3": func(w io.Writer, r replay.Source) error {
		return replay.Asciicast3(w, r, replay.AnyChannel)
	},
	"script": func(w io.Writer, r replay.Source) error {
		return replay.Script(w, io.Discard, r, replay.AnyChannel, replay.TimingClassic)
	},
	"timing": func(w io.Writer, r replay.Source) error {
		return replay.Script(io.Discard, w, r, replay.AnyChannel, replay.TimingClassic)
	},
	"typescript": func(w io.Writer, r replay.Source) error {
		return replay.Script(w, io.Discard, r, replay.AnyChannel, replay.TimingMulti)
	},
	"multi": func(w io.Writer, r replay.Source) error {
		return replay.Script(io.Discard, w, r, replay.AnyChannel, replay.TimingMulti)
	},
	"transcript": replay.Transcript,
	"json":       replay.JSONLines,
}

func TestGolden(t *testing.T) {
	for name, export := range exports {
		var got bytes.Buffer
		if err := export(&got, golden()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		path := "testdata/golden." + name
		if *update {
			if err := os.WriteFile(path, got.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

// Of a cut recording all that is there is written, and it is said that it is cut.
func TestCut(t *testing.T) {
	for name, export := range exports {
		tape := newTape(recording.Entry{Kind: recording.Exec, Data: []byte("ls")}, out("a file"), errs("no file"))
		tape.cut = true
		var got bytes.Buffer
		if err := export(&got, tape); !errors.Is(err, recording.ErrCut) {
			t.Errorf("%s: %v", name, err)
		}
		want := []string{"ls", "a file", "no file"}
		if name == "timing" || name == "multi" {
			want = []string{"0.000000 6\n", "0.000000 7\n"}
		}
		for _, w := range want {
			if !strings.Contains(got.String(), w) {
				t.Errorf("%s lacks %q: %s", name, w, &got)
			}
		}
	}
}

// What cannot be written is an error, wherever it comes.
func TestFullDisk(t *testing.T) {
	for name, export := range exports {
		if err := export(full{}, golden()); !errors.Is(err, errFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

var errFull = errors.New("no space left")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }

func out(s string) recording.Entry { return recording.Entry{Kind: recording.Output, Data: []byte(s)} }

func errs(s string) recording.Entry { return recording.Entry{Kind: recording.Stderr, Data: []byte(s)} }
