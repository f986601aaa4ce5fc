package control_test

import (
	"testing"

	"go.uber.org/goleak"
)

// Nothing that a call started outlives it.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
