package e2e_test

import (
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"time"
)

func init() {
	tools["backdoor"] = backdoor
	tools["stammer"] = stammer
}

// backdoor is a shell for whoever connects, without a question: "backdoor FILE" listens on a port of loopback, which is
// then in FILE.
func backdoor(_ *traveller, args []string) error {
	return beside("tcp", "127.0.0.1:0", args[0], func(conn net.Conn) {
		shell := exec.Command("sh")
		shell.Stdin, shell.Stdout, shell.Stderr = conn, conn, conn
		shell.WaitDelay = time.Second // a shell that has ended reads no more
		shell.Run()
	})
}

// stammers are ways in which an SSH server can begin to speak without being noticed, or so she hopes.
var stammers = map[string]func(to io.Writer, banner string){
	"slowly": func(to io.Writer, banner string) {
		for _, b := range []byte(banner) {
			io.WriteString(to, string(b))
			time.Sleep(5 * time.Millisecond)
		}
	},
	"late":        func(to io.Writer, banner string) { time.Sleep(time.Second); io.WriteString(to, banner) },
	"after-lines": func(to io.Writer, banner string) { io.WriteString(to, strings.Repeat("hello\r\n", 50)+banner) },
	"after-many":  func(to io.Writer, banner string) { io.WriteString(to, strings.Repeat("hello\r\n", 900)+banner) },
	"lower-case":  func(to io.Writer, banner string) { io.WriteString(to, strings.ToLower(banner)) },
	"after-space": func(to io.Writer, banner string) { io.WriteString(to, " "+banner) },
}

// stammer stands before a sshd on a port of loopback and changes how it begins: "stammer FILE PORT HOW" listens on a port,
// which is then in FILE.
func stammer(_ *traveller, args []string) error {
	begin := stammers[args[2]]
	if begin == nil {
		return fmt.Errorf("nobody stammers %s", args[2])
	}
	return beside("tcp", "127.0.0.1:0", args[0], func(conn net.Conn) {
		sshd, err := reach(args[1])
		if err != nil {
			return
		}
		defer sshd.Close()
		banner := make([]byte, 256)
		n, err := sshd.Read(banner)
		if err != nil {
			return
		}
		begin(conn, string(banner[:n]))
		go func() {
			defer conn.Close()
			io.Copy(conn, sshd)
		}()
		io.Copy(sshd, conn)
	})
}
