package control_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/audit"
)

func (h *house) recording(size int) (session string, sealed []byte) {
	h.t.Helper()
	session, sealed = sekisho.NewID("ses"), make([]byte, size)
	rand.Read(sealed)
	h.files[session] = sealed
	err := h.db.SaveRecording(h.t.Context(), &sekisho.Recording{
		Session: sekisho.Session{ID: session, Identity: sekisho.Identity{Subject: "dora@example.com"}, Target: "db1", Login: "postgres", Started: h.now()},
		State:   sekisho.RecordingClosed, Ended: h.now().Add(time.Minute), Bytes: int64(size), Recipients: []string{"k"},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return session, sealed
}

func (d *device) download(session string) (data []byte, total int64, err error) {
	s, err := d.Recording.Download(d.house.t.Context(), connect.NewRequest(&apiv1.DownloadRequest{Session: session}))
	if err != nil {
		return nil, 0, err
	}
	defer s.Close()
	for s.Receive() {
		total += s.Msg().Total
		data = append(data, s.Msg().Data...)
	}
	return data, total, s.Err()
}

func TestRecordings(t *testing.T) {
	h := newHouse(t)
	session, sealed := h.recording(700_000)
	empty, _ := h.recording(0)
	aud, alice := h.signIn("aud@example.com", "auditors"), h.signIn("alice@example.com", "ops")

	res, err := aud.Recording.List(t.Context(), connect.NewRequest(&apiv1.ListRecordingsRequest{Person: "dora@example.com", Target: "db1"}))
	if err != nil || len(res.Msg.Recordings) != 2 || res.Msg.Recordings[0].Login != "postgres" {
		t.Fatalf("got %v, %v", res, err)
	}
	data, total, err := aud.download(session)
	if err != nil || total != int64(len(sealed)) || !bytes.Equal(data, sealed) {
		t.Errorf("got %d bytes of %d, %v", len(data), total, err)
	}
	if data, _, err := aud.download(empty); err != nil || len(data) != 0 {
		t.Errorf("empty: %d bytes, %v", len(data), err)
	}
	if ev := h.events(sekisho.EventRecordingRead); len(ev) != 2 || ev[1].Session != session || ev[1].Actor != "aud@example.com" {
		t.Errorf("noted %+v", ev)
	}

	_, _, err = alice.download(session)
	wantCode(t, "not permitted", err, connect.CodePermissionDenied)
	_, err = alice.Recording.List(t.Context(), connect.NewRequest(&apiv1.ListRecordingsRequest{}))
	wantCode(t, "not permitted", err, connect.CodePermissionDenied)
	if ev := h.events(sekisho.EventDecision); len(ev) != 2 || ev[0].Detail["action"] != "readRecordings" {
		t.Errorf("noted %+v", ev)
	}
	for _, bad := range []string{"", "../../etc/passwd", "ses_", session + "/.."} {
		_, _, err = aud.download(bad)
		wantCode(t, bad, err, connect.CodeInvalidArgument)
	}
	_, _, err = aud.download(sekisho.NewID("ses"))
	wantCode(t, "unknown", err, connect.CodeNotFound)
	for _, limit := range []int32{-1, 1001} {
		_, err = aud.Recording.List(t.Context(), connect.NewRequest(&apiv1.ListRecordingsRequest{Limit: limit}))
		wantCode(t, "limit", err, connect.CodeInvalidArgument)
	}
}

func TestAudit(t *testing.T) {
	h := newHouse(t)
	aud, alice := h.signIn("aud@example.com", "auditors"), h.signIn("alice@example.com", "ops")
	if _, err := alice.connect("web1", "deploy"); err != nil {
		t.Fatal(err)
	}
	res, err := aud.Audit.List(t.Context(), connect.NewRequest(&apiv1.ListEventsRequest{Kind: "certificate", Actor: "alice@example.com"}))
	if err != nil || len(res.Msg.Events) != 1 {
		t.Fatalf("got %v, %v", res, err)
	}
	var ev sekisho.Event
	if err := json.Unmarshal(res.Msg.Events[0], &ev); err != nil || ev.Certificate.Principals[0] != "deploy:web1" {
		t.Errorf("got %s, %v", res.Msg.Events[0], err)
	}

	stream, err := aud.Audit.Export(t.Context(), connect.NewRequest(&apiv1.ExportRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	verifier := must(audit.NewVerifier(h.log.VerifierKey()))(t)
	var checkpoint string
	for stream.Receive() {
		for _, line := range stream.Msg().Events {
			if err := verifier.Add(line); err != nil {
				t.Fatal(err)
			}
		}
		checkpoint = stream.Msg().Checkpoint
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := verifier.Finish(checkpoint); err != nil {
		t.Error(err)
	}
	if ev := h.events(sekisho.EventDecision)[0]; ev.Detail["action"] != "readAudit" || ev.Actor != "aud@example.com" {
		t.Errorf("the export is not noted: %+v", ev)
	}

	_, err = alice.Audit.List(t.Context(), connect.NewRequest(&apiv1.ListEventsRequest{}))
	wantCode(t, "not permitted", err, connect.CodePermissionDenied)
	refused, err := alice.Audit.Export(t.Context(), connect.NewRequest(&apiv1.ExportRequest{}))
	wantCode(t, "not permitted", drained(refused, err), connect.CodePermissionDenied)
}

// A fault of ours is told without its cause, under an ID that leads to it in the log.
func TestFaultIsNotTold(t *testing.T) {
	h := newHouse(t)
	aud, session := h.signIn("aud@example.com", "auditors"), sekisho.NewID("ses")
	h.files[session] = nil
	_, _, err := aud.download(session)
	said := wantCode(t, "fault", err, connect.CodeInternal)
	id := regexp.MustCompile(`request ID is ([A-Z0-9]+)\.`).FindStringSubmatch(said)
	if strings.Contains(said, "fire") || id == nil {
		t.Fatalf("told: %s", said)
	}
	if !strings.Contains(h.logged.String(), "disk is on fire") || !strings.Contains(h.logged.String(), "request="+id[1]) {
		t.Errorf("logged: %s", h.logged)
	}
}
