package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
	"github.com/sekisho/sekisho/recording"
)

const testSession = "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa"

// run is one command line of somebody who never signed in.
func run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{ctx: t.Context(), in: strings.NewReader(""), out: &stdout, err: &stderr}
	code = a.main(append([]string{"--home", filepath.Join(t.TempDir(), "home")}, args...))
	return code, stdout.String(), stderr.String()
}

type memory struct{ bytes.Buffer }

func (*memory) Sync() error { return nil }

// desk is what an auditor has: a key, a recording, and the line of the gateway that made it.
type desk struct{ key, file, signer string }

func newDesk(t *testing.T, output string) desk {
	t.Helper()
	return deskOf(t, []recording.Entry{
		{Kind: recording.PTYRequest, Data: recording.PTY{Term: "xterm", Cols: 90, Rows: 30}.Encode()},
		{Kind: recording.Output, At: time.Second, Data: []byte(output)},
		{Kind: recording.Output, At: time.Hour, Data: []byte("later\r\n")},
	})
}

func deskOf(t *testing.T, entries []recording.Entry) desk {
	t.Helper()
	key := filepath.Join(t.TempDir(), "auditor.key")
	if code, _, errs := run(t, "keys", "generate", "-o", key, "--label", "auditors", "--no-passphrase"); code != 0 {
		t.Fatal(errs)
	}
	d := seal(t, entries, key+".pub")
	d.key = key
	return d
}

// seal makes a recording for whom the files with recipient lines name.
func seal(t *testing.T, entries []recording.Entry, recipients ...string) desk {
	t.Helper()
	return sealAs(t, testSession, entries, recipients...)
}

func sealAs(t *testing.T, session string, entries []recording.Entry, recipients ...string) desk {
	t.Helper()
	return sealWith(t, session, func(w *recording.Writer) error {
		for _, e := range entries {
			if err := errors.Join(w.Append(e), w.Flush()); err != nil {
				return err
			}
		}
		return nil
	}, recipients...)
}

func sealWith(t *testing.T, session string, write func(*recording.Writer) error, recipients ...string) desk {
	t.Helper()
	var to []recording.Recipient
	for _, file := range recipients {
		r, err := readRecipient(file)
		if err != nil {
			t.Fatal(err)
		}
		to = append(to, r)
	}
	gateway := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	public, err := ssh.NewPublicKey(gateway.Public())
	if err != nil {
		t.Fatal(err)
	}
	d := desk{file: filepath.Join(t.TempDir(), "x.rec"), signer: string(ssh.MarshalAuthorizedKey(public))}
	s := sekisho.Session{
		ID: session, Identity: sekisho.Identity{Subject: "alice@example.com"}, Login: "root", Target: "web1",
		Started: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC),
	}
	var file memory
	w, err := recording.NewWriter(&file, recording.Header{Session: s}, to, gateway)
	if err != nil {
		t.Fatal(err)
	}
	if err := write(w); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(recording.EndDone, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.file, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestVerifyFile(t *testing.T) {
	d := newDesk(t, "hello\r\n")
	code, out, errs := run(t, "recordings", "verify", d.file, "--signer", d.signer)
	if code != 0 || !strings.HasPrefix(out, "Valid and complete: session "+testSession) || strings.Contains(out, "alice") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	code, out, errs = run(t, "recordings", "verify", d.file, "--signer", d.signer, "--key", d.key)
	if code != 0 || !strings.Contains(out, "alice@example.com as root on web1, 3 entries") || strings.Count(out, "\n") != 1 {
		t.Errorf("%d %s%s", code, out, errs)
	}
	data, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	other := newDesk(t, "x")
	stranger, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)).Public())
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(data)
	changed[len(changed)-100] ^= 1
	for name, c := range map[string]struct {
		data []byte
		args []string
		code int
		want string
	}{
		"changed":           {changed, []string{"--signer", d.signer}, 1, "Not valid"},
		"changed, with key": {changed, []string{"--signer", d.signer, "--key", d.key}, 1, "Not valid"},
		"cut":               {data[:len(data)-1], []string{"--signer", d.signer}, 1, "cut: it stops after 5 whole frames"},
		"cut, with key":     {data[:len(data)-1], []string{"--signer", d.signer, "--key", d.key}, 1, "cut"},
		"no recording":      {[]byte("hello, this is no recording"), []string{"--signer", d.signer}, 1, "Not valid"},
		"empty":             {nil, []string{"--signer", d.signer}, 1, "only the first bytes of one"},
		"other signer":      {data, []string{"--signer", string(ssh.MarshalAuthorizedKey(stranger))}, 1, "not genuine"},
		"other key":         {data, []string{"--signer", d.signer, "--key", other.key}, 1, "Wrong key"},
		"no signer":         {data, nil, 1, "--signer"},
		"no key line":       {data, []string{"--signer", "hello"}, 2, "--signer"},
	} {
		path := filepath.Join(t.TempDir(), "copy.rec")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := run(t, append([]string{"recordings", "verify", path}, c.args...)...)
		if code != c.code || out != "" || !strings.Contains(errs, c.want) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s: %d %q %s", name, code, out, errs)
		}
	}
	if code, _, errs := run(t, "recordings", "verify", "nothing.rec", "--signer", d.signer); code != 1 || !strings.Contains(errs, "recordings list") {
		t.Errorf("no file: %d %s", code, errs)
	}
	if code, _, errs := run(t, "recordings", "verify", testSession); code != 1 || !strings.Contains(errs, "login") {
		t.Errorf("not signed in: %d %s", code, errs)
	}
}

