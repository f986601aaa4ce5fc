package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/client"
	"github.com/sekisho/sekisho/store/db"
)

// archive is a server with an audit log, and an auditor's home that has signed in to it.
type archive struct {
	apiv1connect.UnimplementedAuditServiceHandler
	log       *audit.Log
	data, url string
	home, ca  string
	calls     int
}

func newArchive(t *testing.T, events int) *archive {
	t.Helper()
	ar := &archive{home: filepath.Join(t.TempDir(), "home")}
	ar.restart(t, events, 1)
	mux := http.NewServeMux()
	mux.Handle(apiv1connect.NewAuditServiceHandler(ar))
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	ar.url = server.URL
	ar.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	if err := os.Mkdir(ar.home, 0o700); err != nil {
		t.Fatal(err)
	}
	ar.login(t)
	ar.write(t, "signin.json", client.SignIn{Token: "sin_a.b", ID: "sin_a", Expires: time.Now().Add(time.Hour)})
	return ar
}

// restart gives the server a new log with the key of that number.
func (ar *archive) restart(t *testing.T, events int, key byte) {
	t.Helper()
	ar.data = filepath.Join(t.TempDir(), "sekisho.db")
	store, err := db.Open(t.Context(), ar.data)
	if err != nil {
		t.Fatal(err)
	}
	ar.log, err = audit.Open(t.Context(), audit.Config{
		Store: store, Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{key}, 32)), Origin: "example/audit",
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ar.log.Close(); store.Close() })
	ar.append(t, events)
}

