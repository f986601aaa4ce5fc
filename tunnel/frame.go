package tunnel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sekisho/sekisho"
)

// Bounds of the wire.
const (
	protocol   = 1
	maxBody    = 4096
	maxText    = 200  // bytes of a reason or a version
	maxTargets = 1024 // that one link may offer
)

// reasonFull begins the reason of a failed frame where the connector carries all the streams it can. The gateway then
// tries another link.
const reasonFull = "too many streams"

// kind is the first byte of a frame; the numbers are the wire's and never change their meaning.
type kind uint8

const (
	kindHello   kind = 1
	kindServe   kind = 2
	kindWelcome kind = 3
	kindRefuse  kind = 4
	kindPing    kind = 5
	kindPong    kind = 6
	kindWant    kind = 7
	kindOpen    kind = 8
	kindOpened  kind = 9
	kindFailed  kind = 10
	kindDrain   kind = 11
)

// role says what a connection is for.
type role uint8

const (
	roleControl role = 1
	roleData    role = 2
)

// frame is one of the types below: what follows its kind and length on the wire.
type frame interface {
	kind() kind
	appendBody(b []byte) []byte
}

type (
	// hello opens every connection. targets is how many names the serve frames after it hold; 0 on data connections.
	hello struct {
		role            role
		targets         uint16
		connector, link string
		version         string
	}
	// serve offers targets by name.
	serve struct{ names []string }
	// welcome says how many of the offered targets this connector may serve.
	welcome struct{ targets uint16 }
	refuse  struct{ reason string }
	ping    struct{}
	pong    struct{}
	// want asks for n more data connections.
	want struct{ n uint16 }
	// open asks for a stream to a target on this data connection.
	open   struct{ target, stream string }
	opened struct{}
	failed struct{ reason string }
	drain  struct{}
)

func (hello) kind() kind   { return kindHello }
func (serve) kind() kind   { return kindServe }
func (welcome) kind() kind { return kindWelcome }
func (refuse) kind() kind  { return kindRefuse }
func (ping) kind() kind    { return kindPing }
func (pong) kind() kind    { return kindPong }
func (want) kind() kind    { return kindWant }
func (open) kind() kind    { return kindOpen }
func (opened) kind() kind  { return kindOpened }
func (failed) kind() kind  { return kindFailed }
func (drain) kind() kind   { return kindDrain }

func (f hello) appendBody(b []byte) []byte {
	b = append(b, protocol, byte(f.role))
	b = binary.BigEndian.AppendUint16(b, f.targets)
	b = appendText(b, f.connector)
	b = appendText(b, f.link)
	return appendText(b, f.version)
}

func (f serve) appendBody(b []byte) []byte {
	for _, name := range f.names {
		b = appendText(b, name)
	}
	return b
}

func (f welcome) appendBody(b []byte) []byte { return binary.BigEndian.AppendUint16(b, f.targets) }
func (f refuse) appendBody(b []byte) []byte  { return appendText(b, f.reason) }
func (ping) appendBody(b []byte) []byte      { return b }
func (pong) appendBody(b []byte) []byte      { return b }
func (f want) appendBody(b []byte) []byte    { return binary.BigEndian.AppendUint16(b, f.n) }
func (f open) appendBody(b []byte) []byte    { return appendText(appendText(b, f.target), f.stream) }
func (opened) appendBody(b []byte) []byte    { return b }
func (f failed) appendBody(b []byte) []byte  { return appendText(b, f.reason) }
func (drain) appendBody(b []byte) []byte     { return b }

// appendFrame encodes f: kind (1 byte), length of the body (2, big endian), body.
func appendFrame(b []byte, f frame) []byte {
	start := len(b)
	b = f.appendBody(append(b, byte(f.kind()), 0, 0))
	binary.BigEndian.PutUint16(b[start+1:], uint16(len(b)-start-3))
	return b
}

// writeFrame writes f in one piece, which makes it one TLS record.
func writeFrame(w io.Writer, f frame) error {
	_, err := w.Write(appendFrame(make([]byte, 0, 64), f))
	return err
}

