package main

import (
	"log/slog"
	"path/filepath"
	"testing"
)

// The sample that docs/operating.md starts from is good as it stands.
func TestSample(t *testing.T) {
	cfg, err := LoadConfig(filepath.Join("..", "..", "examples", "connector.yaml"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Targets) != 1 || cfg.Targets[0].host == nil {
		t.Errorf("the sample has no target with an sshd: %+v", cfg.Targets)
	}
}
