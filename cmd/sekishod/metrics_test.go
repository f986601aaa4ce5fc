package main

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/sekisho/sekisho/gateway"
)

// The figures have the names that docs/operating.md lists, and their endings.
func TestMetrics(t *testing.T) {
	var log strings.Builder
	h := &house{cfg: &Config{MetricsListen: "127.0.0.1:0"}, log: slog.New(slog.NewTextHandler(&log, nil)), gateway: &gateway.Gateway{}}
	l, server, err := h.openMetrics()
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	defer server.Close()
	res, err := http.Get("http://" + l.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	for _, line := range []string{"sekisho_sessions 0", "# TYPE sekisho_sessions gauge", "sekisho_recording_ahead_bytes 0", "sekisho_recording_ahead_bytes_max 0",
		"# TYPE sekisho_recording_lost_bytes_total counter", "sekisho_recording_failures_total 0", "process_open_fds ", "go_goroutines "} {
		if !strings.Contains(string(body), "\n"+line) {
			t.Errorf("no line %q", line)
		}
	}
	if log.Len() > 0 {
		t.Errorf("warned: %s", &log)
	}
	page, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, figures := range figuresOf {
		for _, f := range figures(h) {
			if !strings.Contains(string(page), "| `sekisho_"+f.name+"` |") {
				t.Errorf("docs/operating.md has no row for sekisho_%s", f.name)
			}
			if f.total != strings.HasSuffix(f.name, "_total") {
				t.Errorf("%s: what only grows ends in _total, and nothing else", f.name)
			}
		}
	}
}

func TestMetricsElsewhereWarn(t *testing.T) {
	var log strings.Builder
	h := &house{cfg: &Config{MetricsListen: ":0"}, log: slog.New(slog.NewTextHandler(&log, nil)), gateway: &gateway.Gateway{}}
	l, server, err := h.openMetrics()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	server.Close()
	if !strings.Contains(log.String(), "not on loopback") {
		t.Errorf("logged %q", &log)
	}
	h.cfg.MetricsListen = ""
	if l, _, err := h.openMetrics(); l != nil || err != nil {
		t.Errorf("opened without being asked: %v", err)
	}
}
