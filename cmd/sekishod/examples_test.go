package main

import (
	"path/filepath"
	"testing"

	"github.com/sekisho/sekisho/policy"
)

// The samples that docs/operating.md starts from are good as they stand.
func TestSamples(t *testing.T) {
	cfg, err := LoadConfig(filepath.Join("..", "..", "examples", "sekishod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := readPolicies(cfg.Policies)
	if err != nil {
		t.Fatal(err)
	}
	set, err := policy.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	if len(set.Policies()) == 0 {
		t.Errorf("no policies in %s", cfg.Policies)
	}
}
