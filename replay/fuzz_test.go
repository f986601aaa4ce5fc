package replay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

// kinds are those that a fuzzed recording is made of.
var kinds = []recording.Kind{
	recording.Output, recording.Stderr, recording.Input, recording.ChannelOpen, recording.PTYRequest, recording.Env,
	recording.Shell, recording.Exec, recording.Subsystem, recording.Resize, recording.Signal, recording.EOF,
	recording.ExitStatus, recording.ExitSignal, recording.ChannelClose, recording.Note, recording.File, recording.Forward,
	recording.Typed, recording.Lost, recording.Lost + 1,
}

// fuzzed makes a recording of any bytes: entries of kind, channel, a time as an exponent of two, length and data.
func fuzzed(b []byte) *tape {
	t := newTape()
	for len(b) >= 4 {
		e := recording.Entry{Kind: kinds[int(b[0])%len(kinds)], Channel: uint32(b[1] % 3), At: 1<<(b[2]%63) - 1}
		size := min(int(b[3]), len(b)-4)
		e.Data = b[4 : 4+size]
		switch e.Kind { // most are to get further than the decoder
		case recording.PTYRequest:
			e.Data = recording.PTY{Term: string(e.Data), Cols: uint32(b[1]), Rows: uint32(b[2]), Modes: e.Data}.Encode()
		case recording.Resize:
			e.Data = recording.EncodeResize(uint32(b[2]), uint32(b[3]))
		case recording.ExitStatus:
			e.Data = recording.EncodeExitStatus(uint32(b[3]))
		case recording.ExitSignal:
			e.Data = recording.Exit{Signal: string(e.Data), Message: string(e.Data)}.Encode()
		}
		t.entries = append(t.entries, e)
		b = b[4+size:]
	}
	return t
}

func seeds(f *testing.F) {
	f.Add([]byte("\x00\x00\x10\x06ls\r\n\xe9\x96\x00\x00\x11\x03\x1b[2\x01\x00\x12\x02Jx"))
	f.Add([]byte("\x04\x01\x10\x05xterm\x07\x01\x11\x02ls\x00\x01\x20\x09\x1b]52;c;x\x07\x0c\x01\x3e\x03   "))
	f.Add([]byte("\x09\x00\x10\x00\x0f\x00\x3f\x04\x1b[6n\x10\x02\x01\x02{}\x11\x02\x01\x02{}"))
	f.Add([]byte("\x00\x00\x00\x08\u009b2J\u0085\x7f\x02\x00\x01\x03\x9dxx"))
	f.Add([]byte("\x00\x00\x00\x0b\u202ex\u2028\xf3\xa0\x80\x81")) // marks of direction, and a tag
}

// FuzzExports: whatever a recording holds, every export ends, and what is for reading steers no terminal.
func FuzzExports(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, export := range exports {
			var out bytes.Buffer
			if err := export(&out, fuzzed(b)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if name != "script" && name != "typescript" {
				steers(t, name, out.String())
			}
			if name == "json" || strings.HasPrefix(name, "asciicast") {
				for line := range strings.Lines(out.String()) {
					if !json.Valid([]byte(line)) {
						t.Errorf("%s: %q is no JSON", name, line)
					}
				}
			}
		}
	})
}

// steers fails for text that holds anything but printable characters, tabs and newlines.
func steers(t *testing.T, name, s string) {
	t.Helper()
	if !utf8.ValidString(s) {
		t.Errorf("%s is no UTF-8: %q", name, s)
	}
	for _, r := range s {
		if r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r <= 0x9f || name == "json" && r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%s holds %q: %q", name, r, s)
			return
		}
	}
}

// FuzzScript: the pieces of the timing file are the typescript but for its first and last lines.
func FuzzScript(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, form := range []replay.Timing{replay.TimingClassic, replay.TimingMulti} {
			var typescript, timing bytes.Buffer
			if err := replay.Script(&typescript, &timing, fuzzed(b), replay.AnyChannel, form); err != nil {
				t.Fatal(err)
			}
			told := 0
			for line := range strings.Lines(timing.String()) {
				told += pieceOf(t, form, line)
			}
			_, body, _ := bytes.Cut(typescript.Bytes(), []byte("\n"))
			if end := bytes.LastIndex(body, []byte("\nScript done on ")); end != told {
				t.Errorf("%s: %d bytes, the timing says %d", form, end, told)
			}
		}
	})
}

// pieceOf is how many bytes a line of the timing file tells of.
func pieceOf(t *testing.T, form replay.Timing, line string) (size int) {
	t.Helper()
	var seconds float64
	if form == replay.TimingMulti {
		if line[0] != 'O' && line[0] != 'I' {
			if line[0] != 'H' && line[0] != 'S' {
				t.Errorf("a line %q", line)
			}
			return 0
		}
		line = line[2:]
	}
	if _, err := fmt.Sscanf(line, "%f %d\n", &seconds, &size); err != nil || seconds < 0 || size <= 0 {
		t.Errorf("a line %q: %v", line, err)
	}
	return size
}

// FuzzSSHLog: the container opens, and holds what the recording does, its times in order.
func FuzzSSHLog(f *testing.F) {
	private, to := sshLogKey()
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var file seekable
		err := replay.SSHLog(&file, fuzzed(b), 0, to)
		var missing *replay.NoChannelError
		if errors.Is(err, replay.ErrInexpressible) || errors.As(err, &missing) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		_, packets, err := openSSHLog(file.data, private)
		if err != nil {
			t.Fatal(err)
		}
		var got, want string
		last := uint64(0)
		for _, p := range packets {
			if p.At < last {
				t.Errorf("time goes back from %d to %d", last, p.At)
			}
			last, got = p.At, got+p.Data
		}
		for _, e := range fuzzed(b).entries {
			if e.Channel == 0 && e.Kind <= recording.Input {
				want += string(e.Data)
			}
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// FuzzDescribe: whatever an entry holds, its words are one line that steers nothing.
func FuzzDescribe(f *testing.F) {
	f.Add([]byte(`{"protocol":"sftp\u001b[2J","operation":"upload"}`))
	f.Add(recording.Exit{Signal: "\x1b[2J"}.Encode())
	f.Add([]byte("\u009b2J\xff\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, kind := range kinds {
			words := replay.Describe(recording.Entry{Kind: kind, Data: b, At: time.Second})
			steers(t, kind.String(), words)
			if strings.Contains(words, "\n") {
				t.Errorf("%s: more than a line: %q", kind, words)
			}
		}
	})
}
