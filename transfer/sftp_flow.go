package transfer

import "encoding/binary"

// sftpKeep is how large a buffer may be that is kept for the next packet.
const sftpKeep = 4 << 10

// sftpFlow is one direction of a conversation: it cuts the stream into packets, and puts together what may go on.
type sftpFlow struct {
	// head says how many bytes from the start of a packet are looked at together: all of it, or of one whose payload
	// streams what comes before the payload. It may be shown less than that, and may then ask for more.
	head func(b []byte) (int, error)
	// out passes bytes on.
	out func(b []byte) error

	held []byte // the start of a packet that has not come whole
	left int    // bytes still to come of a payload that streams
	run  []byte // bytes one after the other that may go on
}

// next cuts the next head off p. It is nil while it has not come whole; what came is held then.
func (f *sftpFlow) next(p []byte) (head, rest []byte, err error) {
	if len(f.held) == 0 {
		n, err := f.head(p)
		if err != nil || n <= len(p) {
			return p[:min(n, len(p))], p[min(n, len(p)):], err
		}
	}
	for {
		n, err := f.head(f.held)
		if err != nil || n <= len(f.held) {
			return f.held, p, err
		}
		if len(p) == 0 {
			return nil, nil, nil
		}
		take := min(n-len(f.held), len(p))
		f.held = append(f.held, p[:take]...)
		p = p[take:]
	}
}

// done lets go of a head that next gave.
func (f *sftpFlow) done() error {
	if len(f.held) == 0 {
		return nil
	}
	err := f.flush() // what is held may be part of it
	if f.held = f.held[:0]; cap(f.held) > sftpKeep {
		f.held = nil
	}
	return err
}

// pass lets b go on. It need not have gone before flush.
func (f *sftpFlow) pass(b []byte) error {
	if n := len(f.run); n > 0 && n < cap(f.run) && len(b) > 0 && len(b) <= cap(f.run)-n && &f.run[:n+1][n] == &b[0] {
		f.run = f.run[:n+len(b)]
		return nil
	}
	if err := f.flush(); err != nil {
		return err
	}
	f.run = b
	return nil
}

// flush passes on what may go.
func (f *sftpFlow) flush() error {
	run := f.run
	f.run = nil
	if len(run) == 0 {
		return nil
	}
	return f.out(run)
}

// payload cuts what p holds of the payload under way.
func (f *sftpFlow) payload(p []byte) (payload, rest []byte) {
	n := min(f.left, len(p))
	f.left -= n
	return p[:n], p[n:]
}

// sftpSize is the size of the packet that b starts, with its length field; ok is false while b is too short to say.
func sftpSize(b []byte) (size int, ok bool, err error) {
	if len(b) < 4 {
		return 4, false, nil
	}
	length := binary.BigEndian.Uint32(b)
	if length < sftpPrefix || length > sftpMaxLength {
		return 0, false, notSFTP("packet of %d bytes", length)
	}
	return 4 + int(length), true, nil
}

// requestHead is head of what the user sends. types says which types of packets may come.
func requestHead(b []byte, types func(byte) bool) (int, error) {
	size, ok, err := typedSize(b, types)
	if !ok || err != nil || b[4] != fxpWrite {
		return size, err
	}
	// length, type, id, handle, offset, length of the data
	const fixed = sftpPrefix + 4 + 4
	if len(b) < fixed {
		return within(fixed, size)
	}
	handle := binary.BigEndian.Uint32(b[fixed-4:])
	if handle > sftpMaxHandle {
		return 0, notSFTP("handle of %d bytes", handle)
	}
	return within(fixed+int(handle)+8+4, size)
}

// answerHead is head of what the target sends.
func answerHead(b []byte, types func(byte) bool) (int, error) {
	size, ok, err := typedSize(b, types)
	if !ok || err != nil || b[4] != fxpData {
		return size, err
	}
	return within(sftpPrefix+4+4, size)
}

// typedSize is sftpSize of a packet whose type is one of types.
func typedSize(b []byte, types func(byte) bool) (int, bool, error) {
	size, ok, err := sftpSize(b)
	switch {
	case !ok || err != nil:
		return size, false, err
	case len(b) < sftpPrefix:
		return sftpPrefix, false, nil
	case !types(b[4]):
		return 0, false, notSFTP("packet of type %d", b[4])
	}
	return size, true, nil
}

func within(head, size int) (int, error) {
	if head > size {
		return 0, notSFTP("packet of %d bytes has no room for its fields", size)
	}
	return head, nil
}
