package recording_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"flag"
	"io"
	"os"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sekisho/sekisho/recording"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

const (
	goldenFile = "testdata/golden.rec"
	goldenKey  = "testdata/golden.key"
	// goldenChain is what the audit log would have for it.
	goldenChain = "c96fe2c9ba6c50e78155f1bfb4e5c6f1e9a0c6cb72a9a82ac389be53568b8aed"
)

// golden gives the recording that any reader of the format must be able to open, and its key.
func golden(t testing.TB) ([]byte, *recording.PrivateKey) {
	t.Helper()
	data, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	return data, readKey(t)
}

func readKey(t testing.TB) *recording.PrivateKey {
	t.Helper()
	text, err := os.ReadFile(goldenKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := recording.ParsePrivateKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// goldenEntries hold every kind once, and a session as people have them.
func goldenEntries() []*recording.Entry {
	at := time.Duration(0)
	entry := func(kind recording.Kind, channel uint32, data []byte) *recording.Entry {
		at += 250 * time.Millisecond
		return &recording.Entry{Kind: kind, At: at, Channel: channel, Data: data}
	}
	return []*recording.Entry{
		entry(recording.ChannelOpen, 0, []byte("session")),
		entry(recording.PTYRequest, 0, recording.PTY{Term: "xterm-256color", Cols: 100, Rows: 30, Modes: []byte{0}}.Encode()),
		entry(recording.Env, 0, recording.Variable{Name: "LANG", Value: "ja_JP.UTF-8"}.Encode()),
		entry(recording.Shell, 0, nil),
		nil,
		entry(recording.Output, 0, []byte("\x1b[1;32mroot@web1\x1b[0m:~# ")),
		entry(recording.Input, 0, []byte("ls\r")),
		entry(recording.Output, 0, []byte("ls\r\n関\xe6")), // a character is cut in two
		nil,
		entry(recording.Output, 0, []byte("\x89\x80 \xff\r\n\x1b]52;c;cm0gLXJmIC8K\x07")),
		entry(recording.Resize, 0, recording.EncodeResize(120, 40)),
		entry(recording.ChannelOpen, 1, []byte("session")),
		entry(recording.Exec, 1, []byte("make \x1b[2J")),
		entry(recording.Stderr, 1, []byte("make: *** No rule\n")),
		entry(recording.ExitStatus, 1, recording.EncodeExitStatus(2)),
		entry(recording.EOF, 1, nil),
		entry(recording.ChannelClose, 1, nil),
		entry(recording.ChannelOpen, 2, []byte("session")),
		entry(recording.Subsystem, 2, []byte("sftp")),
		entry(recording.ChannelClose, 2, nil),
		entry(recording.Note, 0, []byte("x11-req refused")),
		entry(recording.File, 1, []byte(`{"protocol":"sftp","operation":"upload","path":"/srv/a","bytes":3,"result":"ok","took":1000000,"sha256":"ba78"}`)),
		entry(recording.Forward, 2, []byte(`{"type":"direct-tcpip","destination":"db2:5432","origin":"127.0.0.1:40000"}`)),
		entry(recording.Forward, 2, []byte(`{"type":"direct-tcpip","destination":"db2:5432","bytes_in":10,"bytes_out":20}`)),
		entry(recording.Signal, 0, []byte("TERM")),
		entry(recording.ExitSignal, 0, recording.Exit{Signal: "TERM", Message: "ended"}.Encode()),
		entry(recording.ChannelClose, 0, nil),
	}
}

func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	data, key := golden(t)
	got, err := read(data, key)
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	var want []recording.Entry
	for _, e := range goldenEntries() {
		if e != nil {
			want = append(want, *e)
		}
	}
	if d := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); d != "" {
		t.Errorf("entries (-want +got)\n%s", d)
	}
	report, err := recording.Verify(bytes.NewReader(data), recording.VerifyOptions{
		Key:     key,
		Signers: []ed25519.PublicKey{newSigner(1).Public().(ed25519.PublicKey)},
		Chain:   goldenChain,
		Session: session().ID,
	})
	if err != nil || !report.Complete {
		t.Errorf("verify: %v", err)
	}
	if d := cmp.Diff(session(), report.Header.Session); d != "" {
		t.Errorf("session (-want +got)\n%s", d)
	}
}

// With the same randomness the writer makes the same file, byte for byte: a change of the format shows here. (If only
// this test fails after an update of Go, HPKE takes its random bytes differently, and the file can be written anew.)
func TestGoldenIsWrittenToday(t *testing.T) {
	want, key := golden(t)
	cryptotest.SetGlobalRandom(t, 7)
	got, sum := write(t, key, goldenEntries()...)
	if !bytes.Equal(want, got) {
		t.Errorf("the writer makes another file of %d bytes, chain %s", len(got), sum.Chain)
	}
}

func writeGolden(t *testing.T) {
	key := readKey(t)
	cryptotest.SetGlobalRandom(t, 7)
	data, sum := write(t, key, goldenEntries()...)
	if err := os.WriteFile(goldenFile, data, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("chain %s", sum.Chain)
}
