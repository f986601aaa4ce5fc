package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/recording"
)

// ran is a recording of one command.
func ran(command, output string) []recording.Entry {
	return []recording.Entry{
		{Kind: recording.ChannelOpen, Data: []byte("session")},
		{Kind: recording.Exec, At: time.Second, Data: []byte(command)},
		{Kind: recording.Output, At: 62 * time.Second, Data: []byte(output)},
		{Kind: recording.ExitStatus, At: 63 * time.Second, Data: recording.EncodeExitStatus(3)},
	}
}

func TestCommands(t *testing.T) {
	d := deskOf(t, ran("rm -rf \x1b[2J/srv", "no\n"))
	code, out, errs := run(t, "recordings", "commands", d.file, "--key", d.key, "--signer", d.signer)
	if code != 0 || !strings.Contains(out, `0:00:01.000  0 `) || !strings.Contains(out, `exec`) || !strings.Contains(out, `"rm -rf \x1b[2J/srv"`) {
		t.Errorf("%d %q %s", code, out, errs)
	}
	code, out, errs = run(t, "recordings", "commands", d.file, d.file, "--key", d.key, "--signer", d.signer, "--json")
	var got []commandInfo
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || len(got) != 2 {
		t.Fatalf("%d %v %s%s", code, err, out, errs)
	}
	if c := got[0]; c.Command != "rm -rf \x1b[2J/srv" || c.At != 1 || *c.Exit != 3 || c.Session != testSession || c.Time.Second() != 8 || c.Confidence != "high" {
		t.Errorf("%+v", c)
	}
}

func TestSearchFiles(t *testing.T) {
	d := deskOf(t, ran("cat /etc/birds", "a sparrow\nthe Swallow\n\x1b]52;c;x\x07a swallow (two)\nan owl\n"))
	other := deskOf(t, ran("echo swallow", "swallow\n"))
	broken := filepath.Join(t.TempDir(), "broken.rec")
	if err := os.WriteFile(broken, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		out  []string // in stdout, in this order; none: there is none
		err  string
	}{
		"a word":           {[]string{"swallow"}, 0, []string{"0:01:02.000  channel 0  output\n", "  > a swallow (two)\n", "--channel 0 --at 1m2s\n"}, ""},
		"any case":         {[]string{"-i", "SWALLOW"}, 0, []string{"> the Swallow\n", "> a swallow"}, ""},
		"context":          {[]string{"-C", "1", "the Sw"}, 0, []string{"    a sparrow\n  > the Swallow\n    a swallow (two)\n"}, ""},
		"no expression":    {[]string{"(two)"}, 0, []string{"> a swallow (two)"}, ""},
		"an expression":    {[]string{"--regexp", "^a.*w$"}, 0, []string{"> a sparrow\n"}, ""},
		"a command":        {[]string{"birds", "--commands"}, 0, []string{"command\n", "> cat /etc/birds\n", "--at 1s\n"}, ""},
		"no command":       {[]string{"swallow", "--commands"}, 1, nil, "Nothing was found in 1 recording."},
		"no output":        {[]string{"birds", "--output"}, 1, nil, "Nothing was found"},
		"not there":        {[]string{"eagle"}, 1, nil, "Nothing was found"},
		"wrong expression": {[]string{"--regexp", "("}, 2, nil, "PATTERN"},
		"nothing":          {[]string{""}, 2, nil, "PATTERN"},
		"too much context": {[]string{"-C", "1000000", "x"}, 2, nil, "-C"},
		"filter of files":  {[]string{"--since", "2h", "x"}, 2, nil, "filters"},
		"two places":       {[]string{"--commands", "--output", "x"}, 2, nil, "--commands"},
		"another's":        {[]string{"swallow", other.file}, 0, []string{"> a swallow (two)"}, "does not open them: 1 recording. Of these, rk_"},
		"a broken one":     {[]string{"swallow", broken}, 2, []string{"> a swallow (two)"}, "broken.rec: This is no recording"},
		"broken, no hit":   {[]string{"eagle", broken}, 2, nil, "1 recording could not be searched; 0 hits found in 1 recording."},
		"not mine, no hit": {[]string{"eagle", other.file}, 1, nil, "Nothing was found in 1 recording."},
		"none of mine":     {[]string{"swallow", other.file}, 2, nil, "There is no recording among them that the key opens."},
		"no file":          {[]string{"swallow", "gone.rec"}, 2, nil, "There is no file gone.rec"},
	} {
		args := append([]string{"recordings", "search", "--key", d.key, "--signer", d.signer}, c.args[:len(c.args)]...)
		switch name {
		case "another's", "a broken one", "broken, no hit", "not mine, no hit":
			args = append(args[:len(args)-1], d.file, args[len(args)-1])
		case "none of mine", "no file":
		default:
			args = append(args, d.file)
		}
		code, out, errs := run(t, args...)
		if code != c.code || len(c.out) == 0 && out != "" || !strings.Contains(errs, c.err) {
			t.Errorf("%s: %d %q %s", name, code, out, errs)
		}
		rest := out
		for _, want := range c.out {
			_, after, ok := strings.Cut(rest, want)
			if !ok {
				t.Errorf("%s lacks %q: %q", name, want, out)
			}
			rest = after
		}
		if strings.Contains(out, "\x1b") {
			t.Errorf("%s: an escape comes through: %q", name, out)
		}
	}
	code, out, errs := run(t, "recordings", "search", "--key", d.key, "--signer", d.signer, "--json", "-C", "1", "-e", "sw.l+ow", d.file)
	var hit hitInfo
	if err := json.Unmarshal([]byte(out), &hit); err != nil || code != 0 {
		t.Fatalf("%d %v %s%s", code, err, out, errs)
	}
	if hit.Session != testSession || hit.File != d.file || hit.At != 62 || hit.Match != "swallow" || len(hit.Before) != 1 || hit.Person != "alice@example.com" {
		t.Errorf("%+v", hit)
	}
}

