package replay_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

// typing is a shell of which the user asks for something: what the screen shows, and when they typed.
func typing() []recording.Entry {
	at := time.Duration(0)
	entry := func(kind recording.Kind, data []byte) recording.Entry {
		at += time.Second
		return recording.Entry{Kind: kind, Channel: 1, At: at, Data: data}
	}
	began := recording.Typing{Count: 1}.Encode()
	enter := recording.Typing{Enter: true, Count: 1}.Encode()
	return []recording.Entry{
		entry(recording.PTYRequest, recording.PTY{Term: "xterm", Cols: 80, Rows: 24}.Encode()),
		entry(recording.Shell, nil),
		entry(recording.Output, []byte("\x1b[?2004hroot@web1:/srv# ")),
		entry(recording.Typed, began),
		entry(recording.Output, []byte("lx\b \bs -l")),
		entry(recording.Typed, enter),
		entry(recording.Output, []byte("\r\n\x1b[?2004l\r")),
		entry(recording.Output, []byte("total 0\r\n")),
		entry(recording.Output, []byte("\x1b[?2004hroot@web1:/srv# ")),
		entry(recording.Typed, began),
		entry(recording.Output, []byte("exit")),
		entry(recording.Typed, enter),
		entry(recording.Output, []byte("\r\n\x1b[?2004l\rlogout\r\n")),
		entry(recording.ExitStatus, recording.EncodeExitStatus(0)),
		entry(recording.ChannelClose, nil),
	}
}

func TestCommandsOfAShell(t *testing.T) {
	var got []string
	if err := replay.Commands(newTape(typing()...), func(c replay.Command) error {
		got = append(got, strings.Join([]string{c.At.String(), c.Text, c.Directory, c.Found, c.Confidence}, "|"))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"6s|ls -l|/srv|screen|high", "12s|exit|/srv|screen|high"}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// Markers stand where Enter was pressed, before what the command printed.
func TestMarkers(t *testing.T) {
	for _, export := range []string{"asciicast", "asciicast3"} {
		var out bytes.Buffer
		if err := exports[export](&out, newTape(typing()...)); err != nil {
			t.Fatal(err)
		}
		first := strings.Index(out.String(), `"m","ls -l"`)
		if printed := strings.Index(out.String(), "total 0"); first < 0 || first > printed || strings.Count(out.String(), `"m"`) != 2 {
			t.Errorf("%s:\n%s", export, &out)
		}
		if export == "asciicast" && !strings.Contains(out.String(), `[6.000000,"m","ls -l"]`) {
			t.Errorf("a marker at another time:\n%s", &out)
		}
	}
}

func TestJSONCommands(t *testing.T) {
	var out bytes.Buffer
	if err := replay.JSONLines(&out, newTape(typing()...)); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), `{"at":6,"channel":1,"kind":"command","text":"ls -l","directory":"/srv","found":"screen","confidence":"high"}`) {
		t.Errorf("%s", &out)
	}
}

func TestCommandsEnd(t *testing.T) {
	enough := errors.New("enough")
	if err := replay.Commands(newTape(typing()...), func(replay.Command) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	tape := newTape(typing()[:7]...)
	tape.cut = true
	n := 0
	if err := replay.Commands(tape, func(replay.Command) error { n++; return nil }); !errors.Is(err, recording.ErrCut) || n != 1 {
		t.Errorf("cut: %d, %v", n, err)
	}
}

// FuzzCommands: whatever a recording holds, reading commands ends.
func FuzzCommands(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := replay.Commands(fuzzed(b), func(c replay.Command) error {
			if c.Found == "" || c.Confidence == "" {
				t.Errorf("%+v", c)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	})
}
