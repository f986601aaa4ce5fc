package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// position is a place in a file; line and column count from 1, columns in characters.
type position struct{ line, column int }

// Problem is one thing that is wrong with a policy file.
type Problem struct {
	File         string
	Line, Column int
	Text         string
}

func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Text)
}

// LoadError lists all that is wrong with the files, in the order of files and lines, at most 100 problems.
type LoadError struct {
	Problems []Problem
	// More is how many further problems there were.
	More int
}

// Error gives one problem a line: "prod.cedar:12:3: …".
func (e *LoadError) Error() string {
	lines := make([]string, 0, len(e.Problems)+1)
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	if e.More > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(lines, "\n")
}

func (e *LoadError) add(file string, at position, format string, args ...any) {
	if len(e.Problems) == maxProblems {
		e.More++
		return
	}
	text := printable(fmt.Sprintf(format, args...), 500)
	e.Problems = append(e.Problems, Problem{File: file, Line: at.line, Column: at.column, Text: text})
}

func (e *LoadError) sort() {
	slices.SortStableFunc(e.Problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// didYouMean gives ` (did you mean "labels"?)` when a known word is close to the unknown one, else nothing.
func didYouMean(unknown string, known []string) string {
	best, distance := "", 3
	for _, k := range slices.Sorted(slices.Values(known)) {
		if d := edits(strings.ToLower(unknown), strings.ToLower(k), distance); d < distance && 2*d < len(k)+1 {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// edits counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string
// alignment). Words whose lengths differ by limit or more are not looked at.
func edits(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next := make([]int, len(b)+1)
		next[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			next[j] = min(row[j]+1, next[j-1]+1, row[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}
