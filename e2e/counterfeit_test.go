package e2e_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/ca"
)

// counterfeit signs a certificate anew by the house's own CA key, which has been stolen: "counterfeit CERT OUT SERIAL PRINCIPAL".
func counterfeit(p *traveller, args []string) error {
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return err
	}
	cert := key.(*ssh.Certificate)
	stolen, err := ca.OpenKey(filepath.Join(p.house.Data, "keys", "user-ca.pem"))
	if err != nil {
		return err
	}
	signer, err := ssh.NewSignerFromSigner(stolen)
	if err != nil {
		return err
	}
	if cert.Serial, err = strconv.ParseUint(args[2], 10, 64); err != nil {
		return err
	}
	cert.ValidPrincipals = []string{args[3]}
	if err := cert.SignCert(rand.Reader, signer); err != nil {
		return err
	}
	return os.WriteFile(args[1], ssh.MarshalAuthorizedKey(cert), 0o600)
}
