package transfer_test

import "testing"

// realPrograms leaves a test out of short runs, because it starts hundreds of real programs and this test binary beside
// each. `make test` runs them without the race detector, and everything else under it.
func realPrograms(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real programs: run without -short")
	}
}
