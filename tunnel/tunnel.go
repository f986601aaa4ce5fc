// Package tunnel is the outbound link, both ends: how a gateway reaches a target behind a connector that nobody
// can dial.
//
// A link is one control connection and a few data connections, all dialled by the connector: TLS 1.3 on the house's
// HTTPS port with the ALPN "sekisho-link/1" and an x509 certificate on both sides. Its life, as DESIGN.md states in full:
//
//	connector                               gateway
//	hello(control), serve(names…)    ->     authorize, note, register
//	                                 <-     welcome
//	hello(data) on n spare ones      ->     kept until somebody dials a target
//	                                 <-     open(target) on a spare one
//	dial the target's address               wait
//	opened                           ->     raw bytes from here on, both ways
//	ping every 15 s                  ->     pong; 45 s of silence end the link
//	                                 <-     want(n) when the spare ones do not suffice
//	drain                            ->     no new streams; open ones go on
//
// There is no multiplexer: each stream has its own connection, so that a bulk copy cannot hold up a keystroke and
// every byte is encrypted once. Registry is the gateway's end, Link the connector's.
//
// The package never lets an address cross the link: a target travels by name, and the connector maps the name to an
// address of its own configuration. It never looks into the bytes of a stream.
package tunnel

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// ALPN is the protocol name (RFC 7301) that a connector offers, and what the house's HTTPS listener tells a link
// from a browser by.
const ALPN = "sekisho-link/1"

// Times that both ends share.
const (
	handshakeTime = 10 * time.Second // from the TLS handshake to welcome
	pingInterval  = 15 * time.Second
	silenceTime   = 45 * time.Second // without any frame, the link is taken for dead
	writeTime     = 10 * time.Second // for one frame
)

// uriPrefix begins the URI SAN of a connector's x509 certificate; the connector's ID follows.
const uriPrefix = "sekisho://connector/"

// ServerTLS makes the listener's TLS configuration from the one that browsers get: only who offers ALPN is asked for
// a certificate, which must then verify against clientCAs. Browsers are never asked.
func ServerTLS(base *tls.Config, clientCAs *x509.CertPool) *tls.Config {
	link := base.Clone()
	link.GetConfigForClient = nil
	link.NextProtos = []string{ALPN}
	link.MinVersion = tls.VersionTLS13
	link.ClientAuth = tls.RequireAndVerifyClientCert
	link.ClientCAs = clientCAs
	// No resumption: spare connections are dialled ahead, so it would save nothing that somebody waits for, and each
	// connection proves its certificate anew.
	link.SessionTicketsDisabled = true
	link.DynamicRecordSizingDisabled = true

	outer := base.Clone()
	outer.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if slices.Contains(hello.SupportedProtos, ALPN) {
			return link, nil
		}
		if base.GetConfigForClient != nil {
			return base.GetConfigForClient(hello)
		}
		return nil, nil
	}
	return outer
}

// clientTLS is the connector's configuration for every connection of its link.
func clientTLS(base *tls.Config, host string) *tls.Config {
	c := base.Clone()
	c.NextProtos = []string{ALPN}
	c.MinVersion = tls.VersionTLS13
	c.SessionTicketsDisabled = true
	c.DynamicRecordSizingDisabled = true
	if c.ServerName == "" {
		c.ServerName = host
	}
	return c
}

// connectorID is the ID that a connector's x509 certificate names in its one URI SAN.
func connectorID(leaf *x509.Certificate) (string, error) {
	if len(leaf.URIs) != 1 {
		return "", fmt.Errorf("x509 certificate names %d URIs, want one", len(leaf.URIs))
	}
	id, ok := strings.CutPrefix(leaf.URIs[0].String(), uriPrefix)
	if !ok || !sekisho.CheckID("con", id) {
		return "", errors.New("x509 certificate names no connector")
	}
	return id, nil
}
