package e2e_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sekisho/sekisho/store/storetest"
)

// s3Server is a story's S3 server: versitygw, over a folder that stays.
type s3Server struct {
	args []string
	cmd  *exec.Cmd
	life *os.File
}

var s3Servers sync.Map // by a story's folder

// s3 starts and stops the story's S3 server: "s3 start", "s3 stop". $S3 is its endpoint, $S3_KEYS the credentials file,
// $S3_BUCKET the folder with the bucket's objects.
func s3(ts *testscript.TestScript, _ bool, args []string) {
	work := ts.Getenv("WORK")
	known, _ := s3Servers.LoadOrStore(work, &s3Server{})
	s := known.(*s3Server)
	if len(args) != 1 || args[0] != "start" {
		s.stop()
		return
	}
	if s.args == nil {
		s.prepare(ts, filepath.Join(work, "s3"))
	}
	program, err := storetest.BuildS3()
	ts.Check(err)
	in, life, err := os.Pipe()
	ts.Check(err)
	s.cmd, s.life = exec.Command(program, s.args...), life
	s.cmd.Stdin = in
	out, err := s.cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(s.cmd.Start())
	in.Close()
	ts.Defer(s.stop)
	_, err = bufio.NewReader(out).ReadString('\n')
	ts.Check(err)
}

func (s *s3Server) prepare(ts *testscript.TestScript, dir string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	address := l.Addr().String()
	ts.Check(l.Close())
	keys := filepath.Join(ts.Getenv("WORK"), "s3.credentials")
	ts.Check(os.WriteFile(keys, fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", storetest.S3Key, storetest.S3Secret), 0o600))
	s.args = []string{"-dir", dir, "-listen", address, "-bucket", "recordings", "-access", storetest.S3Key, "-secret", storetest.S3Secret}
	ts.Setenv("S3", "http://"+address)
	ts.Setenv("S3_KEYS", keys)
	ts.Setenv("S3_BUCKET", filepath.Join(dir, "buckets", "recordings"))
}

func (s *s3Server) stop() {
	if s.cmd == nil {
		return
	}
	s.life.Close()
	s.cmd.Wait()
	s.cmd = nil
}
