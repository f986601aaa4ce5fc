package transfer_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/transfer"
)

// goldenTalk is a conversation of the stock client and server, each line ">" (from the user) or "<" (from the target) and
// bytes in base64; goldenTold what is told of it, a JSON line each.
var goldenTalk, goldenTold = filepath.Join("testdata", "sftp", "stock.talk"), filepath.Join("testdata", "sftp", "stock.told")

// stockTalk writes down what passes between two ends.
type stockTalk struct {
	mu  sync.Mutex
	out io.Writer
}

func (o *stockTalk) line(side string, p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	io.WriteString(o.out, side+base64.StdEncoding.EncodeToString(p)+"\n")
}

// recordStock has the stock client do one of each to the stock server.
func recordStock(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Dir(goldenTalk), 0o755))
	talk, err := filepath.Abs(goldenTalk)
	must(err)
	write(t, dir+"/file", noise(5000))
	work, _ := json.Marshal(middleWork{Limits: everything, Told: dir + "/told", Start: dir, Server: []string{sftpServer}, Talk: talk})
	cmd := exec.Command("sftp", "-q", "-b", "-", "-D", os.Args[0])
	cmd.Env = append(os.Environ(), middleEnv+"="+string(work))
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(`put DIR/file up
		get up DIR/down
		ls -la
		rename up a
		chmod 600 a
		ln a hard
		ln -s a soft
		mkdir d
		put -p DIR/file d/deep
		-rmdir d
		rm d/deep
		rmdir d
		-get nothing
		cp a copied
		df
	`, "DIR", dir))
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

func readStock(t *testing.T) (steps []step) {
	b, err := os.ReadFile(goldenTalk)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		p, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line[1:]))
		if err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step{line[0] == '<', p})
	}
	return steps
}

// What is told of the stock client's conversation stays as it is.
func TestSFTPGolden(t *testing.T) {
	if *recordTalks {
		recordStock(t)
	}
	steps := readStock(t)
	user, target := sides(steps)
	for _, size := range []int{1, 5, 333, 1 << 20} {
		r := newRig(everything)
		if err := r.run(steps, every(size)); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(r.toTarget.Bytes(), user) || !bytes.Equal(r.toUser.Bytes(), target) {
			t.Errorf("pieces of %d: other bytes came out", size)
		}
		if *recordTalks && size == 1 {
			keepTold(t, r.told)
		}
		if diff := cmp.Diff(readTold(t), r.told, timeless); diff != "" {
			t.Errorf("pieces of %d (-want +got):\n%s", size, diff)
		}
	}
}

func keepTold(t *testing.T, told []transfer.Operation) {
	var lines []byte
	for _, op := range told {
		line, _ := json.Marshal(op)
		lines = append(append(lines, line...), '\n')
	}
	write(t, goldenTold, lines)
}

func readTold(t *testing.T) (told []transfer.Operation) {
	b, err := os.ReadFile(goldenTold)
	if err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(bytes.NewReader(b)); d.More(); {
		var op transfer.Operation
		if err := d.Decode(&op); err != nil {
			t.Fatal(err)
		}
		told = append(told, op)
	}
	return told
}
