package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
	"github.com/sekisho/sekisho/recording"
)

// lying is a server that lists one recording as it likes, and sends what it likes.
type lying struct {
	apiv1connect.UnimplementedRecordingServiceHandler
	listed *apiv1.Recording
	data   []byte
}

func (a lying) List(context.Context, *connect.Request[apiv1.ListRecordingsRequest]) (*connect.Response[apiv1.ListRecordingsResponse], error) {
	return connect.NewResponse(&apiv1.ListRecordingsResponse{Recordings: []*apiv1.Recording{a.listed}}), nil
}

func (a lying) Download(_ context.Context, _ *connect.Request[apiv1.DownloadRequest], stream *connect.ServerStream[apiv1.DownloadResponse]) error {
	return stream.Send(&apiv1.DownloadResponse{Data: a.data, Total: int64(len(a.data))})
}

// cutAt gives the first n frames of a recording, and the chain up to there.
func cutAt(t *testing.T, data []byte, n int64) ([]byte, string) {
	t.Helper()
	for size := len(data) - 64; size > 0; size-- { // without the signature
		e, err := recording.Intact(bytes.NewReader(data[:size]))
		if err == nil && e.Frames == n && e.Bytes == int64(size) {
			return data[:size], e.Chain
		}
	}
	t.Fatalf("there are no %d frames", n)
	return nil, ""
}

// What the server noted of an interrupted recording tells whether it was cut again.
func TestVerifyInterrupted(t *testing.T) {
	d := newDesk(t, "hello\r\n")
	whole, err := os.ReadFile(d.file)
	if err != nil {
		t.Fatal(err)
	}
	noted, chain := cutAt(t, whole, 3)
	shorter, before := cutAt(t, whole, 2)
	extent, err := recording.Intact(bytes.NewReader(whole))
	if err != nil {
		t.Fatal(err)
	}
	const asNoted = "That is as far as it was noted"
	for name, c := range map[string]struct {
		state, chain string
		data         []byte
		want         string
	}{
		"as noted":        {"interrupted", chain, noted, asNoted},
		"as noted, torn":  {"interrupted", chain, whole[:len(noted)+3], asNoted},
		"cut again":       {"interrupted", chain, shorter, "Not valid"},
		"longer":          {"interrupted", before, noted, "Not valid"},
		"closed":          {"interrupted", chain, whole, "Not valid"},
		"not yet noted":   {"interrupted", "", noted, "not yet how far"},
		"cut, was closed": {"closed", extent.Chain, noted, "What comes before is in order"},
		"other was noted": {"closed", chain, whole, "Not valid"},
	} {
		listed := &apiv1.Recording{Session: testSession, State: c.state, Chain: c.chain}
		home := signedHome(t, lying{listed: listed, data: c.data})
		for _, more := range [][]string{nil, {"--key", d.key}} {
			code, out, errs := runIn(t, home, append([]string{"recordings", "verify", testSession, "--signer", d.signer}, more...)...)
			if code != 1 || out != "" || !strings.Contains(errs, c.want) || (c.want != asNoted && strings.Contains(errs, asNoted)) {
				t.Errorf("%s %v: %d %s%s", name, more, code, out, errs)
			}
		}
	}
	// The same of a file, with the chain from the audit log.
	path := filepath.Join(t.TempDir(), "x.rec")
	for name, c := range map[string]struct {
		data  []byte
		chain string
		code  int
		want  string
	}{
		"as noted":  {noted, strings.ToUpper(chain), 1, asNoted},
		"cut again": {shorter, chain, 1, "Not valid"},
		"whole":     {whole, extent.Chain, 0, "as was given"},
		"other":     {whole, hex.EncodeToString(make([]byte, 32)), 1, "Not valid"},
	} {
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		code, out, errs := run(t, "recordings", "verify", path, "--signer", d.signer, "--chain", c.chain)
		if code != c.code || !strings.Contains(out+errs, c.want) {
			t.Errorf("file %s: %d %s%s", name, code, out, errs)
		}
	}
	if code, _, errs := run(t, "recordings", "verify", testSession, "--signer", d.signer, "--chain", chain); code != 2 {
		t.Errorf("--chain of a session: %d %s", code, errs)
	}
}

// A session that the server lists is no way to have a file read that lies here.
func TestListedSessionIsNoFile(t *testing.T) {
	d := newDesk(t, "a secret of this machine\r\n")
	home := signedHome(t, lying{listed: &apiv1.Recording{Session: d.file}})
	for _, args := range [][]string{
		{"recordings", "search", "secret", "--key", d.key, "--signer", d.signer}, {"recordings", "list"}, {"recordings", "list", "--json"},
	} {
		code, out, errs := runIn(t, home, args...)
		if code == 0 || strings.Contains(out, "secret") || !strings.Contains(errs, "no session's ID") {
			t.Errorf("%v: %d %s%s", args, code, out, errs)
		}
	}
}

// A download ends where the server said it would.
func TestDownloadWithoutEnd(t *testing.T) {
	home := signedHome(t, endless{})
	dir := t.TempDir()
	code, _, errs := runIn(t, home, "recordings", "download", testSession, "-o", filepath.Join(dir, "x.rec"))
	if left, _ := os.ReadDir(dir); code != 1 || !strings.Contains(errs, "more than the 10 bytes") || len(left) != 0 {
		t.Errorf("%d %s, left behind: %v", code, errs, left)
	}
}

type endless struct{ lying }

func (endless) Download(_ context.Context, _ *connect.Request[apiv1.DownloadRequest], stream *connect.ServerStream[apiv1.DownloadResponse]) error {
	for {
		if err := stream.Send(&apiv1.DownloadResponse{Data: make([]byte, 7), Total: 10}); err != nil {
			return err
		}
	}
}

// JSON is as safe on a terminal as tables are.
func TestJSONIsSafe(t *testing.T) {
	hostile := "a\u009b31mb\u202ec\x7fd\U000e0041e\x1b[2Jf関"
	home := signedHome(t, lying{listed: &apiv1.Recording{Session: testSession, Target: hostile}})
	code, out, errs := runIn(t, home, "recordings", "list", "--json")
	var got []recordingInfo
	if err := json.Unmarshal([]byte(out), &got); code != 0 || err != nil || got[0].Target != hostile {
		t.Fatalf("%d %v %s%s", code, err, out, errs)
	}
	if plain(strings.ReplaceAll(out, "\n", " ")) != strings.ReplaceAll(out, "\n", " ") || !strings.Contains(out, "関") {
		t.Errorf("%q", out)
	}
}

// Nor does what a server says of its failures steer a terminal.
func TestErrorsAreSafe(t *testing.T) {
	home := signedHome(t, mumbling{})
	for _, args := range [][]string{{"recordings", "list"}, {"recordings", "download", testSession, "-o", "-"}, {"recordings", "verify", testSession}} {
		code, _, errs := runIn(t, home, args...)
		if code == 0 || strings.ContainsAny(errs, "\x1b\u009b\a") {
			t.Errorf("%v: %d %q", args, code, errs)
		}
	}
}

type mumbling struct{ lying }

var errHostile = connect.NewError(connect.CodeInternal, errors.New("a\x1b]52;c;x\ab\u009b31mc\nsecond"))

func (mumbling) List(context.Context, *connect.Request[apiv1.ListRecordingsRequest]) (*connect.Response[apiv1.ListRecordingsResponse], error) {
	return nil, errHostile
}

func (mumbling) Download(context.Context, *connect.Request[apiv1.DownloadRequest], *connect.ServerStream[apiv1.DownloadResponse]) error {
	return errHostile
}
