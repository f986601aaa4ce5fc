package gateway_test

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// sftp starts the subsystem over a new channel of the client.
func startSFTP(t *testing.T, c *ssh.Client) ssh.Channel {
	t.Helper()
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(reqs)
	// What ends the channel may come before the answer.
	if ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"})); !ok && err == nil {
		t.Fatal("there is no sftp")
	}
	return ch
}

// A shell that calls itself sftp, whoever brings it along, is none: nothing that it says reaches the user, nothing that is
// said to it reaches the target, the channel ends with a sentence and an event, and the session goes on.
func TestShellInSFTP(t *testing.T) {
	hello := "\x00\x00\x00\x05\x01\x00\x00\x00\x03"   // INIT, version 3
	welcome := "\x00\x00\x00\x05\x02\x00\x00\x00\x03" // VERSION 3
	noise := make([]byte, 100_000)
	r := rand.NewChaCha8([32]byte{1})
	r.Read(noise)
	for _, c := range []struct {
		name          string
		user, target  string // what each says
		toUser, toFar string // what of it arrives
	}{
		{"a prompt", "", "Last login: today\r\nroot@db1:~# ", "", ""},
		{"a prompt after a greeting", hello, welcome + "root@db1:~# ", welcome, hello},
		{"a command", "id; uname -a\n", "", "", ""},
		{"a command after a greeting", hello + "cat /etc/shadow\n", welcome, welcome, hello},
		{"noise from the target", hello, welcome + string(noise), welcome, hello},
		{"noise from the user", hello + string(noise), welcome, welcome, hello},
		{"a packet of 4 GB", hello + "\xff\xff\xff\xff\x03", welcome, welcome, hello},
		{"SSH", "SSH-2.0-x\r\n", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			heard := make(chan string, 1)
			h.program = first(func(ch ssh.Channel, reqs <-chan *ssh.Request) {
				(<-reqs).Reply(true, nil)
				go ssh.DiscardRequests(reqs)
				greeting := make([]byte, len(c.toFar))
				io.ReadFull(ch, greeting)
				go io.WriteString(ch, c.target)
				all, _ := io.ReadAll(ch)
				heard <- string(greeting) + string(all)
				ch.Close()
			})
			client := h.mustClient()
			ch := startSFTP(t, client)
			var said []byte
			over := make(chan struct{})
			go func() {
				defer close(over)
				said, _ = io.ReadAll(ch.Stderr())
			}()
			go io.WriteString(ch, c.user)
			got, err := io.ReadAll(ch)
			if err != nil || !strings.HasPrefix(c.toUser, string(got)) {
				t.Errorf("the user's side heard %.100q, %v", got, err)
			}
			<-over
			if !strings.Contains(string(said), "this channel was started to move files, and something else came over it") {
				t.Errorf("the user is told %q", said)
			}
			ch.Close()
			if got := <-heard; !strings.HasPrefix(c.toFar, got) {
				t.Errorf("the target heard %.100q", got)
			}
			from := "user"
			if strings.HasPrefix(c.target, welcome) && len(c.target) > len(welcome) || c.user == "" {
				from = "target"
			}
			want(t, h.awaitEvent(sekisho.EventChannelRefused), "type", "files", "from", from)
			s, err := client.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			if out, err := s.Output("echo on"); string(out) != "on\n" {
				t.Errorf("the session does not go on: %q, %v", out, err)
			}
		})
	}
}

// What such a program says on its standard error is let through, and recorded.
func TestErrorsOfSFTP(t *testing.T) {
	h := newHouse(t)
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		(<-reqs).Reply(true, nil)
		io.WriteString(ch.Stderr(), "root@db1:~# ")
		ch.Close()
	}
	ch := startSFTP(t, h.mustClient())
	if got, _ := io.ReadAll(ch.Stderr()); string(got) != "root@db1:~# " {
		t.Errorf("heard %q", got)
	}
	if got := h.tape.said(recording.Stderr); got != "root@db1:~# " {
		t.Errorf("recorded %q", got)
	}
}

// A target that says something before it refuses to run what would move files, time and again, leaves nothing of those who
// were to follow it.
func TestRefusedFiles(t *testing.T) {
	h := newHouse(t)
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		for req := range reqs {
			ch.Write(make([]byte, 3000))
			req.Reply(false, nil)
		}
		ch.Close()
	}
	c := h.mustClient()
	for _, command := range []string{"scp -f x", "scp -t x", "rsync --server --sender -e.LsfxCIvu . x", "/usr/lib/openssh/sftp-server"} {
		ch, reqs, err := c.OpenChannel("session", nil)
		if err != nil {
			t.Fatal(err)
		}
		go ssh.DiscardRequests(reqs)
		go io.Copy(io.Discard, ch)
		for range 10 {
			if ok, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Line string }{command})); ok || err != nil && err != io.EOF {
				t.Fatalf("%s: %v, %v", command, ok, err)
			}
		}
	}
	h.ends()
}

// What a limit on files refuses is said once on standard error, whatever the names are: clients show words of their own for
// our answer, which are also those for the target's refusals.
func TestRefusedFilesAreSaid(t *testing.T) {
	h := newHouse(t)
	h.decision.Limits.Files = []sekisho.FileLimit{{ReadOnly: true}}
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		(<-reqs).Reply(true, nil)
		go ssh.DiscardRequests(reqs)
		io.ReadFull(ch, make([]byte, 9))
		io.WriteString(ch, "\x00\x00\x00\x05\x02\x00\x00\x00\x03") // VERSION 3
		io.Copy(io.Discard, ch)
		ch.Close()
	}
	ch := startSFTP(t, h.mustClient())
	io.WriteString(ch, "\x00\x00\x00\x05\x01\x00\x00\x00\x03") // INIT, version 3
	greeting := make([]byte, 9)
	if _, err := io.ReadFull(ch, greeting); err != nil {
		t.Fatal(err)
	}
	for id := range uint32(2) {
		remove := ssh.Marshal(struct {
			Kind byte
			ID   uint32
			Path string
		}{13, id, "/a\x1b]0;b\n"})
		ch.Write(append([]byte{0, 0, 0, byte(len(remove))}, remove...))
	}
	ch.CloseWrite()
	go io.Copy(io.Discard, ch)
	said, err := io.ReadAll(ch.Stderr())
	const want = `sekisho: remove "/a\x1b]0;b\n" is refused: by policy, files are read-only here.` + "\n"
	if err != nil || string(said) != want {
		t.Errorf("said %q, %v", said, err)
	}
	if refused := h.details(sekisho.EventFile, "result", "why"); len(refused) != 2 || refused[0] != "result=refused why=by policy, files are read-only here" {
		t.Errorf("noted %q", refused)
	}
}
