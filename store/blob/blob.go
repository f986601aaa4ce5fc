// Package blob keeps sealed recordings where they stay: in a folder, or in a bucket of an S3 store.
//
// A recording is one object for each of its segments, and a manifest that tells what there is. Segments are written
// once and whole; the manifest is overwritten as segments come. Nothing of an object can be seen before all of it is
// durable, and what cannot be stored leaves what was there before. Names are checked, so that none leads elsewhere.
// Nobody here tries again: whoever calls knows how long an object may wait.
package blob

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/sekisho/sekisho"
)

// Store keeps objects. All methods may be called at once from many goroutines.
type Store interface {
	// Put stores size bytes of r under the name, in place of what is there. When it returns nil they are durable.
	Put(ctx context.Context, name string, r io.Reader, size int64) error
	// Get reads an object from the offset on, and tells the size of the whole. At the offset of its end there is
	// nothing to read; one beyond is an error. Absence wraps sekisho.ErrNotFound.
	Get(ctx context.Context, name string, offset int64) (io.ReadCloser, int64, error)
	// Size tells the size of an object. Absence wraps sekisho.ErrNotFound.
	Size(ctx context.Context, name string) (int64, error)
	// List tells what is stored, sorted by name: all, or what is of one session with the prefix "SESSION/".
	List(ctx context.Context, prefix string) ([]Object, error)
}

// Object is a stored one.
type Object struct {
	Name string
	Size int64 // bytes
}

func sorted(all []Object) []Object {
	slices.SortFunc(all, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Linker is a Store that can take over a file of the same file system without copying it.
type Linker interface {
	// Link stores the file under the name, as Put does. The file must be durable, and nobody may write to it again.
	// The error wraps errors.ErrUnsupported where only Put will do.
	Link(ctx context.Context, name, path string) error
}

// MaxSegment is the highest number of a segment.
const MaxSegment = 999_999

const (
	segmentEnd   = ".seg"
	manifestName = "manifest.json"
)

// Segment is the name of a segment of a recording, the first being 0: SESSION/000000.seg.
func Segment(session string, n int) string { return fmt.Sprintf("%s/%06d%s", session, n, segmentEnd) }

// Manifest is the name of a recording's manifest: SESSION/manifest.json.
func Manifest(session string) string { return session + "/" + manifestName }

// ParseName takes a name apart: which session, and which segment, or -1 for the manifest.
func ParseName(name string) (session string, segment int, err error) {
	session, last, _ := strings.Cut(name, "/")
	if sekisho.CheckID("ses", session) {
		if last == manifestName {
			return session, -1, nil
		}
		digits, ok := strings.CutSuffix(last, segmentEnd)
		if n, err := strconv.ParseUint(digits, 10, 32); ok && err == nil && n <= MaxSegment && Segment(session, int(n)) == name {
			return session, int(n), nil
		}
	}
	return "", 0, fmt.Errorf("%.80q is not the name of a segment or a manifest", name)
}

// checkPrefix takes nothing for all, or SESSION/.
func checkPrefix(prefix string) error {
	session, ok := strings.CutSuffix(prefix, "/")
	if prefix != "" && (!ok || !sekisho.CheckID("ses", session)) {
		return fmt.Errorf("%.80q is not the name of a session and a slash", prefix)
	}
	return nil
}
