package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// probeTime bounds a probe: its stream through the link, and the key exchange.
const probeTime = 5 * time.Second

// errSeen ends a key exchange once the host key has been seen.
var errSeen = errors.New("host key seen")

// probeHostKey fills control's ProbeHostKey port: it begins SSH with the target over its connector's link, has the server
// sign the key exchange by its host key of that type, and hangs up. The key that it gives is one that the server holds.
func (h *house) probeHostKey(ctx context.Context, target, keyType string) (ssh.PublicKey, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	conn, err := h.registry.Dial(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", target, err)
	}
	defer conn.Close()
	return probe(ctx, conn, target, keyType)
}

func probe(ctx context.Context, conn net.Conn, target, keyType string) (ssh.PublicKey, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var seen ssh.PublicKey
	c, channels, requests, err := ssh.NewClientConn(conn, target, &ssh.ClientConfig{
		HostKeyAlgorithms: signingAlgorithms(keyType),
		// It is called once the server's signature has been verified.
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error { seen = key; return errSeen },
	})
	if err == nil { // never: the callback has refused
		go ssh.DiscardRequests(requests)
		go func() {
			for ch := range channels {
				ch.Reject(ssh.Prohibited, "")
			}
		}()
		c.Close()
	}
	switch {
	case seen != nil:
		return seen, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("probe host key of %s: %w", target, ctx.Err())
	}
	return nil, fmt.Errorf("probe host key of %s: %w", target, err)
}

// signingAlgorithms are those that a key of that type signs key exchanges with (RFC 8332 for RSA).
func signingAlgorithms(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}
