package gateway_test

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/recording"
)

// A target that speaks beside its program's output, by requests of the channel, tells the user nothing that is not recorded.
func TestTargetSpeaksAside(t *testing.T) {
	h := newHouse(t)
	secret := strings.Repeat("aside", 100)
	h.program = func(ch ssh.Channel, reqs <-chan *ssh.Request) {
		req := <-reqs
		go ssh.DiscardRequests(reqs)
		req.Reply(true, nil)
		for _, kind := range []string{"eow@openssh.com", "keepalive@openssh.com", "xon-xoff"} {
			ch.SendRequest(kind, false, []byte(secret))
		}
		ch.SendRequest("xon-xoff", false, []byte{1})
		ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Name   string
			Dumped bool
			Text   string
			Lang   string
		}{"TERM", false, "killed", secret}))
		ch.Close()
	}
	ch, reqs, err := h.mustClient().OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ch.SendRequest("shell", false, nil)
	heard := map[string]int{}
	for req := range reqs {
		if strings.Contains(string(req.Payload), "aside") {
			t.Errorf("%s carries %d bytes to the user", req.Type, len(req.Payload))
		}
		heard[req.Type]++
	}
	if heard["exit-signal"] != 1 || heard["eow@openssh.com"] != 1 || heard["keepalive@openssh.com"] != 1 || heard["xon-xoff"] != 1 {
		t.Errorf("the user heard %v", heard)
	}
}

// Why the target refuses a channel is in the recording.
func TestRefusalOfTheTargetIsRecorded(t *testing.T) {
	h := newHouse(t)
	const words = "words of the target"
	h.sshd = func(_ ssh.Conn, chans <-chan ssh.NewChannel, reqs <-chan *ssh.Request) {
		go ssh.DiscardRequests(reqs)
		for nc := range chans {
			nc.Reject(ssh.Prohibited, words)
		}
	}
	_, _, err := h.mustClient().OpenChannel("session", nil)
	if no := (*ssh.OpenChannelError)(nil); !errors.As(err, &no) || !strings.Contains(no.Message, words) {
		t.Fatalf("error %v", err)
	}
	if notes := h.tape.said(recording.Note); !strings.Contains(notes, words) {
		t.Errorf("recorded %q", notes)
	}
}