// library is a server with the recordings of one desk under many sessions.
type library struct {
	catalogue
	files map[string][]byte
}

func (l library) Download(_ context.Context, req *connect.Request[apiv1.DownloadRequest], stream *connect.ServerStream[apiv1.DownloadResponse]) error {
	data := l.files[req.Msg.Session]
	return stream.Send(&apiv1.DownloadResponse{Data: data, Total: int64(len(data))})
}

// Many recordings on the server are searched at once, and what they have comes in their order.
func TestSearchServer(t *testing.T) {
	shelf := library{newCatalogue(30, time.Now().Add(-time.Minute)), map[string][]byte{}}
	d := deskOf(t, nil)
	for i, r := range shelf.all {
		output := strings.Repeat(fmt.Sprintf("line %d\n", i), 400) // more than wait
		data, err := os.ReadFile(sealAs(t, r.Session, ran("cat", output), d.key+".pub").file)
		if err != nil {
			t.Fatal(err)
		}
		shelf.files[r.Session] = data
	}
	home := signedHome(t, shelf)
	code, out, errs := runIn(t, home, "recordings", "search", "line", "--key", d.key, "--signer", d.signer, "--parallel", "5", "--json", "--limit", "20")
	if code != 0 || !strings.Contains(errs, "Only the newest 20") {
		t.Fatalf("%d %s", code, errs)
	}
	n := 0
	for line := range strings.Lines(out) {
		var hit hitInfo
		if err := json.Unmarshal([]byte(line), &hit); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("line %d", n/400); hit.Text != want || hit.Session != shelf.all[n/400].Session {
			t.Fatalf("hit %d is %q in %s", n, hit.Text, hit.Session)
		}
		n++
	}
	if n != 20*400 {
		t.Errorf("%d hits", n)
	}
	// A recording that is not the one that was asked for is not searched.
	shelf.files[shelf.all[3].Session] = shelf.files[shelf.all[4].Session]
	if code, _, errs := runIn(t, home, "recordings", "search", "line 4", "--key", d.key, "--signer", d.signer); code != 2 || !strings.Contains(errs, "Not valid: it is of session") {
		t.Errorf("another session's: %d %s", code, errs)
	}
}

