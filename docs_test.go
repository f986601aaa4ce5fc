package sekisho_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// tree gives every file below the root with that ending, what git does not keep left out.
func tree(t *testing.T, ending string) []string {
	t.Helper()
	out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*"+ending).Output()
	if err != nil {
		t.Skipf("no git work tree: %v", err)
	}
	var files []string
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		if _, err := os.Stat(name); err == nil {
			files = append(files, name)
		}
	}
	if len(files) == 0 {
		t.Fatalf("no *%s here", ending)
	}
	return files
}

// Every key of the configuration files stands in the administrators' page and in the samples.
func TestDocsNameEveryKey(t *testing.T) {
	page := read(t, "docs/operating.md")
	key := regexp.MustCompile("`yaml:\"([a-z_]+)\"`")
	for source, sample := range map[string]string{
		"cmd/sekishod/config.go":          "examples/sekishod.yaml",
		"cmd/sekisho-connector/config.go": "examples/connector.yaml",
	} {
		text := read(t, sample)
		for _, m := range key.FindAllStringSubmatch(read(t, source), -1) {
			if !regexp.MustCompile("`([a-z_]+\\.)?" + m[1] + "[.`]").MatchString(page) {
				t.Errorf("docs/operating.md does not name %s of %s", m[1], source)
			}
			if !strings.Contains(text, m[1]+":") {
				t.Errorf("%s does not have %s", sample, m[1])
			}
		}
	}
}

// Every relative link of every page leads to a file, and to a heading in it where it names one.
func TestDocsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range tree(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			file := page
			if path != "" {
				file = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
				continue
			}
			if anchor != "" && !headings(read(t, file))[anchor] {
				t.Errorf("%s links to %s: there is no such heading", page, m[1])
			}
		}
	}
}

// headings gives the anchors of a page as GitHub makes them.
func headings(text string) map[string]bool {
	all := make(map[string]bool)
	for line := range strings.Lines(text) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		title = regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
		all[strings.ReplaceAll(title, " ", "-")] = true
	}
	return all
}

// What docs/security.md says is tested is tested: the tests and stories that it names exist.
func TestDocsNameRealTests(t *testing.T) {
	var tests strings.Builder
	for _, file := range tree(t, "_test.go") {
		tests.WriteString(read(t, file))
	}
	for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(read(t, "docs/security.md"), -1) {
		if !strings.Contains(tests.String(), "\nfunc "+m[1]+"(") {
			t.Errorf("docs/security.md names %s, which is not there", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`([a-z-]+\\.txtar)`").FindAllStringSubmatch(read(t, "docs/security.md"), -1) {
		if _, err := fs.Stat(os.DirFS("e2e/testdata"), m[1]); err != nil {
			t.Errorf("docs/security.md names the story %s: %v", m[1], err)
		}
	}
}

// The messages that the pages explain are messages of the programs, word for word.
func TestDocsQuoteRealMessages(t *testing.T) {
	var code strings.Builder
	for _, file := range tree(t, ".go") {
		if !strings.HasSuffix(file, "_test.go") {
			code.WriteString(read(t, file))
		}
	}
	foreign := map[string]bool{"unknown field": true} // said by the YAML library
	quote := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
	for _, page := range []string{"docs/operating.md", "docs/using.md"} {
		_, section, found := strings.Cut(read(t, page), "\n## What errors mean\n")
		if !found {
			t.Errorf("%s explains no errors", page)
		}
		for _, m := range quote.FindAllStringSubmatch(section, -1) {
			if !foreign[m[1]] && !strings.Contains(code.String(), m[1]) {
				t.Errorf("%s explains %q, which no program says", page, m[1])
			}
		}
	}
}

// Every kind of event stands in the auditors' page.
func TestDocsNameEveryEvent(t *testing.T) {
	page := read(t, "docs/auditing.md")
	for _, m := range regexp.MustCompile(`(?m)^\tEvent\w+ += "([a-z._-]+)"`).FindAllStringSubmatch(read(t, "event.go"), -1) {
		if !strings.Contains(page, "`"+m[1]+"`") {
			t.Errorf("docs/auditing.md does not name the event %s", m[1])
		}
	}
}
