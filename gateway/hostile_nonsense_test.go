package gateway_test

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/crypto/ssh"
)

// nonsense makes packets that are nearly right, or not at all.
type nonsense struct{ *rand.Rand }

func (n nonsense) one(of ...string) string { return of[n.IntN(len(of))] }

func (n nonsense) channel() uint32 { return uint32(n.IntN(4)) }

func (n nonsense) packet() []byte {
	makers := []func() []byte{
		func() []byte { return open("session", n.channel(), 1<<20, 1<<15, nil) },
		func() []byte {
			kind := n.one("session", "direct-tcpip", "direct-streamlocal@openssh.com", "x11", "x")
			return open(kind, n.channel(), n.Uint32(), n.Uint32(), tcpOpen("db2", 1))
		},
		func() []byte {
			kind := n.one("exec", "shell", "subsystem", "pty-req", "env", "signal", "window-change", "break", "x11-req", "exit-status")
			return ask(n.channel(), kind, n.IntN(2) == 0, struct{ Word string }{n.one("echo hi", "sftp", "scp -t x", "cat", "rsync --server . x")})
		},
		func() []byte { return data(n.channel(), "hello") },
		func() []byte {
			kind := n.one("tcpip-forward", "cancel-tcpip-forward", "no-more-sessions@openssh.com", "streamlocal-forward@openssh.com")
			return append(global(kind, n.IntN(2) == 0), listenRequest("localhost", n.Uint32N(100))...)
		},
		func() []byte { return message(byte(sayWindow+n.IntN(8)), struct{ Channel uint32 }{n.channel()}) },
		func() []byte { return message(sayWindow, struct{ Channel, N uint32 }{n.channel(), n.Uint32N(1 << 20)}) },
		kexInit,
		func() []byte { return []byte{sayIgnore} },
		n.noise,
	}
	p := makers[n.IntN(len(makers))]()
	if len(p) > 0 && n.IntN(8) == 0 {
		p[n.IntN(len(p))] ^= 1 << n.IntN(8)
	}
	return p
}

func (n nonsense) noise() []byte {
	p := make([]byte, n.IntN(40))
	for i := range p {
		p[i] = byte(n.Uint32())
	}
	if len(p) > 0 {
		p[0] = byte(80 + n.IntN(21)) // RFC 4254's messages
	}
	return p
}

// Whatever is said in whatever order, the session can be ended, and nothing is left of it.
func TestNonsense(t *testing.T) {
	h := newHouse(t)
	end := h.forwards("*:*", "*:*")
	end.conn = make(chan ssh.Conn, 1000)
	end.dial = accept(func(ch ssh.Channel) { ch.Write([]byte("x")) })
	for seed := range uint64(150) {
		n := nonsense{rand.New(rand.NewPCG(seed, 0))}
		m := h.mallory()
		heard := make(chan struct{})
		go func() {
			defer close(heard)
			m.await(250) // which never comes
		}()
		for range 1 + n.IntN(60) {
			if m.say(n.packet()) != nil {
				break
			}
		}
		if n.IntN(2) == 0 {
			m.conn.Close()
		}
		h.ends()
		m.conn.Close()
		<-heard
	}
}
