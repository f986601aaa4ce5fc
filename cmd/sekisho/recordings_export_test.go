package main

import (
	"bytes"
	"crypto/ecdh"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sekisho/sekisho/recording"
)

func TestExportFormats(t *testing.T) {
	d := newDesk(t, "hello\r\n")
	dir := t.TempDir()
	public, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "log.pub")
	if err := os.WriteFile(to, []byte(base64.StdEncoding.EncodeToString(public.PublicKey().Bytes())), 0o600); err != nil {
		t.Fatal(err)
	}
	export := func(args ...string) (int, string, string) {
		return run(t, append([]string{"recordings", "export", d.file, "--key", d.key, "--signer", d.signer}, args...)...)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want string // in stdout of a success, in stderr of a refusal
	}{
		"v3":                 {[]string{"--format", "asciicast-v3"}, 0, `[1.000000, "o"`},
		"channel":            {[]string{"--channel", "0"}, 0, "hello"},
		"no channel":         {[]string{"--channel", "7"}, 1, "no channel 7"},
		"no channel, file":   {[]string{"--channel", "7", "-o", filepath.Join(dir, "none")}, 1, "no channel 7"},
		"no channel, script": {[]string{"--format", "script", "--channel", "7", "-o", filepath.Join(dir, "none")}, 1, "no channel 7"},
		"channel of all":     {[]string{"--format", "json", "--channel", "0"}, 2, "--channel"},
		"script to stdout":   {[]string{"--format", "script"}, 2, "-o FILE"},
		"ssh-log, no key":    {[]string{"--format", "ssh-log", "-o", filepath.Join(dir, "none")}, 2, "--to"},
		"ssh-log to stdout":  {[]string{"--format", "ssh-log", "--to", to}, 2, "-o FILE"},
		"ssh-log, wrong key": {[]string{"--format", "ssh-log", "--to", d.key + ".pub", "-o", filepath.Join(dir, "none")}, 1, "ssh-log-cli"},
		"ssh-log, no shell":  {[]string{"--format", "ssh-log", "--to", to, "-o", filepath.Join(dir, "none")}, 1, "cannot express"},
		"a key for a cast":   {[]string{"--to", to}, 2, "--to"},
		"an unknown format":  {[]string{"--format", "gif"}, 2, "asciicast-v3"},
	} {
		code, out, errs := export(c.args...)
		text := out
		if c.code != 0 {
			text = errs
		}
		if code != c.code || !strings.Contains(strings.ReplaceAll(text, `,"o"`, `, "o"`), c.want) {
			t.Errorf("%s: %d %q %s", name, code, out, errs)
		}
	}
	for _, format := range []string{"script", "script-multi"} {
		path := filepath.Join(dir, format)
		if code, out, errs := export("--format", format, "-o", path); code != 0 || out != "" {
			t.Errorf("%s: %d %s %s", format, code, out, errs)
		}
		times, err := os.ReadFile(path + ".timing")
		if err != nil || !strings.Contains(string(times), "1.000000 7\n") {
			t.Errorf("%s: %q %v", format, times, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 5 {
		t.Errorf("left behind: %v", left)
	}
}

// Of a session with several programs one goes into a cast, and the others are named.
func TestExportTellsOfOthers(t *testing.T) {
	var entries []recording.Entry
	for n := range uint32(3) {
		entries = append(entries, recording.Entry{Kind: recording.Exec, Channel: n + 1, Data: []byte("true")})
	}
	d := deskOf(t, entries)
	const told = "Only the first channel was written. There are programs on channels 1, 2, 3: --channel N.\n"
	if code, _, errs := run(t, "recordings", "export", d.file, "--key", d.key, "--signer", d.signer); code != 0 || errs != told {
		t.Errorf("%d %s", code, errs)
	}
	if code, _, errs := run(t, "recordings", "export", d.file, "--key", d.key, "--signer", d.signer, "--channel", "2"); code != 0 || errs != "" {
		t.Errorf("%d %s", code, errs)
	}
}

// Of a recording without an end it is said once how far it goes, whatever reads it.
func TestOpenEnd(t *testing.T) {
	d := deskOf(t, ran("uptime", "up\n"))
	whole, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	short, _ := cutAt(t, whole, 4) // with the output
	if err := os.WriteFile(d.file, short, 0o600); err != nil {
		t.Fatal(err)
	}
	with := []string{"--key", d.key, "--signer", d.signer}
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"play", d.file, "--speed", "100000"}, 1}, {[]string{"commands", d.file}, 1}, {[]string{"commands", d.file, d.file}, 1},
		{[]string{"export", d.file, "--format", "text"}, 1}, {[]string{"export", d.file}, 1}, {[]string{"search", "up", d.file}, 0},
	} {
		code, out, errs := run(t, slices.Concat([]string{"recordings"}, c.args, with)...)
		times := strings.Count(strings.Join(c.args, " "), d.file)
		if code != c.code || !strings.Contains(out, "up") || strings.Count(errs, "0:01:02.000 of the session (") != times {
			t.Errorf("%q: %d %s%s", c.args, code, out, errs)
		}
	}
}

// The first channel with a program is the same to play and export; what is missing is told.
func TestFirstProgram(t *testing.T) {
	d := deskOf(t, []recording.Entry{
		{Kind: recording.Forward, Channel: 1, Data: []byte(`{"type":"direct-tcpip"}`)},
		{Kind: recording.Exec, Channel: 2, Data: []byte("date")},
		{Kind: recording.Output, Channel: 2, Data: []byte("today\n")},
		{Kind: recording.Lost, Data: recording.Loss{Bytes: 70, Why: "slow"}.Encode()},
	})
	for _, command := range []string{"play", "export"} {
		code, out, errs := run(t, "recordings", command, d.file, "--key", d.key, "--signer", d.signer)
		if code != 0 || !strings.Contains(out, "today") || strings.Count(errs, "missing from this recording: 70.") != 1 {
			t.Errorf("%s: %d %q %s", command, code, out, errs)
		}
	}
}