// readFrame reads exactly one frame and not a byte more: on a data connection the stream's bytes follow.
func readFrame(r io.Reader) (frame, error) {
	var head [3]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(head[1:])
	if n > maxBody {
		return nil, fmt.Errorf("frame of %d bytes, want at most %d", n, maxBody)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read frame of kind %d: %w", head[0], noEOF(err))
	}
	return parseBody(kind(head[0]), body)
}

// noEOF keeps an end in the middle of a frame from looking like an orderly one.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseBody is strict: what it accepts encodes to the same bytes again.
func parseBody(k kind, body []byte) (frame, error) {
	c := cursor{rest: body}
	var f frame
	switch k {
	case kindHello:
		f = c.hello()
	case kindServe:
		f = c.serve()
	case kindWelcome:
		f = welcome{targets: c.uint16()}
	case kindRefuse:
		f = refuse{reason: c.text()}
	case kindPing:
		f = ping{}
	case kindPong:
		f = pong{}
	case kindWant:
		f = want{n: c.uint16()}
	case kindOpen:
		f = open{target: c.target(), stream: c.id("str")}
	case kindOpened:
		f = opened{}
	case kindFailed:
		f = failed{reason: c.text()}
	case kindDrain:
		f = drain{}
	default:
		return nil, fmt.Errorf("frame of unknown kind %d", k)
	}
	if c.err == nil && len(c.rest) > 0 {
		c.err = fmt.Errorf("%d bytes too many", len(c.rest))
	}
	if c.err != nil {
		return nil, fmt.Errorf("parse frame of kind %d: %w", k, c.err)
	}
	return f, nil
}

// cursor takes a body apart and remembers the first error.
type cursor struct {
	rest []byte
	err  error
}

var errShort = errors.New("body is too short")

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.rest = nil
}

func (c *cursor) bytes(n int) []byte {
	if len(c.rest) < n {
		c.fail(errShort)
		return make([]byte, n)
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) uint16() uint16 { return binary.BigEndian.Uint16(c.bytes(2)) }

// text is a length byte and printable ASCII.
func (c *cursor) text() string {
	b := c.bytes(int(c.bytes(1)[0]))
	if len(b) > maxText {
		c.fail(fmt.Errorf("text of %d bytes", len(b)))
	}
	for _, ch := range b {
		if ch < ' ' || ch > '~' {
			c.fail(errors.New("text that is not printable ASCII"))
			break
		}
	}
	return string(b)
}

func (c *cursor) id(prefix string) string {
	s := c.text()
	if c.err == nil && !sekisho.CheckID(prefix, s) {
		c.fail(fmt.Errorf("no %s ID", prefix))
	}
	return s
}

func (c *cursor) target() string {
	s := c.text()
	if c.err == nil {
		if err := sekisho.CheckTargetName(s); err != nil {
			c.fail(err)
		}
	}
	return s
}

func (c *cursor) hello() hello {
	if v := c.bytes(1)[0]; c.err == nil && v != protocol {
		c.fail(fmt.Errorf("protocol %d, want %d", v, protocol))
	}
	f := hello{role: role(c.bytes(1)[0]), targets: c.uint16(), connector: c.id("con"), link: c.id("lnk"), version: c.text()}
	switch {
	case f.role != roleControl && f.role != roleData:
		c.fail(fmt.Errorf("role %d", f.role))
	case f.targets > maxTargets || (f.role == roleData && f.targets != 0):
		c.fail(fmt.Errorf("%d targets", f.targets))
	}
	return f
}

func (c *cursor) serve() serve {
	var f serve
	for c.err == nil && (len(c.rest) > 0 || len(f.names) == 0) {
		f.names = append(f.names, c.target())
	}
	return f
}

// appendText encodes a text, made printable and cut to what the other end accepts.
func appendText(b []byte, s string) []byte {
	s = s[:min(len(s), maxText)]
	b = append(b, byte(len(s)))
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			b = append(b, '?')
			continue
		}
		b = append(b, s[i])
	}
	return b
}

// serveFrames packs target names into as few frames as they need.
func serveFrames(names []string) []serve {
	var frames []serve
	size := maxBody
	for _, name := range names {
		if size+1+len(name) > maxBody {
			frames = append(frames, serve{})
			size = 0
		}
		last := &frames[len(frames)-1]
		last.names = append(last.names, name)
		size += 1 + len(name)
	}
	return frames
}
