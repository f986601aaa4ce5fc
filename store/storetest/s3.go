package storetest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sekisho/sekisho/store/blob"
)

// S3 is a real S3 server (versitygw, built from dev/s3) that a test can stop and start again.
type S3 struct {
	Config blob.S3Config
	// Dir is where the bucket's objects lie, as files.
	Dir string

	t       *testing.T
	program string
	args    []string
	cmd     *exec.Cmd
	life    *os.File
}

// Keys of the server. They are written into the file Config.CredentialsFile.
const (
	S3Key    = "AKIDEXAMPLE"
	S3Secret = "not-a-secret-of-anybody-1"
)

// StartS3 starts a server over a folder of the test's own; it ends with the test. The test is skipped where the server
// cannot be built, but never in CI.
func StartS3(t *testing.T) *S3 {
	t.Helper()
	program, err := BuildS3()
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := t.TempDir()
	keys := filepath.Join(dir, "credentials")
	ok(t, os.WriteFile(keys, fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", S3Key, S3Secret), 0o600))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	address := listener.Addr().String()
	ok(t, listener.Close())
	s := &S3{t: t, program: program, Dir: filepath.Join(dir, "s3", "buckets", "recordings"),
		args: []string{"-dir", filepath.Join(dir, "s3"), "-listen", address, "-bucket", "recordings", "-access", S3Key, "-secret", S3Secret}}
	s.Config = blob.S3Config{Endpoint: "http://" + address, Bucket: "recordings", Prefix: "house/one", PathStyle: true, CredentialsFile: keys}
	s.Start()
	t.Cleanup(s.Stop)
	return s
}

// Open makes a client of the server.
func (s *S3) Open(t *testing.T) *blob.S3 {
	t.Helper()
	store, err := blob.NewS3(s.Config)
	ok(t, err)
	t.Cleanup(func() { store.Close() })
	return store
}

// Start starts the server, if it does not run, with all that it kept.
func (s *S3) Start() {
	s.t.Helper()
	if s.cmd != nil {
		return
	}
	in, life, err := os.Pipe()
	ok(s.t, err)
	s.cmd, s.life = exec.CommandContext(context.Background(), s.program, s.args...), life
	s.cmd.Stdin, s.cmd.Stderr = in, os.Stderr
	out, err := s.cmd.StdoutPipe()
	ok(s.t, err)
	ok(s.t, s.cmd.Start())
	in.Close()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		s.t.Fatalf("the S3 server does not come up: %v", err)
	}
}

// Stop ends the server, if it runs.
func (s *S3) Stop() {
	if s.cmd == nil {
		return
	}
	s.life.Close()
	kill := time.AfterFunc(10*time.Second, func() { s.cmd.Process.Kill() })
	s.cmd.Wait()
	kill.Stop()
	s.cmd = nil
}

// BuildS3 builds the server once, into bin/ of the module, or takes the program that SEKISHO_S3 names.
var BuildS3 = sync.OnceValues(func() (string, error) {
	if program := os.Getenv("SEKISHO_S3"); program != "" {
		return program, nil
	}
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	program := filepath.Join(root, "bin", "s3")
	cmd := exec.Command("go", "build", "-trimpath", "-o", program, ".")
	cmd.Dir, cmd.Env = filepath.Join(root, "dev", "s3"), append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the S3 server of dev/s3: %w\n%s", err, out)
	}
	return program, nil
})