func TestPlayIsSafe(t *testing.T) {
	d := newDesk(t, "\x1b[32mok\x1b[0m\x1b]52;c;cm0=\x07\x1b[6n\r\n")
	code, out, errs := run(t, "recordings", "play", d.file, "--key", d.key, "--signer", d.signer, "--speed", "1000", "--idle-limit", "1ms")
	if code != 0 || out != "\x1b[32mok\x1b[0m\r\nlater\r\n" {
		t.Errorf("%d %q %s", code, out, errs)
	}
	if code, _, errs := run(t, "recordings", "play", d.file, "--key", d.key, "--speed", "0"); code != 2 {
		t.Errorf("speed 0: %d %s", code, errs)
	}
	_, _, errs = run(t, "recordings", "play", d.file, "--key", d.key, "--speed", "1000", "--idle-limit", "1ms")
	if !strings.Contains(errs, "Not checked") {
		t.Errorf("without a signer nothing is said: %s", errs)
	}
}

func TestPlayOnlyFiles(t *testing.T) {
	file := recording.Entry{Kind: recording.File, Data: []byte(`{"operation":"upload","path":"/a","result":"ok"}`)}
	d := deskOf(t, []recording.Entry{file, file})
	code, out, errs := run(t, "recordings", "play", d.file, "--key", d.key, "--signer", d.signer)
	if code != 0 || out != "" || !strings.Contains(errs, "There is nothing to play: 2 file operations; see sekisho recordings export") {
		t.Errorf("%d %q %s", code, out, errs)
	}
}

func TestPlayStops(t *testing.T) {
	d := newDesk(t, "hello")
	ctx, cancel := context.WithCancel(t.Context())
	a := &app{ctx: ctx, in: strings.NewReader(""), out: writer(func(b []byte) { cancel() }), err: io.Discard}
	done := make(chan int)
	go func() {
		done <- a.main([]string{"--home", t.TempDir(), "recordings", "play", d.file, "--key", d.key, "--idle-limit", "0"})
	}()
	select {
	case code := <-done:
		if code != 130 {
			t.Errorf("interrupted: %d", code)
		}
	case <-time.After(time.Minute): // the recording lasts an hour
		t.Error("play goes on after it was interrupted")
	}
}

type writer func([]byte)

func (w writer) Write(b []byte) (int, error) { w(b); return len(b), nil }

