package gateway

import (
	"io"
	"net"
	"net/netip"

	"golang.org/x/crypto/ssh"
)

// channelConn makes a connection of an SSH channel, so that SSH can be ended inside it. Both directions go through a
// pipe: a channel knows no deadlines, and a peer that reads nothing, or never answers a close, must not hold up who
// has given up. Closing it delivers what was written before, then closes the channel.
type channelConn struct {
	net.Conn          // our end of the pipe
	inner    net.Conn // the channel's end
	channel  ssh.Channel
	client   netip.Addr
}

// newChannelConn makes a connection of a channel that was accepted, opened by somebody at client. Nothing arrives on
// it until feed is called; what is written to the channel is counted.
func newChannelConn(ch ssh.Channel, client netip.Addr, count counter) *channelConn {
	c := &channelConn{channel: ch, client: client}
	c.Conn, c.inner = net.Pipe()
	go c.drain(count)
	return c
}

// feed brings what was read from the channel before, and then what src reads from it, counting that. It returns when
// either side has ended.
func (c *channelConn) feed(first []byte, src io.Reader, count counter) {
	defer c.inner.Close()
	if len(first) > 0 {
		if _, err := c.inner.Write(first); err != nil {
			return
		}
	}
	pump(c.inner, src, count)
}

// drain takes what is written to the connection to the channel.
func (c *channelConn) drain(count counter) {
	defer c.inner.Close()
	pump(c.channel, c.inner, count)
	c.channel.CloseWrite()
	c.channel.Close()
}

// LocalAddr is of no address: the connection came inside another.
func (c *channelConn) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr is where the person is, who opened the channel; the port is not known.
func (c *channelConn) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.client, 0))
}
