package transfer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is told.
const (
	maxPath   = 4096
	maxResult = 256
)

// sftpFields are the fields of one request, parts of its packet.
type sftpFields struct {
	spec    *sftpSpec
	id      uint32
	paths   [2]sftpPath
	handles [2][]byte
	numbers [3]uint64
	attrs   sftpAttrs
	text    []byte
	flagsAt int // where an OPEN's flags stand
}

// sftpPath is a path, how it is resolved, and where in the packet its length field stands.
type sftpPath struct {
	b   []byte
	way byte
	at  int
}

// parseRequest reads a request, of a WRITE all before its data.
func parseRequest(packet []byte) (f sftpFields, err error) {
	body := sftpBody{b: packet[sftpPrefix:]}
	f.id, f.spec = body.uint32(), sftpSpecs[packet[4]]
	if packet[4] == fxpExtended {
		name := body.string()
		if f.spec = sftpExtensions[string(name)]; f.spec == nil {
			f.spec = unknownSpec(name)
		}
	}
	f.read(&body, packet)
	if !body.whole() {
		return f, notSFTP("fields of %s request do not fit it", f.spec.name)
	}
	return f, nil
}

func (f *sftpFields) read(body *sftpBody, packet []byte) {
	paths, handles, numbers := 0, 0, 0
	for _, field := range []byte(f.spec.fields) {
		at := len(packet) - len(body.b)
		switch field {
		case fieldHandle:
			f.handles[handles] = body.string()
			handles++
		case fieldNumber:
			f.flagsAt = at
			f.numbers[numbers] = uint64(body.uint32())
			numbers++
		case fieldLong:
			f.numbers[numbers] = body.uint64()
			numbers++
		case fieldAttrs:
			f.attrs = body.attrs()
		case fieldText:
			f.text = body.string()
		case fieldAnything:
			body.b = nil
		default:
			f.paths[paths] = sftpPath{b: body.string(), way: field, at: at}
			// No path holds a zero byte, and servers disagree about where such a path ends.
			body.bad = body.bad || bytes.IndexByte(f.paths[paths].b, 0) >= 0
			paths++
		}
	}
}

// withPaths gives the packet with other paths, where they are not empty.
func (f *sftpFields) withPaths(packet []byte, paths [2]string) []byte {
	b := make([]byte, 0, len(packet)+len(paths[0])+len(paths[1]))
	from := 0
	for i, p := range f.paths {
		if p.way == 0 || paths[i] == "" {
			continue
		}
		b = appendString(append(b, packet[from:p.at]...), paths[i])
		from = p.at + 4 + len(p.b)
	}
	return endPacket(append(b, packet[from:]...), 0)
}

// dropFlags takes flags out of an OPEN's packet.
func (f *sftpFields) dropFlags(packet []byte, flags uint32) {
	binary.BigEndian.PutUint32(packet[f.flagsAt:], uint32(f.numbers[0])&^flags)
}

// printable is b as told: UTF-8 without control characters, and of at most size bytes.
func printable(b []byte, size int) string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(b[:min(len(b), size)]))
	return cut(clean, size)
}

// toldPath is a path as told: every byte that is not UTF-8 as \xNN, and of at most maxPath bytes.
func toldPath(b []byte) string {
	b = b[:min(len(b), maxPath+utf8.UTFMax)]
	if utf8.Valid(b) {
		return cut(string(b), maxPath)
	}
	var told strings.Builder
	for len(b) > 0 && told.Len() <= maxPath {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && n == 1 {
			fmt.Fprintf(&told, `\x%02x`, b[0])
		} else {
			told.Write(b[:n])
		}
		b = b[n:]
	}
	return cut(told.String(), maxPath)
}

// cut shortens s to whole characters.
func cut(s string, size int) string {
	if len(s) <= size {
		return s
	}
	for size > 0 && !utf8.RuneStart(s[size]) {
		size--
	}
	return s[:size]
}

// sftpResult is what a STATUS says, as told.
func sftpResult(code uint32, message []byte) string {
	if code == fxOK {
		return "ok"
	}
	name := fmt.Sprintf("error %d", code)
	if code < uint32(len(sftpCodes)) {
		name = sftpCodes[code]
	}
	said := printable(message, maxResult)
	if said == "" || strings.EqualFold(said, name) {
		return name
	}
	return name + ": " + said
}

// sftpCodes are the codes of a STATUS in words (§7).
var sftpCodes = [...]string{"ok", "end of file", "no such file", "permission denied", "failure", "bad message", "no connection",
	"connection lost", "operation unsupported"}
