package gateway_test

import (
	"testing"

	"golang.org/x/crypto/ssh"
)

// A client that knows no host certificates sees the key of the certificate, and no other.
func TestClientsWithoutHostCertificates(t *testing.T) {
	h := newHouse(t)
	_, config := h.user()
	conn, _, err := h.stream("ok")
	if err != nil {
		t.Fatal(err)
	}
	config.HostKeyAlgorithms = []string{ssh.KeyAlgoED25519}
	config.HostKeyCallback = ssh.FixedHostKey(h.hostKey.PublicKey().(*ssh.Certificate).Key)
	c, channels, requests, err := ssh.NewClientConn(conn, "db1:22", config)
	if err != nil {
		t.Fatal(err)
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	if s, err := client.NewSession(); err != nil || s.Run("true") != nil {
		t.Error("no session", err)
	}
}
