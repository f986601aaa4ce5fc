package transfer_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/transfer"
)

// What is opened is told before its handle is delivered, so that nothing of a file is seen that nobody knows of.
func TestSFTPTellsWhatBegins(t *testing.T) {
	var order []string
	w := transfer.NewSFTP([]sekisho.FileLimit{{}}, transfer.Outlet{
		Target: func([]byte) error { return nil },
		User:   func(p []byte, _ bool) error { order = append(order, "answer"); return nil },
		Tell: func(op transfer.Operation) error {
			order = append(order, op.Name+" "+op.Path+" "+op.Result)
			return nil
		},
		Begin: func(op transfer.Operation) error {
			order = append(order, "begin "+op.Name+" "+op.Path+" "+op.Result)
			return nil
		},
		Clock: func() time.Duration { return 0 },
	})
	take := func(f func([]byte) error, p []byte) {
		t.Helper()
		if err := f(p); err != nil {
			t.Fatal(err)
		}
	}
	take(w.FromUser, hello)
	take(w.FromTarget, welcome)
	take(w.FromUser, pkt(pOpen, 1, "/f", oRead, noAttrs))
	take(w.FromTarget, pkt(pHandle, 1, "h"))
	take(w.FromUser, pkt(pOpen, 2, "/g", oRead, noAttrs))
	take(w.FromTarget, status(2, 2, "No such file"))
	take(w.FromUser, pkt(pClose, 3, "h"))
	take(w.FromTarget, ok(3))
	want := []string{"answer", "begin open /f opened", "answer", "open /g no such file", "answer", "open /f ok", "answer"}
	if !slices.Equal(order, want) {
		t.Errorf("%q", order)
	}
}
