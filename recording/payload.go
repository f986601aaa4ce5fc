package recording

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Payloads of the kinds whose data have a structure. Integers are big-endian; a string is its length as u32 and
// its bytes (as in RFC 4251 §5); a uvarint has seven bits a byte, the lowest first, and no byte too many. Decoders take exactly what encoders make and refuse everything else.

// PTY is the payload of PTYRequest (RFC 4254 §6.2).
type PTY struct {
	Term       string
	Cols, Rows uint32
	// Modes are the encoded terminal modes as the client sent them (RFC 4254 §8).
	Modes []byte
}

// Encode gives the data of the entry.
func (p PTY) Encode() []byte {
	b := appendString(nil, p.Term)
	b = binary.BigEndian.AppendUint32(b, p.Cols)
	b = binary.BigEndian.AppendUint32(b, p.Rows)
	return appendString(b, string(p.Modes))
}

// DecodePTY is the inverse of PTY.Encode.
func DecodePTY(data []byte) (PTY, error) {
	d := decoder{b: data}
	p := PTY{Term: d.string(), Cols: d.uint32(), Rows: d.uint32(), Modes: []byte(d.string())}
	return p, d.end("pty")
}

// Variable is the payload of Env (RFC 4254 §6.4).
type Variable struct{ Name, Value string }

// Encode gives the data of the entry.
func (v Variable) Encode() []byte { return appendString(appendString(nil, v.Name), v.Value) }

// DecodeVariable is the inverse of Variable.Encode.
func DecodeVariable(data []byte) (Variable, error) {
	d := decoder{b: data}
	v := Variable{Name: d.string(), Value: d.string()}
	return v, d.end("env")
}

// Exit is the payload of ExitSignal (RFC 4254 §6.10).
type Exit struct {
	Signal     string
	CoreDumped bool
	Message    string
}

// Encode gives the data of the entry.
func (e Exit) Encode() []byte {
	return appendString(append(appendString(nil, e.Signal), bit(e.CoreDumped)), e.Message)
}

// DecodeExit is the inverse of Exit.Encode.
func DecodeExit(data []byte) (Exit, error) {
	d := decoder{b: data}
	e := Exit{Signal: d.string(), CoreDumped: d.bool(), Message: d.string()}
	return e, d.end("exit signal")
}

// EncodeResize gives the data of a Resize entry.
func EncodeResize(cols, rows uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, cols), rows)
}

// DecodeResize is the inverse of EncodeResize.
func DecodeResize(data []byte) (cols, rows uint32, err error) {
	d := decoder{b: data}
	cols, rows = d.uint32(), d.uint32()
	return cols, rows, d.end("resize")
}

// EncodeExitStatus gives the data of an ExitStatus entry.
func EncodeExitStatus(status uint32) []byte { return binary.BigEndian.AppendUint32(nil, status) }

// DecodeExitStatus is the inverse of EncodeExitStatus.
func DecodeExitStatus(data []byte) (uint32, error) {
	d := decoder{b: data}
	status := d.uint32()
	return status, d.end("exit status")
}

// Typing is the payload of Typed.
type Typing struct {
	// Enter: the user pressed Enter; else they began to type, after it or at first.
	Enter bool
	// Count is how many times at once, 1 or more: a paste may hold several lines.
	Count uint32
}

// Encode gives the data of the entry.
func (t Typing) Encode() []byte {
	return binary.AppendUvarint([]byte{bit(t.Enter)}, uint64(max(t.Count, 1)))
}

// DecodeTyping is the inverse of Typing.Encode.
func DecodeTyping(data []byte) (Typing, error) {
	d := decoder{b: data}
	enter, count := d.bool(), d.uvarint()
	d.bad = d.bad || count == 0 || count > math.MaxUint32
	return Typing{Enter: enter, Count: uint32(count)}, d.end("typed")
}

// Loss is the payload of Lost.
type Loss struct {
	// Bytes is how many bytes of output are missing at least.
	Bytes uint64
	// Why is for people.
	Why string
}

// Encode gives the data of the entry.
func (l Loss) Encode() []byte { return appendString(binary.AppendUvarint(nil, l.Bytes), l.Why) }

// DecodeLoss is the inverse of Loss.Encode.
func DecodeLoss(data []byte) (Loss, error) {
	d := decoder{b: data}
	l := Loss{Bytes: d.uvarint(), Why: d.string()}
	return l, d.end("lost")
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// decoder takes fields off the front of b; the first field that is not there makes all later ones zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	field := d.b[:n:n]
	d.b = d.b[n:]
	return field
}

func (d *decoder) uint8() uint8 {
	if f := d.take(1); f != nil {
		return f[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if f := d.take(2); f != nil {
		return binary.BigEndian.Uint16(f)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if f := d.take(4); f != nil {
		return binary.BigEndian.Uint32(f)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if f := d.take(8); f != nil {
		return binary.BigEndian.Uint64(f)
	}
	return 0
}

// uvarint takes the shortest form only, so that each number has one.
func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) string() string { return string(d.take(uint64(d.uint32()))) }

func (d *decoder) bool() bool {
	v := d.uint8()
	d.bad = d.bad || v > 1
	return v == 1
}

// end reports whether all fields were there and nothing is left.
func (d *decoder) end(what string) error {
	if d.bad {
		return fmt.Errorf("decode %s: fields are missing or out of range", what)
	}
	if len(d.b) > 0 {
		return fmt.Errorf("decode %s: %d bytes too many", what, len(d.b))
	}
	return nil
}
