package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/store/db"
)

const origin = "sekisho.example/audit"

// testKey is the same in every process of a test.
var testKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func openStore(t testing.TB, dir string) *db.DB {
	t.Helper()
	store, err := db.Open(context.Background(), filepath.Join(dir, "sekisho.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func config(store audit.Store) audit.Config {
	return audit.Config{Store: store, Signer: testKey, Origin: origin, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
}

func openLog(t testing.TB, store audit.Store) *audit.Log {
	t.Helper()
	l, err := audit.Open(context.Background(), config(store))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func event(n int) *sekisho.Event {
	return &sekisho.Event{
		Kind: sekisho.EventDecision, Actor: "alice@example.com", Target: fmt.Sprintf("web%d", n%5), Login: "root",
		Decision: &sekisho.Decision{Effect: sekisho.Allow, Policies: []string{"ops"}}, Detail: map[string]string{"n": fmt.Sprint(n)},
	}
}

// fill appends n events, a few at a time so that there are several checkpoints.
func fill(t testing.TB, l *audit.Log, n int) {
	t.Helper()
	for i := 0; i < n; {
		var evs []*sekisho.Event
		for range min(7, n-i) {
			evs = append(evs, event(i))
			i++
		}
		if err := l.Append(context.Background(), evs...); err != nil {
			t.Fatal(err)
		}
	}
}

// export gives the export file.
func export(t testing.TB, l *audit.Log) []byte {
	t.Helper()
	var file bytes.Buffer
	checkpoint, err := l.Export(context.Background(), 0, func(lines [][]byte) error {
		for _, line := range lines {
			file.Write(line)
			file.WriteByte('\n')
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	trailer, err := audit.Trailer(checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	file.Write(trailer)
	return file.Bytes()
}

func verify(t testing.TB, l *audit.Log, file []byte, older ...string) audit.Report {
	t.Helper()
	report, err := audit.Verify(bytes.NewReader(file), l.VerifierKey(), older...)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func wantError(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Fatalf("error is %v, want %q", err, want)
	}
}

func wantTampered(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, audit.ErrTampered) {
		t.Fatalf("error is %v, want one that wraps ErrTampered", err)
	}
}

// tamper runs statements on the database as mallory would.
func tamper(t testing.TB, dir string, statements ...string) {
	t.Helper()
	raw, err := sql.Open("sqlite", filepath.Join(dir, "sekisho.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, s := range statements {
		res, err := raw.Exec(s)
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := res.RowsAffected(); n == 0 {
			t.Fatalf("%s changed nothing", s)
		}
	}
}
