package gateway

import (
	"errors"
	"net"
	"reflect"
	"sync/atomic"
	"unsafe"
)

// x/crypto/ssh reads ahead: a goroutine puts what comes into a queue of 16 packets. When a handshake fails, or a peer
// breaks the protocol later, nobody takes from that queue any more, and where more was sent than it holds, that goroutine
// and all it keeps wait for good, though the connection is closed. It takes one write of a few kilobytes, without any
// key, to bring that about. So whoever gives up a connection takes what is left; and before there is something to take it
// from, a client is read no further than the queue goes (unserved).

// discard takes what a connection has read ahead, until it has closed. The connection has failed, or its channels have
// ended: nobody else takes any more.
func discard(connection any) {
	if queue := readAheadOf(connection); queue != nil {
		for range queue {
		}
	}
}

// readAheadOf finds the queue of an *ssh.connection: there is no other way to it than by its name. Where a later version
// has none there is nothing to take, or TestSentAhead tells.
func readAheadOf(connection any) <-chan []byte {
	queue := inside(inside(reflect.ValueOf(connection), "transport"), "incoming")
	if !queue.IsValid() || queue.Type() != reflect.TypeFor[chan []byte]() {
		return nil
	}
	pointer := queue.UnsafePointer()
	return *(*chan []byte)(unsafe.Pointer(&pointer)) // a chan is a pointer
}

// inside gives a field of what v holds or points to, or nothing.
func inside(v reflect.Value, name string) reflect.Value {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return v.FieldByName(name)
}

// unserved is a client between the key exchange and our answer to its first request, SSH_MSG_SERVICE_ACCEPT (RFC 4253,
// section 10). It has little to say: that request, and perhaps the next one. Until then it is read as far as maxUnserved,
// which in the shortest form is 15 packets.
type unserved struct {
	net.Conn
	state atomic.Int32
	init  int // bytes of our SSH_MSG_KEXINIT
	read  int
}

const (
	maxUnserved = 16 + 14*28 // bytes: SSH_MSG_NEWKEYS in the clear, and packets of chacha20-poly1305 with one byte in them
	maxAccept   = 128        // bytes of our answer, whatever MAC it has
	lessInit    = 64         // bytes by which our second SSH_MSG_KEXINIT may be shorter than the first, at the most
)

// States of an unserved client.
const (
	exchanging = iota
	exchanged  // our SSH_MSG_NEWKEYS is written
	served
)

var errUnserved = errors.New("says more than a client has to say before it is served")

// Write sees what the gateway says, a packet each time. A second key exchange, whose first packet is about as large as that
// of the first, is begun with nobody who is not served.
func (u *unserved) Write(p []byte) (int, error) {
	const messageAt, kexInit, newKeys = 5, 20, 21 // RFC 4253, sections 6 and 12
	switch state := u.state.Load(); {
	case state == served || len(p) <= messageAt:
	case state == exchanging && p[messageAt] == kexInit:
		u.init = len(p)
	case state == exchanging && p[messageAt] == newKeys:
		u.state.Store(exchanged)
	case state == exchanged && len(p) <= maxAccept:
		u.state.Store(served)
	case state == exchanged && len(p) > u.init-lessInit:
		return 0, errUnserved
	}
	return u.Conn.Write(p)
}

// Read is called by one goroutine at a time.
func (u *unserved) Read(p []byte) (int, error) {
	if u.state.Load() != exchanged {
		return u.Conn.Read(p)
	}
	if u.read == maxUnserved {
		return 0, errUnserved
	}
	n, err := u.Conn.Read(p[:min(len(p), maxUnserved-u.read)])
	u.read += n
	return n, err
}
