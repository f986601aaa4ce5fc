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
	if code != 0 || len(lines) != 4 || strings.Contains(out, "\x1b") {
		t.Fatalf("%d %q %s", code, out, errs)
	}
	for _, want := range []string{"1199 ", "decision", "alice", "root@web1", "deny night", "a=2 z=1 reason=Not at night. error=a?[31m"} {
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
	for _, args := range [][]string{{"--since", "soon"}, {"--since=-1h"}, {"--limit", "0"}} {
		if code, _, errs = ar.run(t, append([]string{"list"}, args...)...); code != 2 {
			t.Errorf("%v: %d %s", args, code, errs)
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
