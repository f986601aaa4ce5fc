package transfer_test

import (
	"os"
	"testing"
)

// A program under the race detector waits a second before it ends. Here they are hundreds, of which nobody asks for that.
func init() { os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0") }

// realPrograms leaves a test out of short runs, because it starts hundreds of real programs and this test binary beside
// each. `make test` runs them without the race detector, and everything else under it.
func realPrograms(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real programs: run without -short")
	}
}
