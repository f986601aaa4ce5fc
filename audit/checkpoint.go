package audit

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// maxCheckpoint is how many bytes a checkpoint has at the most.
const maxCheckpoint = 8 << 10

// signCheckpoint makes the signed note over a tree: origin, size and root, a line each (c2sp.org/tlog-checkpoint).
func signCheckpoint(origin string, tree tlog.Tree, s note.Signer) (string, error) {
	text := origin + "\n" + strconv.FormatInt(tree.N, 10) + "\n" + tree.Hash.String() + "\n"
	msg, err := note.Sign(&note.Note{Text: text}, s)
	return string(msg), err
}

// openCheckpoint checks the signature and reads the tree. The origin must be the key's name.
func openCheckpoint(checkpoint string, v note.Verifier) (tlog.Tree, error) {
	if len(checkpoint) > maxCheckpoint {
		return tlog.Tree{}, errors.New("checkpoint is too long")
	}
	n, err := note.Open([]byte(checkpoint), note.VerifierList(v))
	if err != nil {
		return tlog.Tree{}, fmt.Errorf("checkpoint is not signed by %s: %w", v.Name(), err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return tlog.Tree{}, errors.New("checkpoint has not three lines")
	}
	if lines[0] != v.Name() {
		return tlog.Tree{}, fmt.Errorf("checkpoint is of the log %q, want %q", lines[0], v.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return tlog.Tree{}, fmt.Errorf("checkpoint has the size %.30q", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil || root.String() != lines[2] {
		return tlog.Tree{}, fmt.Errorf("checkpoint has the root %.60q", lines[2])
	}
	return tlog.Tree{N: size, Hash: root}, nil
}

// CheckpointSize is how many lines the tree of a checkpoint has. The signature is not looked at.
func CheckpointSize(checkpoint string) (int64, error) {
	lines := strings.SplitN(checkpoint, "\n", 3)
	if len(lines) < 3 {
		return 0, errors.New("checkpoint has no size")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return 0, fmt.Errorf("checkpoint has the size %.30q", lines[1])
	}
	return size, nil
}
