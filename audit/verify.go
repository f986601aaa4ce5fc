package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Report is what a verified log says about itself.
type Report struct {
	// Events is how many lines there are, Root the base64 root of their tree.
	Events int64
	Root   string
	// Signer is the name of the key that signed Checkpoint.
	Signer     string
	Checkpoint string
}

// BadLine says which line is the first that cannot be right.
type BadLine struct {
	// Seq is the sequence number that the line has or should have.
	Seq int64
	Why string
}

func (b *BadLine) Error() string { return fmt.Sprintf("line %d %s", b.Seq, b.Why) }

// Cut says that the log is shorter than it was when an older checkpoint was seen. An export file that was made before that
// may well be so.
type Cut struct {
	// Lines is how many there are, Seen how many the older checkpoint signs.
	Lines, Seen int64
}

func (c *Cut) Error() string {
	return fmt.Sprintf("the log was cut: it has %d lines, and the checkpoint seen before signs %d", c.Lines, c.Seen)
}

// Verifier checks a log from its first line on: Add every line in order, then Finish with the checkpoint.
type Verifier struct {
	key   note.Verifier
	older []tlog.Tree // by size, those still to come
	held  int64       // the size of the last older tree that held
	edge  edge
}

// NewVerifier makes a verifier for the log with that verifier key. The older checkpoints are ones that were seen before: the
// log must still begin with what they signed.
func NewVerifier(verifierKey string, older ...string) (*Verifier, error) {
	key, err := note.NewVerifier(verifierKey)
	if err != nil {
		return nil, fmt.Errorf("verifier key: %w", err)
	}
	v := &Verifier{key: key}
	for _, o := range older {
		tree, err := openCheckpoint(o, key)
		if err != nil {
			return nil, fmt.Errorf("older %w", err)
		}
		v.older = append(v.older, tree)
	}
	slices.SortFunc(v.older, func(a, b tlog.Tree) int { return cmp.Compare(a.N, b.N) })
	return v, v.checkOlder()
}

// Size is how many lines were added.
func (v *Verifier) Size() int64 { return v.edge.size }

// Add takes the next line, without its newline. The error is a *BadLine if the line cannot stand there.
func (v *Verifier) Add(line []byte) error {
	if err := checkLine(line, v.edge.size); err != nil {
		return err
	}
	v.edge.push(tlog.RecordHash(line), nil)
	return v.checkOlder()
}

// checkOlder holds the tree against the older checkpoints of its size.
func (v *Verifier) checkOlder() error {
	for len(v.older) > 0 && v.older[0].N == v.edge.size {
		if v.older[0].Hash != v.edge.root() {
			return fmt.Errorf("the first %d lines are not those of the checkpoint seen before: a line from %d to %d was changed",
				v.edge.size, v.held, v.edge.size-1)
		}
		v.held = v.edge.size
		v.older = v.older[1:]
	}
	return nil
}

// Finish checks that the signed checkpoint is of exactly the lines added. With a *Cut, and only then, the report holds beside
// the error.
func (v *Verifier) Finish(checkpoint string) (Report, error) {
	tree, err := openCheckpoint(checkpoint, v.key)
	if err != nil {
		return Report{}, err
	}
	switch n := v.edge.size; {
	case n < tree.N:
		return Report{}, &BadLine{n, fmt.Sprintf("is missing: the checkpoint signs %d lines", tree.N)}
	case n > tree.N:
		return Report{}, &BadLine{tree.N, fmt.Sprintf("is not signed: the checkpoint signs %d lines", tree.N)}
	}
	if root := v.edge.root(); root != tree.Hash {
		return Report{}, fmt.Errorf("the lines are not the signed ones: their root is %s, the checkpoint's is %s; a line from %d to %d was changed",
			root, tree.Hash, v.held, tree.N-1)
	}
	report := Report{Events: tree.N, Root: tree.Hash.String(), Signer: v.key.Name(), Checkpoint: checkpoint}
	if len(v.older) > 0 {
		return report, &Cut{Lines: tree.N, Seen: v.older[0].N}
	}
	return report, nil
}

// checkLine reports why the bytes cannot be the line with that number: it must be one compact JSON object that begins with
// its number and time.
func checkLine(line []byte, seq int64) error {
	rest, ok := bytes.CutPrefix(line, []byte(`{"seq":`))
	digits, _, found := bytes.Cut(rest, []byte(`,"time":"`))
	if !ok || !found || len(digits) > 19 {
		return &BadLine{seq, "does not begin as an event does"}
	}
	if string(digits) != strconv.FormatInt(seq, 10) {
		return &BadLine{seq, fmt.Sprintf("is not where it should be: seq %.20q stands there", digits)}
	}
	if len(line) > MaxLine {
		return &BadLine{seq, fmt.Sprintf("has %d bytes, at most %d", len(line), MaxLine)}
	}
	var compact bytes.Buffer
	compact.Grow(len(line))
	if err := json.Compact(&compact, line); err != nil {
		return &BadLine{seq, "is not JSON"}
	}
	if !bytes.Equal(compact.Bytes(), line) {
		return &BadLine{seq, "is not compact JSON"}
	}
	return nil
}

// trailer is the last line of an export file.
type trailer struct {
	Checkpoint string `json:"checkpoint"`
}

var trailerStart = []byte(`{"checkpoint":`)

// Trailer is the line, newline included, that ends an export file.
func Trailer(checkpoint string) ([]byte, error) {
	line, err := json.Marshal(trailer{checkpoint})
	if err != nil {
		return nil, fmt.Errorf("encode trailer: %w", err)
	}
	return append(line, '\n'), nil
}

// Verify checks an export file (FORMAT.md) offline. The older checkpoints are ones that were seen before. The error is or
// wraps a *BadLine when one line can be named; with a *Cut the report holds beside it.
func Verify(r io.Reader, verifierKey string, older ...string) (Report, error) {
	v, err := NewVerifier(verifierKey, older...)
	if err != nil {
		return Report{}, err
	}
	in := bufio.NewReaderSize(r, MaxLine+1)
	for {
		line, err := in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return Report{}, &BadLine{v.Size(), fmt.Sprintf("has more than %d bytes", MaxLine)}
		case errors.Is(err, io.EOF) && len(line) > 0:
			return Report{}, &BadLine{v.Size(), "is cut off"}
		case errors.Is(err, io.EOF):
			return Report{}, fmt.Errorf("the file ends after %d lines without a checkpoint", v.Size())
		case err != nil:
			return Report{}, fmt.Errorf("read line %d: %w", v.Size(), err)
		}
		line = line[:len(line)-1]
		if bytes.HasPrefix(line, trailerStart) {
			return finish(v, line, in)
		}
		if err := v.Add(line); err != nil {
			return Report{}, err
		}
	}
}

// finish reads the trailer and checks that nothing follows it.
func finish(v *Verifier, line []byte, in *bufio.Reader) (Report, error) {
	var t trailer
	if err := json.Unmarshal(line, &t); err != nil {
		return Report{}, fmt.Errorf("read trailer: %w", err)
	}
	if again, err := Trailer(t.Checkpoint); err != nil || !bytes.Equal(again[:len(again)-1], line) {
		return Report{}, errors.New("read trailer: it is not written as a trailer is")
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		return Report{}, errors.New("something follows the trailer")
	}
	return v.Finish(t.Checkpoint)
}
