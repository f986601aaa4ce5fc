package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
	"github.com/sekisho/sekisho/recording"
)

// objects reads JSON lines.
func objects(t *testing.T, out string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(out) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		all = append(all, o)
	}
	return all
}

// Each way in which a recording can be wrong has its verdict, and a place where it has one.
func TestVerifyJSON(t *testing.T) {
	d := newDesk(t, "hello\r\n")
	data, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	report, err := recording.Verify(bytes.NewReader(data), recording.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)).Public())
	if err != nil {
		t.Fatal(err)
	}
	whole := len(data) - ed25519.SignatureSize // up to the signature of the end
	cut, err := recording.Verify(bytes.NewReader(data[:whole]), recording.VerifyOptions{})
	if err == nil {
		t.Fatal("cut, and nothing is wrong")
	}
	changed := bytes.Clone(data)
	changed[whole+1] ^= 1
	inside := bytes.Clone(data)
	inside[len(data)-200] ^= 1
	fileOf := func(name string, b []byte) string {
		path := filepath.Join(t.TempDir(), name+".rec")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	other := newDesk(t, "x")
	for name, c := range map[string]struct {
		data    []byte
		args    []string
		verdict verdict
		problem string
		offset  any // nil: none
		frames  int
	}{
		"valid":              {data, nil, validVerdict, "", nil, int(report.Frames)},
		"valid, with key":    {data, []string{"--key", d.key}, validVerdict, "", nil, int(report.Frames)},
		"given":              {data, []string{"--chain", report.Chain}, validVerdict, "", nil, int(report.Frames)},
		"another chain":      {data, []string{"--chain", cut.Chain[:63] + "x"}, isInvalid, "Not valid: it goes up to chain", nil, int(report.Frames)},
		"cut":                {data[:whole], nil, isCut, "The recording is cut: it stops after", float64(whole), int(report.Frames)},
		"cut within a frame": {data[:whole-3], nil, isCut, "The recording is cut: it stops after", float64(-1), int(report.Frames) - 1},
		"interrupted":        {data[:whole], []string{"--chain", cut.Chain}, wasInterrupted, "That is as far as it was noted", float64(whole), int(report.Frames)},
		"signature changed":  {changed, nil, isInvalid, "Not valid: the signature at the end is wrong", float64(whole), int(report.Frames)},
		"changed, with key":  {inside, []string{"--key", d.key}, isInvalid, "Not valid: frame ", float64(-1), -1},
		"untrusted":          {data, []string{"--signer", string(ssh.MarshalAuthorizedKey(stranger))}, untrustedSigner, "not genuine: it is signed by SHA256:", nil, 0},
		"untrusted with key": {data, []string{"--key", d.key, "--signer", string(ssh.MarshalAuthorizedKey(stranger))}, untrustedSigner, "not genuine", nil, 0},
		"other key":          {data, []string{"--key", other.key}, unchecked, "Wrong key: ", nil, 0},
		"no recording":       {[]byte("hello, this is no recording"), nil, isInvalid, "Not valid: ", float64(0), 0},
		"empty":              {nil, nil, isInvalid, "no recording, or only the first bytes", float64(0), 0},
	} {
		args := []string{"recordings", "verify", fileOf("copy", c.data), "--json"}
		if !slices.Contains(c.args, "--signer") {
			args = append(args, "--signer", d.signer)
		}
		code, out, errs := run(t, append(args, c.args...)...)
		all := objects(t, out)
		if len(all) != 1 || (code == 0) != (c.verdict == validVerdict) || code > 1 || (errs == "") != (code == 0) {
			t.Fatalf("%s: %d %s%s", name, code, out, errs)
		}
		o := all[0]
		problem, _ := o["problem"].(string)
		if o["verdict"] != string(c.verdict) || o["file"] != args[2] || !strings.Contains(problem, c.problem) || (problem == "") != (c.problem == "") ||
			c.frames >= 0 && o["frames"] != float64(c.frames) || problem != "" && errs != "sekisho: "+problem+"\n" {
			t.Errorf("%s: %s", name, out)
		}
		if at, ok := o["offset"].(float64); c.offset == nil && ok || c.offset == float64(-1) && !(at > 0 && at < float64(len(c.data))) ||
			c.offset != nil && c.offset != float64(-1) && o["offset"] != c.offset {
			t.Errorf("%s: offset %v, want %v", name, o["offset"], c.offset)
		}
		if c.verdict == validVerdict && (o["session"] != testSession || o["segments"] != 1.0 || o["open_ended"] != false || o["trusted"] != true ||
			!strings.HasPrefix(o["signer"].(string), "SHA256:") || o["chain"] != report.Chain || o["bytes"] != float64(len(data)) || len(o["recipients"].([]any)) != 1) {
			t.Errorf("%s: %s", name, out)
		}
		if opened := slices.Contains(c.args, d.key) && c.verdict == validVerdict; o["opened"] != opened || opened && (o["person"] != "alice@example.com" || o["entries"] != 3.0 ||
			o["seconds"] != 3600.0 || o["end"] != "done") {
			t.Errorf("%s: %s", name, out)
		}
		if ended := c.verdict == validVerdict || name == "another chain"; o["open_ended"] == ended {
			t.Errorf("%s: open_ended %v", name, o["open_ended"])
		}
	}
}

