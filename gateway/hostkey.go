package gateway

import "golang.org/x/crypto/ssh"

// addHostKeys offers the host key with its certificate and, to clients that know no host certificates, without:
// PuTTY, libssh, libssh2 and Dropbear among them. Who wants the certificate asks for it first and gets it.
func addHostKeys(config *ssh.ServerConfig, host ssh.Signer) {
	config.AddHostKey(host)
	if certificate, ok := host.PublicKey().(*ssh.Certificate); ok {
		config.AddHostKey(bareSigner{host, certificate.Key})
	}
}

// bareSigner signs as the certificate's key does, and shows only that key.
type bareSigner struct {
	ssh.Signer
	key ssh.PublicKey
}

func (s bareSigner) PublicKey() ssh.PublicKey { return s.key }
