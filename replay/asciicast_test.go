package replay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

type event struct {
	at   float64
	code string
	data string
}

// cast exports and checks the outer form: a header, then events whose times are not negative, and in version 2 never go
// back.
func cast(t testing.TB, export func(io.Writer, replay.Source, uint32) error, channel uint32, entries ...recording.Entry) (header map[string]any, events []event) {
	t.Helper()
	var out bytes.Buffer
	if err := export(&out, newTape(entries...), channel); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if err := json.Unmarshal([]byte(lines[0]), &header); err != nil {
		t.Fatal(err)
	}
	last := 0.0
	for _, line := range lines[1:] {
		var e [3]any
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		at := e[0].(float64)
		if at < last {
			t.Errorf("time %v after %v", at, last)
		}
		if header["version"] == 2.0 {
			last = at
		}
		events = append(events, event{at, e[1].(string), e[2].(string)})
	}
	return header, events
}

func printed(events []event) (s string) {
	for _, e := range events {
		if e.code == "o" {
			s += e.data
		}
	}
	return s
}

func TestAsciicastWithoutPTY(t *testing.T) {
	header, events := cast(t, replay.Asciicast, replay.AnyChannel,
		recording.Entry{Kind: recording.ChannelOpen, Channel: 3, Data: []byte("session")},
		recording.Entry{Kind: recording.Exec, Channel: 3, Data: []byte("uptime")},
		recording.Entry{Kind: recording.Output, Channel: 3, At: 2 * time.Second, Data: []byte("a\nb\r")},
		recording.Entry{Kind: recording.Output, Channel: 9, At: 3 * time.Second, Data: []byte("not mine")},
		recording.Entry{Kind: recording.Output, Channel: 3, At: time.Second, Data: []byte("\nc")},
	)
	if header["width"] != 80.0 || header["height"] != 24.0 || header["command"] != "uptime" || header["version"] != 2.0 {
		t.Errorf("header %v", header)
	}
	if got := printed(events); got != "a\r\nb\r\nc" {
		t.Errorf("printed %q", got)
	}
}

// In version 3 the times are intervals that add up, and the exit status is told.
func TestAsciicast3(t *testing.T) {
	entries := []recording.Entry{
		{Kind: recording.PTYRequest, Data: recording.PTY{Term: "xterm", Cols: 90, Rows: 30}.Encode()},
		{Kind: recording.Exec, Data: []byte("top")},
	}
	for i := range 1000 {
		entries = append(entries, recording.Entry{Kind: recording.Output, At: time.Duration(i) * 1234567891, Data: []byte("x")})
	}
	entries = append(entries, recording.Entry{Kind: recording.ExitStatus, At: time.Hour, Data: recording.EncodeExitStatus(7)})
	header, events := cast(t, replay.Asciicast3, 0, entries...)
	term := header["term"].(map[string]any)
	if header["version"] != 3.0 || term["cols"] != 90.0 || term["rows"] != 30.0 || term["type"] != "xterm" {
		t.Errorf("header %v", header)
	}
	sum := 0.0
	for _, e := range events {
		sum += e.at
	}
	if last := events[len(events)-1]; last.code != "x" || last.data != "7" || sum < 3599.99 || sum > 3600.01 {
		t.Errorf("ends with %v after %v s", last, sum)
	}
}

func TestNoChannel(t *testing.T) {
	for name, export := range channelExports {
		var missing *replay.NoChannelError
		if err := export(&seekable{}, golden(), 7); !errors.As(err, &missing) || missing.Channel != 7 {
			t.Errorf("%s: %v", name, err)
		}
		tape := golden()
		tape.cut = true // what is missing may hold it
		if err := export(&seekable{}, tape, 7); !errors.Is(err, recording.ErrCut) && name != "ssh-log" {
			t.Errorf("%s of a cut recording: %v", name, err)
		}
		if name == "ssh-log" {
			continue
		}
		if err := export(&seekable{}, newTape(), replay.AnyChannel); err != nil {
			t.Errorf("%s of a session without a channel: %v", name, err)
		}
	}
}

var channelExports = map[string]func(io.WriteSeeker, replay.Source, uint32) error{
	"asciicast":  func(w io.WriteSeeker, r replay.Source, n uint32) error { return replay.Asciicast(w, r, n) },
	"asciicast3": func(w io.WriteSeeker, r replay.Source, n uint32) error { return replay.Asciicast3(w, r, n) },
	"script": func(w io.WriteSeeker, r replay.Source, n uint32) error {
		return replay.Script(w, io.Discard, r, n, replay.TimingClassic)
	},
	"ssh-log": func(w io.WriteSeeker, r replay.Source, n uint32) error {
		_, to := sshLogKey()
		return replay.SSHLog(w, r, n, to)
	},
}

// A character may be cut anywhere, and standard error may come between its halves.
func TestAsciicastPutsCharactersTogether(t *testing.T) {
	const text = "関所 é 🗻 \u009b"
	for cut := range len(text) {
		_, events := cast(t, replay.Asciicast, 0, out(text[:cut]), errs("!"), out(text[cut:]))
		if got := strings.Replace(printed(events), "!", "", 1); got != text {
			t.Errorf("cut at %d: %q", cut, got)
		}
	}
	_, events := cast(t, replay.Asciicast, 0, out("a\xffb\xe9\x96"), out("c\xe9"))
	if got := printed(events); got != "a\ufffdb\ufffd\ufffdc\ufffd" {
		t.Errorf("no UTF-8: %q", got)
	}
}

// Bytes that are missing from a session are told with its program, wherever they stand.
func TestLost(t *testing.T) {
	entries := []recording.Entry{
		{Kind: recording.PTYRequest, Channel: 1, Data: recording.PTY{Cols: 80, Rows: 24}.Encode()},
		{Kind: recording.Shell, Channel: 1},
		{Kind: recording.Output, Channel: 1, Data: []byte("before\r\n")},
		{Kind: recording.Lost, At: time.Second, Data: recording.Loss{Bytes: 7, Why: "the disk lagged"}.Encode()},
		{Kind: recording.Output, Channel: 1, At: time.Minute, Data: []byte("after\r\n")},
	}
	for export, want := range map[string]string{
		"asciicast": `[1.000000,"m","lost 7 bytes of output are missing here: the disk lagged"]`, "multi": "H 0.000000 BYTES_LOST 7",
	} {
		var out bytes.Buffer
		if err := exports[export](&out, newTape(entries...)); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %v\n%s", export, err, &out)
		}
	}
	film, err := replay.NewFilm(newTape(entries...), replay.AnyChannel)
	if err != nil || film.Lost != 7 {
		t.Errorf("%+v, %v", film, err)
	}
}

// A player reads a size as 16 bits, and a cast with another one not at all.
func TestCastSizes(t *testing.T) {
	var out bytes.Buffer
	if err := replay.Asciicast(&out, newTape(
		recording.Entry{Kind: recording.PTYRequest, Channel: 1, Data: recording.PTY{Cols: 1 << 31, Rows: 70000}.Encode()},
		recording.Entry{Kind: recording.Resize, Channel: 1, Data: recording.EncodeResize(1<<32-1, 1<<16)},
	), replay.AnyChannel); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, `"width":1000,"height":262`) || !strings.Contains(got, `"r","1000x262"`) {
		t.Error(got)
	}
}
