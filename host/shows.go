package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/crypto/ssh"
)

// CertificateCA gives the SHA256 fingerprint of the CA that signed the certificate that sshd shows for the host key, as its
// own configuration says, whoever wrote it. Empty: it shows none.
func (h *Host) CertificateCA(ctx context.Context) (string, error) {
	line, err := h.HostKey()
	if err != nil {
		return "", err
	}
	key, err := parseKey(line)
	if err != nil {
		return "", err
	}
	effective, err := h.ask(ctx)
	if err != nil {
		return "", err
	}
	for path := range strings.SplitSeq(effective["hostcertificate"], "\n") {
		if path == "" || path == "none" {
			continue
		}
		text, err := readFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // sshd goes without it
		}
		if err != nil {
			return "", fmt.Errorf("read host certificate: %w", err)
		}
		shown, _, _, _, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			continue
		}
		if cert, ok := shown.(*ssh.Certificate); ok && bytes.Equal(cert.Key.Marshal(), key.Marshal()) {
			return ssh.FingerprintSHA256(cert.SignatureKey), nil
		}
	}
	return "", nil
}
