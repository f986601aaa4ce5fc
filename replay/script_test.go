package replay_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

// scriptreplay plays what Script wrote, with the real program.
func scriptreplay(t *testing.T, form replay.Timing, tape *tape, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("scriptreplay")
	if err != nil {
		t.Skip("there is no scriptreplay")
	}
	var typescript, timing bytes.Buffer
	if err := replay.Script(&typescript, &timing, tape, replay.AnyChannel, form); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log, times := filepath.Join(dir, "typescript"), filepath.Join(dir, "timing")
	for path, data := range map[string][]byte{log: typescript.Bytes(), times: timing.Bytes()} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "TYPESCRIPT", log)
	}
	out, err := exec.CommandContext(t.Context(), program, append([]string{"--timing", times, "--maxdelay", "0.001"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("scriptreplay: %v\n%s\ntiming:\n%s", err, out, timing.Bytes())
	}
	return string(out)
}

func TestScriptReplays(t *testing.T) {
	hostile := strings.Repeat("x", 5000) + "\n0.1 99999\nH 0 \x1b]52;c;x\x07"
	entries := []recording.Entry{
		{Kind: recording.PTYRequest, Data: recording.PTY{Term: hostile, Cols: 90, Rows: 30}.Encode()},
		{Kind: recording.Exec, Data: []byte(hostile)},
		{Kind: recording.Output, At: time.Second, Data: []byte("\x1b[1mhello\r\n")},
		{Kind: recording.Signal, Data: []byte(hostile)},
		{Kind: recording.Output, At: time.Second, Data: nil},
		{Kind: recording.Input, At: time.Second, Data: []byte("secret")},
		{Kind: recording.Resize, At: time.Hour, Data: recording.EncodeResize(100, 40)},
		{Kind: recording.Stderr, At: 1000 * time.Hour, Data: []byte("\xff\x00関\r\n")},
		{Kind: recording.ExitStatus, At: 1001 * time.Hour, Data: recording.EncodeExitStatus(3)},
	}
	const want = "\x1b[1mhello\r\n\xff\x00関\r\n"
	if got := scriptreplay(t, replay.TimingClassic, newTape(entries...), "--log-out", "TYPESCRIPT"); !strings.Contains(got, want) || strings.Contains(got, "secret") {
		t.Errorf("classic: %q", got)
	}
	if got := scriptreplay(t, replay.TimingMulti, newTape(entries...), "--log-io", "TYPESCRIPT", "--stream", "out"); !strings.Contains(got, want) || strings.Contains(got, "secret") {
		t.Errorf("multi: %q", got)
	}
	if got := scriptreplay(t, replay.TimingMulti, newTape(entries...), "--log-io", "TYPESCRIPT", "--stream", "in"); !strings.Contains(got, "secret") {
		t.Errorf("input: %q", got)
	}
	if got := scriptreplay(t, replay.TimingMulti, newTape(entries...), "--log-io", "TYPESCRIPT", "--summary"); !strings.Contains(got, "EXIT_CODE:  3") {
		t.Errorf("summary: %q", got)
	}
}

// Without a pty nothing has made CR LF of newlines.
func TestScriptWithoutPTY(t *testing.T) {
	for _, form := range []replay.Timing{replay.TimingClassic, replay.TimingMulti} {
		got := scriptreplay(t, form, newTape(out("a\nb\r"), out("\nc")), "--log-out", "TYPESCRIPT")
		if !strings.Contains(got, "a\r\nb\r\nc") {
			t.Errorf("%s: %q", form, got)
		}
	}
}