// A search that did not come to search anything is not one that found nothing.
func TestSearchFails(t *testing.T) {
	d := newDesk(t, "a swallow")
	for name, args := range map[string][]string{
		"not signed in": {"--key", d.key, "--signer", d.signer},
		"no key":        {"--key", "gone.key", "--signer", d.signer, d.file},
		"no signer":     {"--key", d.key, "--signer", "x", d.file},
	} {
		if code, out, errs := run(t, append([]string{"recordings", "search", "swallow"}, args...)...); code != 2 || out != "" || !strings.HasPrefix(errs, "sekisho: ") {
			t.Errorf("%s: %d %q %s", name, code, out, errs)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := &app{ctx: ctx, in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	if code := a.main([]string{"--home", t.TempDir(), "recordings", "search", "x", "--key", d.key, "--signer", d.signer, d.file}); code != 130 {
		t.Errorf("interrupted: %d", code)
	}
}

// Without --key the only private key of the key folder is taken; with none, or two, it must be said which.
func TestSearchWithTheOnlyKey(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	searching := func(d desk) (int, string) {
		code, out, errs := runIn(t, home, "recordings", "search", "swallow", "--signer", d.signer, d.file)
		return code, out + errs
	}
	if code, words := searching(deskOf(t, nil)); code != 2 || !strings.Contains(words, "there is no private key in ") {
		t.Errorf("no key: %d %s", code, words)
	}
	for _, name := range []string{"one", "two"} {
		if code, _, errs := runIn(t, home, "keys", "generate", name, "--no-passphrase"); code != 0 {
			t.Fatal(errs)
		}
		if name == "one" {
			d := seal(t, ran("cat", "a swallow\n"), filepath.Join(home, "keys", "one.pub"))
			if code, words := searching(d); code != 0 || !strings.Contains(words, "> a swallow") || !strings.Contains(words, "--key one ") {
				t.Errorf("one key: %d %s", code, words)
			}
		}
	}
	if code, words := searching(deskOf(t, nil)); code != 2 || !strings.Contains(words, "one, two are in ") {
		t.Errorf("two keys: %d %s", code, words)
	}
}

func TestShow(t *testing.T) {
	d := deskOf(t, ran("uptime", "up\n"))
	code, out, errs := run(t, "recordings", "show", d.file, "--key", d.key, "--signer", d.signer)
	for _, want := range []string{"Person      alice@example.com\n", "Lasts       1:00:00.000\n", "Commands    1\n", "Opens with  rk_"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d lacks %q: %s%s", code, want, out, errs)
		}
	}
	data, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.file, data[:len(data)-70], 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, "recordings", "show", d.file, "--key", d.key, "--signer", d.signer); code != 1 || !strings.Contains(out, "Commands    1\n") || !strings.Contains(errs, "is cut") {
		t.Errorf("cut: %d %s%s", code, out, errs)
	}
	if code, out, errs := run(t, "recordings", "commands", d.file, "--key", d.key, "--signer", d.signer); code != 1 || !strings.Contains(out, "uptime") || !strings.Contains(errs, "is cut") {
		t.Errorf("commands of a cut one: %d %s%s", code, out, errs)
	}
}

// Whoever reads the hits has enough, or the person breaks off: nothing goes on reading.
func TestSearchBreaksOff(t *testing.T) {
	d := deskOf(t, ran("cat", strings.Repeat("line\n", 10000)))
	args := []string{"--home", t.TempDir(), "recordings", "search", "line", "--key", d.key, "--signer", d.signer, "--parallel", "2", d.file, d.file, d.file, d.file}
	ctx, cancel := context.WithCancel(t.Context())
	for name, out := range map[string]io.Writer{
		"head":   failing{&fs.PathError{Op: "write", Path: "|1", Err: syscall.EPIPE}},
		"ctrl-c": writer(func([]byte) { cancel() }),
	} {
		before := goleak.IgnoreCurrent()
		a := &app{ctx: ctx, in: strings.NewReader(""), out: out, err: io.Discard}
		if code := a.main(args); code == 0 {
			t.Errorf("%s: %d", name, code)
		}
		goleak.VerifyNone(t, before)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }
