// Package e2e_test holds the two readers of recordings together: what the Go writer seals, the browser's reader opens under Node.
package e2e_test

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// build compiles the reader and gives its command.
func build(t *testing.T) string {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s", program)
		}
	}
	if out, err := exec.Command("../build.sh").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return "../dist/cli.js"
}

type sink struct{ bytes.Buffer }

func (*sink) Sync() error { return nil }

// line is an entry as the command prints it.
type line struct {
	Kind    string
	At      int64
	Channel uint32
	Data    []byte
	Place   struct{ Frame, Segment, Offset int64 }
}

// extent is the last line.
type extent struct {
	Session                 sekisho.Session
	End                     *struct{ Reason, At any }
	Frames, Segments, Bytes int64
	Chain                   string
}

// run runs the command; code is empty when it found nothing wrong.
func run(t *testing.T, args ...string) (lines []string, code string) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command("node", args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		var refused bool
		code, _, refused = strings.Cut(stderr.String(), ": ")
		if !refused || strings.Contains(code, "\n") {
			t.Fatalf("node %v: %v\n%s", args, err, &stderr)
		}
	}
	scanner := bufio.NewScanner(bytes.NewReader(out))
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	return lines, code
}

func show(t *testing.T, args ...string) ([]line, extent, string) {
	t.Helper()
	text, code := run(t, args...)
	if len(text) == 0 {
		t.Fatalf("node %v: nothing but %q", args, code)
	}
	lines := make([]line, len(text)-1)
	for i := range lines {
		decode(t, text[i], &lines[i])
	}
	var last extent
	decode(t, text[len(text)-1], &last)
	return lines, last, code
}

func decode(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%.100q: %v", text, err)
	}
}

// data gives what compresses well, what does not, and what is in between.
func data(random *rand.Rand) []byte {
	b := make([]byte, random.IntN(1<<random.IntN(18)+1))
	switch random.IntN(3) {
	case 0:
		for i := range b {
			b[i] = byte(random.Uint32())
		}
	case 1:
		for i := range b {
			b[i] = "drwxr-xr-x root "[random.IntN(3)*5+i%5]
		}
	default:
		copy(b, strings.Repeat("all work and no play makes jack a dull boy\r\n", len(b)/40+1))
	}
	return b
}

var kinds = []recording.Kind{
	recording.Output, recording.Output, recording.Output, recording.Stderr, recording.Input, recording.ChannelOpen, recording.Exec, recording.EOF, recording.Note,
}

// made is a recording with what its segments are; entries come from the Go reader.
type made struct {
	file     []byte
	segments []recording.Segment
	entries  []line
	report   recording.Report
}

func seal(t *testing.T, random *rand.Rand, recipients []recording.Recipient, key *recording.PrivateKey, closed bool) made {
	t.Helper()
	_, signer, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	var file sink
	var m made
	session := sekisho.Session{ID: "ses_" + strconv.FormatUint(random.Uint64(), 16), Target: "web1", Login: "root", Started: time.Unix(1<<30, random.Int64N(1e9)).UTC()}
	w, err := recording.NewWriter(&file, recording.Header{Session: session}, recipients, signer)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Duration(0)
	for range 20 + random.IntN(60) {
		at += time.Duration(random.Int64N(1 << random.IntN(40)))
		e := recording.Entry{Kind: kinds[random.IntN(len(kinds))], At: at, Channel: random.Uint32() >> random.IntN(32)}
		if e.Kind == recording.Output || e.Kind == recording.Stderr || e.Kind == recording.Input {
			e.Data = data(random)
		} else if e.Kind != recording.EOF {
			e.Data = []byte("session")
		}
		must(t, w.Append(e))
		if random.IntN(4) == 0 {
			must(t, w.Flush())
		}
		if random.IntN(12) == 0 {
			segment, err := w.Cut()
			must(t, err)
			if segment.Frames > 0 {
				m.segments = append(m.segments, segment)
			}
		}
	}
	if closed {
		_, err = w.Close(recording.EndStopped, at+time.Second)
		must(t, err)
		m.segments = append(m.segments, w.Segment())
	} else {
		must(t, w.Flush())
	}
	m.file = bytes.Clone(file.Bytes())
	m.entries = read(t, m.file, key)
	m.report, err = recording.Verify(bytes.NewReader(m.file), recording.VerifyOptions{Key: key})
	if err != nil && !errors.Is(err, recording.ErrCut) {
		t.Fatal(err)
	}
	return m
}

func read(t *testing.T, file []byte, key *recording.PrivateKey) []line {
	t.Helper()
	r, err := recording.NewReader(bytes.NewReader(file), key)
	must(t, err)
	var lines []line
	for {
		e, err := r.Next()
		if err != nil {
			if err != io.EOF && !errors.Is(err, recording.ErrCut) {
				t.Fatal(err)
			}
			return lines
		}
		lines = append(lines, line{Kind: e.Kind.String(), At: e.At.Microseconds(), Channel: e.Channel, Data: append([]byte{}, e.Data...)})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Fresh recordings, to keys of every kind, in several segments, closed and not, are read by both readers alike.
func TestBothReaders(t *testing.T) {
	cli := build(t)
	folder := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var keys []*recording.PrivateKey
	var recipients []recording.Recipient
	for _, kem := range recording.KEMs() {
		key, err := recording.GenerateKey(kem, "auditor")
		must(t, err)
		keys = append(keys, key)
		recipients = append(recipients, key.Recipient())
	}
	for i, key := range keys {
		for _, closed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s-closed-%v", key.KEM(), closed), func(t *testing.T) {
				to := recipients
				if random.IntN(2) == 0 {
					to = recipients[i : i+1]
				}
				m := seal(t, random, to, key, closed)
				compare(t, cli, folder, m, key, random)
			})
		}
	}
}

func compare(t *testing.T, cli, folder string, m made, key *recording.PrivateKey, random *rand.Rand) {
	t.Helper()
	file, keyFile := filepath.Join(folder, "session.rec"), filepath.Join(folder, "auditor.key")
	text, err := key.Encode()
	must(t, err)
	must(t, os.WriteFile(keyFile, text, 0o600))
	must(t, os.WriteFile(file, m.file, 0o600))

	lines, last, code := show(t, cli, "show", file, keyFile)
	if want := map[bool]string{true: "", false: "cut"}[m.report.Complete]; code != want {
		t.Errorf("it ends with %q, not %q", code, want)
	}
	if diff := cmp.Diff(m.entries, unplaced(lines)); diff != "" {
		t.Errorf("entries (-go +typescript): %.2000s", diff)
	}
	if last.Frames != m.report.Frames || last.Bytes != m.report.Bytes || last.Chain != m.report.Chain || last.Segments != int64(m.report.Segments) {
		t.Errorf("extent %+v, not %+v", last, m.report)
	}
	if last.Session.ID != m.report.Header.Session.ID || !last.Session.Started.Equal(m.report.Header.Session.Started) {
		t.Errorf("session %+v", last.Session)
	}
	for _, s := range m.segments[min(1, len(m.segments)):] { // the first begins with the header
		compareSegment(t, cli, file, keyFile, s, lines)
	}
	for range 5 {
		compareTampered(t, cli, filepath.Join(folder, "tampered.rec"), tamper(random, m.file), key, keyFile)
	}
	if m.report.Complete { // the signature behind the last frame is cut off, partly and wholly
		compareTampered(t, cli, filepath.Join(folder, "tampered.rec"), m.file[:len(m.file)-1-random.IntN(64)], key, keyFile)
	}
}

// unplaced leaves out what Go's reader does not tell.
func unplaced(lines []line) []line {
	bare := make([]line, len(lines))
	for i, l := range lines {
		bare[i] = line{Kind: l.Kind, At: l.At, Channel: l.Channel, Data: l.Data}
	}
	return bare
}

func compareSegment(t *testing.T, cli, file, keyFile string, s recording.Segment, all []line) {
	t.Helper()
	want := []line{} // none in a segment that holds the end alone
	for _, l := range all {
		if l.Place.Segment >= int64(s.Index) {
			want = append(want, l)
		}
	}
	facts := []string{strconv.FormatInt(s.Offset, 10), strconv.Itoa(s.Index), strconv.FormatInt(s.Frame, 10), s.Chain}
	got, _, _ := show(t, append([]string{cli, "show", file, keyFile}, facts...)...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("from segment %d (-from the beginning +from there): %.2000s", s.Index, diff)
	}
}

// tamper cuts a file, changes a byte of it, or leaves some out.
func tamper(random *rand.Rand, file []byte) []byte {
	file = bytes.Clone(file)
	at := random.IntN(len(file))
	switch random.IntN(3) {
	case 0:
		return file[:at]
	case 1:
		file[at] ^= 1 << random.IntN(8)
		return file
	default:
		return append(file[:at], file[min(at+1+random.IntN(200), len(file)):]...)
	}
}

// compareTampered wants the same finding about a file from both verifiers, with the key or without.
func compareTampered(t *testing.T, cli, file string, tampered []byte, key *recording.PrivateKey, keyFile string) {
	t.Helper()
	must(t, os.WriteFile(file, tampered, 0o600))
	opts, args := recording.VerifyOptions{}, []string{cli, "verify", file}
	if len(tampered)%2 == 0 {
		opts.Key, args = key, append(args, keyFile)
	}
	report, err := recording.Verify(bytes.NewReader(tampered), opts)
	text, code := run(t, args...)
	var got finding
	decode(t, text[0], &got)
	if (code == "") != (err == nil) || (code == "cut") != errors.Is(err, recording.ErrCut) {
		t.Errorf("%d bytes: Go says %v, TypeScript %q", len(tampered), err, code)
	}
	want := finding{report.Frames, report.Bytes, report.Entries, report.Segments, report.Length.Microseconds(), report.Chain, report.Complete, report.Opened}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%d bytes, %v: (-go +typescript): %s", len(tampered), err, diff)
	}
}

// finding is a report of both verifiers.
type finding struct {
	Frames, Bytes, Entries int64
	Segments               int
	Length                 int64
	Chain                  string
	Complete, Opened       bool
}
