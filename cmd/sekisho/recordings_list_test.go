package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
)

// catalogue is a server with many recordings, newest first, an hour between them.
type catalogue struct {
	apiv1connect.UnimplementedRecordingServiceHandler
	all   []*apiv1.Recording
	calls *int
}

// numbered is the ID of a session.
func numbered(i int) string {
	return "ses_" + strings.Map(func(r rune) rune { return 'a' + r - '0' }, fmt.Sprintf("%026d", i))
}

func newCatalogue(n int, newest time.Time) catalogue {
	states := []string{"open", "closed", "interrupted"}
	a := catalogue{calls: new(int)}
	for i := range n {
		a.all = append(a.all, &apiv1.Recording{
			Session: numbered(i), Person: "mei@example.com", Target: "db1", State: states[i%3],
			Started: timestamppb.New(newest.Add(-time.Duration(i) * time.Hour)),
		})
	}
	return a
}

func (a catalogue) List(_ context.Context, req *connect.Request[apiv1.ListRecordingsRequest]) (*connect.Response[apiv1.ListRecordingsResponse], error) {
	*a.calls++
	begun := req.Msg.Before == ""
	res := &apiv1.ListRecordingsResponse{}
	for _, r := range a.all {
		if begun && len(res.Recordings) < int(req.Msg.Limit) {
			res.Recordings = append(res.Recordings, r)
		}
		begun = begun || r.Session == req.Msg.Before
	}
	return connect.NewResponse(res), nil
}

// signedHome is the home of somebody who has signed in at a server that serves recordings so.
func signedHome(t *testing.T, service apiv1connect.RecordingServiceHandler) string {
	t.Helper()
	path, handler := apiv1connect.NewRecordingServiceHandler(service)
	mux := http.NewServeMux()
	mux.Handle(path, handler)
	return homeAt(t, mux)
}

// homeAt is the home of somebody who has signed in at a server.
func homeAt(t *testing.T, mux *http.ServeMux) string {
	t.Helper()
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	home := filepath.Join(t.TempDir(), "home")
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	files := map[string]any{
		"config.json": map[string]any{"url": server.URL, "ca": string(ca)},
		"signin.json": map[string]any{"token": "sin_x.y", "id": "sin_x", "subject": "mei@example.com", "expires": time.Now().Add(time.Hour)},
	}
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, v := range files {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return home
}

// runIn is one command line of somebody whose home is given.
func runIn(t *testing.T, home string, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{ctx: t.Context(), in: strings.NewReader(""), out: &stdout, err: &stderr}
	code = a.main(append([]string{"--home", home}, args...))
	return code, stdout.String(), stderr.String()
}

func TestListFilters(t *testing.T) {
	newest := time.Now().Add(-time.Minute).Truncate(time.Second)
	shelf := newCatalogue(2500, newest)
	home := signedHome(t, shelf)
	at := func(hours int) string { return newest.Add(-time.Duration(hours) * time.Hour).Format(time.RFC3339) }
	for name, c := range map[string]struct {
		args        []string
		first, last string
		many, calls int
	}{
		"all that fit":     {nil, numbered(0), numbered(49), 50, 1},
		"three pages":      {[]string{"--limit", "2200"}, numbered(0), numbered(2199), 2200, 3},
		"since":            {[]string{"--since", at(3)}, numbered(0), numbered(3), 4, 1},
		"until":            {[]string{"--until", at(2400), "--limit", "9"}, numbered(2401), numbered(2409), 9, 3},
		"since and until":  {[]string{"--until", at(7), "--since", at(9)}, numbered(8), numbered(9), 2, 1},
		"state":            {[]string{"--state", "closed", "--limit", "700"}, numbered(1), numbered(2098), 700, 3},
		"before":           {[]string{"--before", numbered(2498)}, numbered(2499), numbered(2499), 1, 1},
		"nothing so young": {[]string{"--since", "1s"}, "", "", 0, 1},
	} {
		*shelf.calls = 0
		code, out, errs := runIn(t, home, append([]string{"recordings", "list", "--json"}, c.args...)...)
		var got []recordingInfo
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
			t.Errorf("%s: %d %v %s", name, code, err, errs)
			continue
		}
		if len(got) != c.many || *shelf.calls != c.calls {
			t.Errorf("%s: %d recordings in %d calls", name, len(got), *shelf.calls)
		} else if c.many > 0 && (got[0].Session != c.first || got[len(got)-1].Session != c.last) {
			t.Errorf("%s: %s to %s", name, got[0].Session, got[len(got)-1].Session)
		}
	}
	if _, _, errs := runIn(t, home, "recordings", "list", "--limit", "2499"); !strings.Contains(errs, "There are more: give --before "+numbered(2498)) {
		t.Errorf("of more is said: %s", errs)
	}
	for _, wrong := range [][]string{{"--until", "soon"}, {"--since", "x"}, {"--state", "lost"}, {"--limit", "0"}, {"--session", "web1"}} {
		if code, _, errs := runIn(t, home, append([]string{"recordings", "list"}, wrong...)...); code != 2 || !strings.Contains(errs, wrong[0]) {
			t.Errorf("%v: %d %s", wrong, code, errs)
		}
	}
}
