package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
)

// serverVersion is our identification string (RFC 4253, section 4.2).
const serverVersion = "SSH-2.0-Sekisho"

// maxVersion is the longest identification string, line end included (RFC 4253, section 4.2).
const maxVersion = 255

// greet exchanges identification strings with a client before the handshake proper, so that what is offered can
// depend on who asks. The connection it returns plays the exchange again for the handshake.
func greet(conn net.Conn) (net.Conn, string, error) {
	if _, err := conn.Write([]byte(serverVersion + "\r\n")); err != nil {
		return nil, "", fmt.Errorf("send version: %w", err)
	}
	read := make([]byte, 0, maxVersion)
	for {
		n, err := conn.Read(read[len(read):maxVersion])
		read = read[:len(read)+n]
		if line, _, ok := bytes.Cut(read, []byte("\n")); ok {
			version := strings.TrimSuffix(string(line), "\r")
			if !strings.HasPrefix(version, "SSH-2.0-") {
				return nil, "", fmt.Errorf("read version: %q is not SSH 2", printable(version))
			}
			return &greeted{Conn: &unserved{Conn: conn}, owed: []byte(serverVersion + "\r\n"), read: read}, version, nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("read version: %w", err)
		}
		if len(read) == maxVersion {
			return nil, "", errors.New("read version: longer than 255 bytes")
		}
	}
}

// greeted is a connection after the exchange: our version is not sent twice, the client's is read again.
type greeted struct {
	net.Conn
	owed []byte // what the handshake will write and was sent already
	read []byte // what was read and the handshake has not seen
}

func (c *greeted) Read(p []byte) (int, error) {
	if len(c.read) > 0 {
		n := copy(p, c.read)
		c.read = c.read[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *greeted) Write(p []byte) (int, error) {
	if len(c.owed) == 0 {
		return c.Conn.Write(p)
	}
	n := min(len(p), len(c.owed))
	if !bytes.Equal(p[:n], c.owed[:n]) {
		return 0, errors.New("handshake writes another version than was sent")
	}
	c.owed = c.owed[n:]
	if n < len(p) {
		m, err := c.Conn.Write(p[n:])
		return n + m, err
	}
	return n, nil
}
