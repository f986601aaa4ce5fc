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

// Where a recording has keystrokes, they show where a line begins that was typed ahead of a prompt that nobody knows.
func TestCommandsWithKeystrokes(t *testing.T) {
	entry := func(at time.Duration, kind recording.Kind, data []byte) recording.Entry {
		return recording.Entry{Kind: kind, Channel: 1, At: at * time.Second, Data: data}
	}
	session := func(keys string) []recording.Entry {
		return []recording.Entry{
			entry(0, recording.PTYRequest, recording.PTY{Term: "xterm", Cols: 80, Rows: 24}.Encode()),
			entry(1, recording.Typed, recording.Typing{Count: 1}.Encode()),
			entry(1, recording.Typed, recording.Typing{Enter: true, Count: 1}.Encode()),
			entry(1, recording.Input, []byte(keys)),
			entry(2, recording.Output, []byte("id -u\r\n\x1b[?2004hmy own prompt) id -u\r\n\x1b[?2004l\r0\r\n\x1b[?2004hmy own prompt) ")),
		}
	}
	for keys, want := range map[string][]string{"id -u\r": {"id -u medium"}, "": nil} {
		if d := cmp.Diff(want, commandsOf(t, session(keys))); d != "" {
			t.Errorf("%q: (-want +got)\n%s", keys, d)
		}
	}
}

// What is typed and not shown is no command, although the recording has it as keystrokes: nor is it in one that follows.
func TestCommandsHidePasswords(t *testing.T) {
	at := time.Duration(0)
	var entries []recording.Entry
	entry := func(kind recording.Kind, data string) {
		at += time.Second
		entries = append(entries, recording.Entry{Kind: kind, Channel: 1, At: at, Data: []byte(data)})
	}
	types := func(keys string) {
		entry(recording.Typed, string(recording.Typing{Count: 1}.Encode()))
		entry(recording.Typed, string(recording.Typing{Enter: true, Count: 1}.Encode()))
		entry(recording.Input, keys+"\r")
	}
	entry(recording.PTYRequest, string(recording.PTY{Term: "xterm", Cols: 80, Rows: 24}.Encode()))
	entry(recording.Output, "\x1b[?2004hroot@web1:/srv# ")
	types("sudo id")
	entry(recording.Output, "sudo id\r\n\x1b[?2004l\r[sudo] password for root: ")
	types("hunter2")
	entry(recording.Output, "\r\nuid=0(root)\r\n\x1b[?2004hroot@web1:/srv# ")
	types("read -s x")
	entry(recording.Output, "read -s x\r\n\x1b[?2004l\r")
	types("hunter2") // ahead, and so are the next
	types("hunter2")
	types("date")
	entry(recording.Output, "\r\n\x1b[?2004hroot@web1:/srv# \r\n\x1b[?2004l\r\x1b[?2004hroot@web1:/srv# date\r\n\x1b[?2004l\rMon\r\n\x1b[?2004hroot@web1:/srv# ")
	got := commandsOf(t, entries)
	if d := cmp.Diff([]string{"sudo id high", "read -s x high", "date high"}, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// commandsOf are the commands, each with its confidence.
func commandsOf(t *testing.T, entries []recording.Entry) (got []string) {
	t.Helper()
	if err := replay.Commands(newTape(entries...), func(c replay.Command) error {
		got = append(got, c.Text+" "+c.Confidence)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
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