// Several recordings are all looked at, whatever is wrong with the first.
func TestVerifySeveral(t *testing.T) {
	d := newDesk(t, "hello")
	missing := filepath.Join(t.TempDir(), "gone\x1b[2J.rec")
	code, out, errs := run(t, "recordings", "verify", missing, d.file, "--signer", d.signer)
	if code != 1 || out != d.file+": Valid and complete: session "+strings.SplitN(out, "session ", 2)[1] ||
		!strings.HasPrefix(errs, strings.ReplaceAll(missing, "\x1b", "?")+": There is no file ") || !strings.HasSuffix(errs, "\nsekisho: Not valid and complete: 1 of 2 recordings. See above.\n") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	code, out, errs = run(t, "recordings", "verify", missing, d.file, "--signer", d.signer, "--json")
	if all := objects(t, out); code != 1 || len(all) != 2 || all[0]["verdict"] != "unchecked" || all[0]["open_ended"] != true || all[1]["verdict"] != "valid" ||
		errs != "sekisho: Not valid and complete: 1 of 2 recordings. See above.\n" {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, out, errs := run(t, "recordings", "verify", d.file, d.file, "--signer", d.signer); code != 0 || strings.Count(out, "Valid and complete") != 2 || errs != "" {
		t.Errorf("%d %s%s", code, out, errs)
	}
	for _, args := range [][]string{{d.file, d.file}, {testSession}} {
		if code, _, errs := run(t, slices.Concat([]string{"recordings", "verify", "--signer", d.signer, "--chain", "aa"}, args)...); code != 2 || !strings.Contains(errs, "--chain is for one file") {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}

// still is a server on which the session of a recording still runs.
type still struct {
	apiv1connect.UnimplementedRecordingServiceHandler
	data []byte
}

func (s still) List(context.Context, *connect.Request[apiv1.ListRecordingsRequest]) (*connect.Response[apiv1.ListRecordingsResponse], error) {
	return connect.NewResponse(&apiv1.ListRecordingsResponse{Recordings: []*apiv1.Recording{
		{Session: testSession, State: "open", Started: timestamppb.New(time.Now())},
	}}), nil
}

func (s still) Download(_ context.Context, _ *connect.Request[apiv1.DownloadRequest], stream *connect.ServerStream[apiv1.DownloadResponse]) error {
	return stream.Send(&apiv1.DownloadResponse{Data: s.data, Total: int64(len(s.data)), Open: true})
}

func TestVerifyRunning(t *testing.T) {
	d := newDesk(t, "hello")
	data, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	home := signedHome(t, still{data: data[:len(data)-ed25519.SignatureSize]})
	code, out, errs := runIn(t, home, "recordings", "verify", testSession, "--signer", d.signer, "--json")
	o := objects(t, out)
	if code != 1 || len(o) != 1 || o[0]["verdict"] != "running" || o[0]["open_ended"] != true || o[0]["session"] != testSession || o[0]["file"] != nil || !strings.Contains(errs, "still runs") {
		t.Errorf("%d %s%s", code, out, errs)
	}
}
