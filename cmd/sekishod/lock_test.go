package main

import (
	"strings"
	"testing"
)

// TestOneOnTheData: a second sekishod must not start beside the first, which may be recording.
func TestOneOnTheData(t *testing.T) {
	dir := t.TempDir()
	first, err := lockData(dir)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := lockData(dir); err == nil {
		second.Close()
		t.Fatal("two hold the same folder")
	} else if !strings.Contains(err.Error(), "another sekishod is running on "+dir) {
		t.Errorf("got %q", err)
	}
	first.Close()
	again, err := lockData(dir)
	if err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	again.Close()
}
