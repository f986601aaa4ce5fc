package policy_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/policy"
)

var update = flag.Bool("update", false, "write the golden files")

// Every testdata/*.cedar is wrong in one or more ways; its .golden file says in which.
func TestLoadErrors(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.cedar")
	if err != nil || len(paths) < 10 {
		t.Fatalf("found %d test files: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".cedar"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			set, err := policy.Load([]policy.File{{Name: filepath.Base(path), Text: text}})
			var loadError *policy.LoadError
			if !errors.As(err, &loadError) || set != nil {
				t.Fatalf("Load = %v, %v, want a LoadError and no set", set, err)
			}
			golden := strings.TrimSuffix(path, ".cedar") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(err.Error()+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), loadError.Error()+"\n"); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// The page for administrators names every annotation that Load knows.
func TestDocsNameEveryAnnotation(t *testing.T) {
	page, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, err = policy.Load([]policy.File{{Name: "x.cedar", Text: []byte(`@id("x") @nonsense("") permit (principal, action, resource);`)}})
	_, known, found := strings.Cut(fmt.Sprint(err), "known are ")
	keys := strings.Fields(known)
	if !found || len(keys) < 15 {
		t.Fatalf("Load gives %v", err)
	}
	for _, key := range keys {
		if !strings.Contains(string(page), "| `"+key+"` |") && key != "@id" {
			t.Errorf("docs/policy.md has no row for %s", key)
		}
	}
}
