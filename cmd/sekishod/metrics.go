package main

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/store/spool"
)

// figure is one number that Prometheus reads.
type figure struct {
	name, help string
	// total says that it only ever grows.
	total bool
	read  func() int64
}

func (f figure) collector() prometheus.Collector {
	opts := prometheus.Opts{Namespace: "sekisho", Name: f.name, Help: f.help}
	read := func() float64 { return float64(f.read()) }
	if f.total {
		return prometheus.NewCounterFunc(prometheus.CounterOpts(opts), read)
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts), read)
}

// figuresOf are what each part of the house has to tell.
var figuresOf = []func(*house) []figure{
	func(h *house) []figure { return sessionFigures(h.gateway) },
	func(h *house) []figure { return recordingFigures(h.gateway.Meter()) },
	func(h *house) []figure { return spoolFigures(h.spool) },
}

func sessionFigures(g *gateway.Gateway) []figure {
	return []figure{{name: "sessions", help: "Sessions that are open, those at the pass door among them.", read: func() int64 { return int64(g.Open()) }}}
}

func recordingFigures(m *gateway.Meter) []figure {
	return []figure{
		{name: "recording_ahead_bytes", help: "Bytes that people were shown and whose recording is not durable yet. 0 where all policies are strict.", read: m.Ahead},
		{name: "recording_ahead_bytes_max", help: "The most that sekisho_recording_ahead_bytes has been since the start.", read: m.AheadMax},
		{name: "recording_lost_bytes_total", help: "Bytes that people were shown, or typed, and that no recording holds although a policy says so.", total: true, read: m.Lost},
		{name: "recording_failures_total", help: "Recordings that could not be opened, could not go on, or have gaps.", total: true, read: m.Failures},
	}
}

func spoolFigures(s *spool.Spool) []figure {
	stat := func(of func(spool.Stats) int64) func() int64 { return func() int64 { return of(s.Stats()) } }
	return []figure{
		{name: "recording_syncs_total", help: "How often the disk was asked to make something durable.", total: true, read: stat(func(s spool.Stats) int64 { return s.Syncs })},
		{name: "recording_batches_total", help: "Writes to the journal, each for all sessions that waited.", total: true, read: stat(func(s spool.Stats) int64 { return s.Batches })},
		{name: "recording_journal_bytes", help: "Bytes on the disk that the journal takes.", read: stat(func(s spool.Stats) int64 { return s.JournalBytes })},
		{name: "recording_spool_bytes", help: "Bytes of recordings that the store does not have yet.", read: stat(func(s spool.Stats) int64 { return s.Bytes })},
		{name: "recording_segments_waiting", help: "Segments that are closed and not stored yet.", read: stat(func(s spool.Stats) int64 { return int64(s.Waiting) })},
		{name: "recording_store_failures_total", help: "Attempts to store a segment that failed.", total: true, read: stat(func(s spool.Stats) int64 { return s.UploadFailures })},
		{name: "recording_disk_stuck", help: "Operations of the disk that have not come back in time.", read: stat(func(s spool.Stats) int64 { return s.Stuck })},
	}
}

// metrics serves the figures, and those of the process, at /metrics.
func (h *house) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, figures := range figuresOf {
		for _, f := range figures(h) {
			registry.MustRegister(f.collector())
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: maxScrapes, ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelWarn)}))
	return mux
}

// Bounds on whoever reads figures.
const (
	maxScrapes = 4 // at once
	scrapeTime = 10 * time.Second
)

// openMetrics opens the listener for figures; both are nil where the configuration names none.
func (h *house) openMetrics() (net.Listener, *http.Server, error) {
	if h.cfg.MetricsListen == "" {
		return nil, nil, nil
	}
	l, err := net.Listen("tcp", h.cfg.MetricsListen)
	if err != nil {
		return nil, nil, err
	}
	if at, err := netip.ParseAddrPort(l.Addr().String()); err != nil || !at.Addr().Unmap().IsLoopback() {
		h.log.Warn("metrics_listen is not on loopback: whoever reaches it reads the figures, in the clear", "listen", l.Addr().String())
	}
	return l, &http.Server{Handler: h.metrics(), ReadTimeout: scrapeTime, WriteTimeout: scrapeTime, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug)}, nil
}
