// Package policy answers one question: may this person do this now, and within which limits?
//
// Administrators write Cedar (https://docs.cedarpolicy.com). Load reads their files, gives every policy the name
// of its @id, and checks it strictly against the embedded schema; whatever is wrong is told with file, line and
// column, all of it at once, and nothing is loaded. The Set that comes out never changes.
//
// Evaluate walks: a login the target does not have is denied before Cedar is asked → the few policies whose scope
// can match are looked up in an index → Cedar weighs them (a forbid outweighs every permit) → a policy that fails
// while it runs denies, for Cedar itself would skip it, a forbid included → permits that agree are folded into
// limits: what they give adds up, and of what they watch the strictest holds → a denial is put in words, naming the
// policy that would have let somebody else in and what to do about it.
//
// Limits come from the annotations of permits. Load refuses those that could not be held, such as limits on files beside
// a shell, and gives a permit that only the audit door can hold to its word, and that does not say how strictly, Audit strict by itself.
//
// The package is pure: text, request and time go in, a decision comes out. It does no I/O and has no clock.
package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
)

// Bounds of what Load takes.
const (
	maxFiles     = 1000
	maxFileBytes = 8 << 20
	maxPolicies  = 50_000
	// maxPolicyBytes bounds how deep an expression can be, and with it the stack that parsing it takes.
	maxPolicyBytes = 16 << 10
	maxNesting     = 100
	maxPath        = 16
	maxProblems    = 100
)

// File is one policy file: a name for messages, and Cedar text.
type File struct {
	Name string
	Text []byte
}

// Info describes one policy of a Set.
type Info struct {
	ID string
	// Effect is "permit" or "forbid".
	Effect string
	File   string
	// Line is where the policy starts, from 1.
	Line        int
	Annotations map[string]string
}

// Set is the policies in force. It never changes; any number of goroutines may use it.
type Set struct {
	policies []*rule // in the order of files and lines
	byID     map[string]*rule
	index    index
	digest   string
}

// Load reads, names and checks policies. Without any file the set denies everything. The error is a *LoadError.
func Load(files []File) (*Set, error) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	var trouble LoadError
	set := &Set{byID: map[string]*rule{}, digest: digest(files)}
	check, err := newChecker()
	if err != nil {
		trouble.add("schema", position{1, 1}, "%v", err)
		return nil, &trouble
	}
	if len(files) > maxFiles {
		trouble.add(files[maxFiles].Name, position{1, 1}, "too many files: at most %d are read", maxFiles)
		return nil, &trouble
	}
	for i, f := range files {
		if i > 0 && files[i-1].Name == f.Name {
			trouble.add(f.Name, position{1, 1}, "two files have this name")
			continue
		}
		for _, r := range check.file(f, &trouble) {
			set.take(r, &trouble)
		}
	}
	if len(trouble.Problems) > 0 {
		trouble.sort()
		return nil, &trouble
	}
	set.index = newIndex(set.policies)
	return set, nil
}

// take adds a policy unless its @id is taken.
func (s *Set) take(r *rule, trouble *LoadError) {
	if r.id == "" {
		return
	}
	if first, taken := s.byID[r.id]; taken {
		trouble.add(r.file, r.idAt, "@id(%q) is taken by the policy at %s:%d; every policy needs its own", r.id, first.file, first.at.line)
		return
	}
	if len(s.policies) == maxPolicies {
		trouble.add(r.file, r.at, "too many policies: at most %d are read", maxPolicies)
		return
	}
	s.byID[r.id] = r
	s.policies = append(s.policies, r)
}

// Digest is the hex SHA-256 of all files, names and texts, whatever the order they were given in.
func (s *Set) Digest() string { return s.digest }

// Policies describes the policies, in the order of file names and lines.
func (s *Set) Policies() []Info {
	out := make([]Info, len(s.policies))
	for i, r := range s.policies {
		out[i] = Info{ID: r.id, Effect: r.effect(), File: r.file, Line: r.at.line, Annotations: maps.Clone(r.annotations)}
	}
	return out
}

// digest hashes names and texts, each preceded by its length so that no two sets of files look alike.
func digest(files []File) string {
	h := sha256.New()
	var size [8]byte
	field := func(b []byte) {
		binary.BigEndian.PutUint64(size[:], uint64(len(b)))
		h.Write(size[:])
		h.Write(b)
	}
	for _, f := range files {
		field([]byte(f.Name))
		field(f.Text)
	}
	return hex.EncodeToString(h.Sum(nil))
}