func TestExport(t *testing.T) {
	d := newDesk(t, "hello\r\n")
	for format, want := range map[string]string{"asciicast": `[1.000000,"o","hello\r\n"]`, "text": "\nhello\n", "json": `"text":"hello\r\n"`} {
		code, out, errs := run(t, "recordings", "export", d.file, "--key", d.key, "--signer", d.signer, "--format", format)
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %s %s", format, code, out, errs)
		}
	}
	path := filepath.Join(t.TempDir(), "x.cast")
	args := []string{"recordings", "export", d.file, "--key", d.key, "--signer", d.signer, "-o", path}
	if code, out, errs := run(t, args...); code != 0 || out != "" {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if code, _, errs := run(t, args...); code != 1 || !strings.Contains(errs, "there already") {
		t.Errorf("a second time: %d %s", code, errs)
	}
	nowhere := append(slices.Clone(args[:len(args)-1]), filepath.Join(filepath.Dir(path), "no", "x.cast"))
	if code, _, errs := run(t, nowhere...); code != 1 || !strings.Contains(errs, "Nothing can be written to the folder ") || strings.Contains(errs, ".new-") {
		t.Errorf("no such folder: %d %s", code, errs)
	}
	// Of a cut file, what is there is kept, and it is said that it is not all.
	data, _ := os.ReadFile(d.file)
	if err := os.WriteFile(d.file, data[:len(data)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	args[len(args)-1] += "2"
	if code, _, errs := run(t, args...); code != 1 || !strings.Contains(errs, "cut") {
		t.Errorf("cut: %d %s", code, errs)
	}
	if text, err := os.ReadFile(path + "2"); err != nil || !strings.Contains(string(text), "hello") {
		t.Errorf("cut: %q %v", text, err)
	}
	// Of a changed one nothing is.
	data[len(data)-400] ^= 1
	if err := os.WriteFile(d.file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	args[len(args)-1] += "3"
	if code, _, errs := run(t, args...); code != 1 || !strings.Contains(errs, "Not valid") {
		t.Errorf("changed: %d %s", code, errs)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(left) != 2 {
		t.Errorf("left behind: %v", left)
	}
}

func TestShowFile(t *testing.T) {
	d := newDesk(t, "x")
	code, out, errs := run(t, "recordings", "show", d.file)
	if code != 0 || !strings.Contains(out, testSession) || strings.Contains(out, "alice") || !strings.Contains(out, "rk_") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	code, out, errs = run(t, "recordings", "show", d.file, "--key", d.key, "--json")
	if code != 0 || !strings.Contains(out, `"person": "alice@example.com"`) {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

// Whether keystrokes are kept is seen with a key; how many segments there are, of a file without one, too.
func TestShowKeystrokesAndSegments(t *testing.T) {
	first := newDesk(t, "x")
	typed := []recording.Entry{{Kind: recording.Shell}, {Kind: recording.Input, Data: []byte("ls\r")}, {Kind: recording.Input, Data: []byte("exit\r")}}
	d := sealWith(t, testSession, func(w *recording.Writer) error {
		for _, e := range typed {
			if err := w.Append(e); err != nil {
				return err
			}
			if _, err := w.Cut(); err != nil {
				return err
			}
		}
		return nil
	}, first.key+".pub")
	code, out, errs := run(t, "recordings", "show", d.file)
	if code != 0 || !strings.Contains(out, "\nSegments    4\n") || strings.Contains(out, "Keystrokes") {
		t.Errorf("without a key: %d %s%s", code, out, errs)
	}
	code, out, errs = run(t, "recordings", "show", d.file, "--key", first.key, "--signer", d.signer)
	if code != 0 || !strings.Contains(out, "\nKeystrokes  kept, 8 B\n") || !strings.Contains(out, "\nSegments    4\n") {
		t.Errorf("with a key: %d %s%s", code, out, errs)
	}
	code, out, errs = run(t, "recordings", "show", d.file, "--key", first.key, "--signer", d.signer, "--json")
	if code != 0 || !strings.Contains(out, `"segments": 4,`) || !strings.Contains(out, `"keystroke_bytes": 8`) {
		t.Errorf("JSON: %d %s%s", code, out, errs)
	}
	code, out, errs = run(t, "recordings", "show", first.file, "--key", first.key, "--signer", d.signer)
	if code != 0 || !strings.Contains(out, "\nKeystrokes  none kept\n") || !strings.Contains(out, "\nSegments    1\n") {
		t.Errorf("none: %d %s%s", code, out, errs)
	}
	if code, out, _ := run(t, "recordings", "show", first.file, "--key", first.key, "--signer", d.signer, "--json"); code != 0 || !strings.Contains(out, `"keystroke_bytes": 0`) {
		t.Errorf("none: %d %s", code, out)
	}
}

// shelf is a server that has one recording, and may stop in the middle of it.
type shelf struct {
	apiv1connect.UnimplementedRecordingServiceHandler
	data []byte
	stop int
}

func (s shelf) Download(_ context.Context, _ *connect.Request[apiv1.DownloadRequest], stream *connect.ServerStream[apiv1.DownloadResponse]) error {
	for i := 0; i < s.stop; i += 100 {
		m := &apiv1.DownloadResponse{Data: s.data[i:min(i+100, s.stop)]}
		if i == 0 {
			m.Total = int64(len(s.data))
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func TestDownloading(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 77)
	for _, stop := range []int{0, 100, 700, len(data)} {
		_, handler := apiv1connect.NewRecordingServiceHandler(shelf{data: data, stop: stop})
		server := httptest.NewServer(handler)
		defer server.Close()
		client := apiv1connect.NewRecordingServiceClient(http.DefaultClient, server.URL)
		stream, err := client.Download(t.Context(), connect.NewRequest(&apiv1.DownloadRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(&downloading{stream: stream})
		if !bytes.Equal(got, data[:stop]) {
			t.Errorf("%d bytes, want %d", len(got), stop)
		}
		if whole := stop == len(data); whole != (err == nil) {
			t.Errorf("stopped after %d of %d bytes: %v", stop, len(data), err)
		}
		stream.Close()
	}
}