func (ar *archive) append(t *testing.T, events int) {
	t.Helper()
	for range events {
		if err := ar.log.Append(t.Context(), &sekisho.Event{
			Kind: sekisho.EventDecision, Actor: "alice", Target: "web1", Login: "root", Error: "a\x1b[31m",
			Decision: &sekisho.Decision{Effect: sekisho.Deny, Policies: []string{"night"}, Reason: "Not at night."},
			Detail:   map[string]string{"z": "1", "a": "2"},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// login is what a login leaves behind about the server.
func (ar *archive) login(t *testing.T) {
	ar.write(t, "config.json", client.Config{URL: ar.url, CA: ar.ca, AuditKey: ar.log.VerifierKey()})
}

func (ar *archive) write(t *testing.T, name string, v any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(filepath.Join(ar.home, name), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (ar *archive) run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	a := &app{ctx: t.Context(), in: strings.NewReader(""), out: &stdout, err: &stderr}
	code = a.main(append([]string{"--home", ar.home, "audit"}, args...))
	return code, stdout.String(), stderr.String()
}

func (ar *archive) List(ctx context.Context, req *connect.Request[apiv1.ListEventsRequest]) (*connect.Response[apiv1.ListEventsResponse], error) {
	ar.calls++
	m := req.Msg
	q := sekisho.EventQuery{Kind: m.Kind, Actor: m.Actor, Target: m.Target, Session: m.Session, Before: m.Before, Limit: int(m.Limit)}
	if m.Since != nil {
		q.Since = m.Since.AsTime()
	}
	lines, err := ar.log.Query(ctx, q)
	return connect.NewResponse(&apiv1.ListEventsResponse{Events: lines}), err
}

func (ar *archive) Export(ctx context.Context, req *connect.Request[apiv1.ExportRequest], stream *connect.ServerStream[apiv1.ExportResponse]) error {
	checkpoint, err := ar.log.Export(ctx, req.Msg.From, func(lines [][]byte) error {
		return stream.Send(&apiv1.ExportResponse{Events: lines})
	})
	if err != nil {
		return connect.NewError(connect.CodeDataLoss, errors.New(sekisho.Say(err)))
	}
	return stream.Send(&apiv1.ExportResponse{Checkpoint: checkpoint})
}

func TestAuditList(t *testing.T) {
	ar := newArchive(t, 1200)
	code, out, errs := ar.run(t, "list", "--limit", "2")
	lines := strings.Split(out, "\n")
	if !strings.Contains(errs, "Only the newest are shown, 2; more with --limit.") {
		t.Errorf("nothing is said of more: %q", errs)
	}
	if code != 0 || len(lines) != 4 || strings.Contains(out, "\x1b") {
		t.Fatalf("%d %q %s", code, out, errs)
	}
	for _, want := range []string{"1199 ", "decision", "alice", "root@web1", "deny night", `a=2 z=1 reason="Not at night." error="a\x1b[31m"`} {
		if !strings.Contains(lines[1], want) {
			t.Errorf("%q lacks %q", lines[1], want)
		}
	}
	code, out, errs = ar.run(t, "list", "--json", "--limit", "5000", "--since", "1h", "--actor", "alice", "--kind", "decision")
	got := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	want, err := ar.log.Query(t.Context(), sekisho.EventQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if code != 0 || len(got) != 1200 || got[0] != string(want[0]) || !strings.HasPrefix(got[1199], `{"seq":0,`) || ar.calls != 3 {
		t.Errorf("%d, %d lines in %d calls, %s", code, len(got), ar.calls, errs)
	}
	for _, args := range [][]string{{"--actor", "mallory"}, {"--since", "2099-01-01"}, {"--kind", "session."}} {
		if code, out, errs = ar.run(t, append([]string{"list"}, args...)...); code != 0 || strings.Count(out, "\n") != 1 {
			t.Errorf("%v: %d %q %s", args, code, out, errs)
		}
	}
	for _, args := range [][]string{{"--since", "soon"}, {"--since=-1h"}, {"--limit", "0"}, {"--kind", "foo"}, {"--kind", "session"}} {
		if code, _, errs = ar.run(t, append([]string{"list"}, args...)...); code != 2 {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}

// What comes through a session is told with it, and what came through another is not.
func TestAuditListInside(t *testing.T) {
	ar := newArchive(t, 1)
	for _, ev := range []sekisho.Event{
		{Kind: sekisho.EventVisit, Session: "vis_a"},
		{Kind: sekisho.EventSessionStarted, Session: "ses_b", Actor: "mei", Login: "root", Target: "db1", Detail: map[string]string{"parent": "vis_a"}},
		{Kind: sekisho.EventSessionRefused, Session: "ses_c", Actor: "mei x", Login: "root", Target: "db2", Detail: map[string]string{"parent": "vis_a"}},
		{Kind: sekisho.EventSessionStarted, Session: "ses_d", Target: "db1", Detail: map[string]string{"parent": "ses_b"}},
		{Kind: sekisho.EventSessionEnded, Session: "ses_b"},
		{Kind: sekisho.EventSessionStarted, Session: "ses_e", Target: "db1", Detail: map[string]string{"parent": "vis_z"}},
	} {
		if err := ar.log.Append(t.Context(), &ev); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]string{
		"vis_a": "Through it came mei to root@db1: sekisho audit list --session ses_b\n" +
			"Through it came \"mei x\" to root@db2: sekisho audit list --session ses_c\n",
		"ses_b": "Through it came  to @db1: sekisho audit list --session ses_d\n",
		"ses_d": "", "ses_none": "",
	} {
		if code, out, errs := ar.run(t, "list", "--session", id); code != 0 || errs != want || strings.Contains(out, "Through") {
			t.Errorf("%s: %d %q, want %q", id, code, errs, want)
		}
	}
}

// Nothing that a person typed can look like another field.
func TestWhat(t *testing.T) {
	for want, detail := range map[string]map[string]string{
		`command="true; x session=ses_fake why=forged" channel=0`: {"channel": "0", "command": "true; x session=ses_fake why=forged"},
		`command="\"quoted\"" value=""`:                           {"command": `"quoted"`, "value": ""},
		`operation=upload path=/a to=/b bytes=3 result=ok sha256=0123456789ab z=1 channel=0 protocol=sftp seconds=1`: {
			"seconds": "1", "protocol": "sftp", "channel": "0", "z": "1", "sha256": "0123456789abcdef", "result": "ok", "bytes": "3", "to": "/b",
			"path": "/a", "operation": "upload"},
	} {
		if got := what(&sekisho.Event{Detail: detail}); got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

func TestQuoted(t *testing.T) {
	for s, want := range map[string]string{
		"/srv/a-b_c.d,e:1;$(x)": "/srv/a-b_c.d,e:1;$(x)", "報告書1": "報告書1", "": `""`, "a b": `"a b"`, "a=b": `"a=b"`, `a"b`: `"a\"b"`, `"`: `"\""`, `a\`: `"a\\"`,
		"a\nb": `"a\nb"`, "a\x1b[2J": `"a\x1b[2J"`, "a\u009b2J": `"a\u009b2J"`, "a\u202eb": `"a\u202eb"`, "a\u2066b": `"a\u2066b"`, "a\u00a0b": `"a\u00a0b"`,
		"a\u2028b": `"a\u2028b"`, "a\u200bb": `"a\u200bb"`, "a\u3164b": `"a\u3164b"`, "a\u2800b": `"a\u2800b"`, "\u0301a": `"\u0301a"`, "e\u0301": "\"e\u0301\"",
		"a…": `"a…"`, "a＝b": `"a＝b"`, "\xff": `"�"`,
	} {
		if got := quoted(s); got != want {
			t.Errorf("%q: %s, not %s", s, got, want)
		}
	}
}

// Whatever the words of an event are, its row reads in one way only and holds nothing that a terminal obeys.
func FuzzEventRow(f *testing.F) {
	f.Add("x actor=admin", "a\n9  2026-11-22  decision  admin")
	f.Add(`"`, "\x1b[1A\u202e\u0301")
	f.Add(`\`, `a" actor="admin`)
	f.Fuzz(func(t *testing.T, a, b string) {
		row := eventRow(&sekisho.Event{Kind: a, Actor: b, Login: a, Target: b, Session: a, Error: b, ClientAddress: a,
			Decision: &sekisho.Decision{Effect: sekisho.Effect(a), Policies: []string{b}, Reason: a}, Detail: map[string]string{"path": b, "to": a}})
		for _, s := range row {
			if plain(s) != s {
				t.Errorf("%q would steer a terminal", s)
			}
		}
		word := "(?:[^ =\"'`\\\\]+|\"(?:[^\"\\\\]|\\\\.)*\")"
		for i, form := range map[int]string{2: "(?:W)?", 3: "(?:W)?", 4: "W", 5: "(?:W)?(?: ?W)?", 6: "path=W to=W(?: (?:reason|error|session|from)=W)*"} {
			if !regexp.MustCompile("^" + strings.ReplaceAll(form, "W", word) + "$").MatchString(row[i]) {
				t.Errorf("%q is not of the form %s", row[i], form)
			}
		}
	})
}

// What a refusal says to the person and to the log is told once.
func TestRefusedOnce(t *testing.T) {
	for cause, want := range map[string]string{
		"Not at night.":       `reason="Not at night."`,
		"Not at night.: late": `reason="Not at night." error=late`,
		"Not at night.x":      `reason="Not at night." error="Not at night.x"`,
		"elsewhere":           `reason="Not at night." error=elsewhere`,
	} {
		ev := &sekisho.Event{Kind: sekisho.EventSessionRefused, Error: cause, Decision: &sekisho.Decision{Effect: sekisho.Deny, Reason: "Not at night."}}
		if got := what(ev); got != want {
			t.Errorf("%s: %s, not %s", cause, got, want)
		}
	}
	if got := what(&sekisho.Event{Error: "a", Decision: &sekisho.Decision{}}); got != "error=a" {
		t.Error(got)
	}
}

func TestEventKinds(t *testing.T) {
	source, err := os.ReadFile("../../event.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^\tEvent\w+ += "([^"]+)"`).FindAllStringSubmatch(string(source), -1) {
		if err := checkKind(m[1]); err != nil {
			t.Error(err)
		}
	}
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 30, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"": {}, "90m": now.Add(-90 * time.Minute), "7d": now.AddDate(0, 0, -7), "2026-11-20": time.Date(2026, 11, 20, 0, 0, 0, 0, time.Local),
		"2026-11-20T01:02:03Z": time.Date(2026, 11, 20, 1, 2, 3, 0, time.UTC),
	} {
		if got, err := parseSince(s, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v %v", s, got, err)
		}
	}
	for _, s := range []string{"d", "1.5d", "7dd", "-7d", "yesterday", "2026-13-01"} {
		if got, err := parseSince(s, now); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

func TestAuditVerify(t *testing.T) {
	ar := newArchive(t, 30)
	code, out, errs := ar.run(t, "verify")
	if code != 0 || !strings.HasPrefix(out, "30 events, root ") || !strings.Contains(out, "signed by example/audit: nothing was changed.") ||
		strings.Contains(out, "before") {
		t.Fatalf("%d %q %s", code, out, errs)
	}
	ar.append(t, 5)
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	if code, out, errs = ar.run(t, "export", "-o", file); code != 0 || out != "" || !strings.Contains(errs, "35 events") {
		t.Fatalf("%d %q %s", code, out, errs)
	}
	if code, out, errs = ar.run(t, "verify", file); code != 0 || !strings.Contains(out, "begins with all that was seen") {
		t.Errorf("%d %q %s", code, out, errs)
	}
	ar.append(t, 5)
	if code, out, errs = ar.run(t, "verify"); code != 0 || !strings.HasPrefix(out, "40 events") || !strings.Contains(out, "begins with all") {
		t.Errorf("%d %q %s", code, out, errs)
	}
	if code, out, errs = ar.run(t, "verify", file); code != 0 || !strings.Contains(out, "35 events") || !strings.Contains(out, "since grown: 40") {
		t.Errorf("an older file: %d %q %s", code, out, errs)
	}
	// A file and a key are all that somebody else needs.
	if code, out, errs = run(t, "audit", "verify", file, "--key", ar.log.VerifierKey()); code != 0 || !strings.Contains(out, "35 events") {
		t.Errorf("elsewhere: %d %q %s", code, out, errs)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	edited := bytes.Join(append(append([][]byte{}, lines[:12]...), lines[13:]...), nil)
	if err := os.WriteFile(file, edited, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs = ar.run(t, "verify", file); code != 1 || out != "" || !strings.Contains(errs, "line 12 is not where it should be") {
		t.Errorf("an edited file: %d %q %s", code, out, errs)
	}
}

// Mallory edits a row: the server's own export names the line, and keeps what came before it.
func TestAuditVerifyRow(t *testing.T) {
	ar := newArchive(t, 30)
	raw, err := sql.Open("sqlite", ar.data)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec(`UPDATE audit_leaves SET line = replace(line, 'deny', 'allow') WHERE seq = 17`); err != nil {
		t.Fatal(err)
	}
	code, out, errs := ar.run(t, "verify")
	if code != 1 || out != "" || !strings.Contains(errs, "Line 17 of the audit log was changed after it was written.") {
		t.Errorf("%d %q %s", code, out, errs)
	}
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	if code, _, errs = ar.run(t, "export", "-o", file); code != 1 || !strings.Contains(errs, "Line 17") {
		t.Errorf("export: %d %s", code, errs)
	}
	if text, err := os.ReadFile(file); err != nil || bytes.Count(text, []byte("\n")) != 17 {
		t.Errorf("%d lines were kept, %v", bytes.Count(text, []byte("\n")), err)
	}
}

// Mallory owns the server and its keys. Who has seen the log before is not deceived.
func TestAuditVerifyRewritten(t *testing.T) {
	ar := newArchive(t, 30)
	if code, _, errs := ar.run(t, "verify"); code != 0 {
		t.Fatal(errs)
	}
	ar.restart(t, 10, 1)
	if code, _, errs := ar.run(t, "verify"); code != 1 || !strings.Contains(errs, "the log was cut") {
		t.Errorf("cut: %d %s", code, errs)
	}
	ar.append(t, 25)
	if code, _, errs := ar.run(t, "verify"); code != 1 || !strings.Contains(errs, "the first 30 lines are not those of the checkpoint seen before") {
		t.Errorf("rewritten: %d %s", code, errs)
	}
	ar.restart(t, 40, 2)
	if code, _, errs := ar.run(t, "verify"); code != 1 || !strings.Contains(errs, "is not as it was written") {
		t.Errorf("other key: %d %s", code, errs)
	}
	ar.login(t) // and the auditor logs in again
	if code, _, errs := ar.run(t, "verify"); code != 1 || !strings.Contains(errs, "now names "+ar.log.VerifierKey()) {
		t.Errorf("other key, named: %d %s", code, errs)
	}
	if code, out, errs := ar.run(t, "verify", "--key", ar.log.VerifierKey()); code != 0 { // the administrator confirms it
		t.Errorf("other key, given: %d %s %s", code, out, errs)
	}
	if code, _, errs := ar.run(t, "verify"); code != 0 {
		t.Errorf("other key, remembered: %d %s", code, errs)
	}
	if err := os.WriteFile(filepath.Join(ar.home, "audit.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := ar.run(t, "verify"); code != 1 || !strings.Contains(errs, "audit.json") {
		t.Errorf("memory damaged: %d %s", code, errs)
	}
}
