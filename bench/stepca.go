package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/crypto/ssh"
)

// stepVersion is the step-ca that is measured; it is built by the go command from its module, into the user's cache.
const stepVersion = "v0.30.2"

// stepProgram finds step-ca, or builds it: BENCH_STEPCA names a program, or says "no".
func stepProgram(ctx context.Context) (string, error) {
	switch named := os.Getenv("BENCH_STEPCA"); named {
	case "":
	case "no":
		return "", errors.New("BENCH_STEPCA says so")
	default:
		return named, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "sekisho-bench", "step-ca@"+stepVersion)
	program := filepath.Join(dir, "step-ca")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	fmt.Fprintln(os.Stderr, "building step-ca", stepVersion, "into", dir)
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	build := exec.CommandContext(ctx, "go", "install", "-trimpath", "github.com/smallstep/certificates/cmd/step-ca@"+stepVersion)
	build.Dir = os.TempDir() // in no module of anybody
	build.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install: %w: %s", err, lastLine(out))
	}
	return program, nil
}

func lastLine(out []byte) []byte {
	out = bytes.TrimSpace(out)
	return out[bytes.LastIndexByte(out, '\n')+1:]
}

// stepCA starts step-ca with what a durable SSH CA of it has: badger, and a JWK provisioner, whose tokens work once.
func (s *street) stepCA(ctx context.Context) (*issuer, error) {
	program, err := stepProgram(ctx)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.dir, "step")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	l.Close()
	provisioner, roots, err := writeStep(dir, address)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(program, filepath.Join(dir, "ca.json"))
	cmd.Env = append(os.Environ(), "STEPPATH="+dir)
	cmd.Stdout, cmd.Stderr = log, log
	if err := s.keep(cmd); err != nil {
		return nil, err
	}
	if err := await(ctx, 30*time.Second, func() bool { return answers(address) }); err != nil {
		text, _ := os.ReadFile(log.Name())
		return nil, fmt.Errorf("it does not start: %w: %s", err, lastLine(text))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: provisioner}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	url := "https://" + address + "/1.0/ssh/sign"
	return &issuer{name: "step-ca, badger", pid: cmd.Process.Pid, url: url, roots: roots,
		ask: func(key ed25519.PrivateKey) (http.Header, []byte, error) {
			body, err := askStep(signer, url, key)
			return http.Header{"Content-Type": {"application/json"}}, body, err
		},
		read: readStep,
	}, nil
}

func answers(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

const (
	stepSubject = "mei@example.com"
	stepName    = "bench"
	stepTTL     = "1h"
)

// askStep makes a call for a user certificate, with a one-time token of the provisioner.
func askStep(signer jose.Signer, url string, key ed25519.PrivateKey) ([]byte, error) {
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return nil, err
	}
	now := time.Now()
	claims := jwt.Claims{Issuer: stepName, Audience: jwt.Audience{url}, Subject: stepSubject, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(4 * time.Minute))}
	wish := map[string]any{"certType": "user", "keyID": stepSubject, "principals": []string{"root:db1"}, "validBefore": stepTTL}
	token, err := jwt.Signed(signer).Claims(claims).Claims(map[string]any{"step": map[string]any{"ssh": wish}}).Serialize()
	if err != nil {
		return nil, err
	}
	wish["publicKey"], wish["ott"] = public.Marshal(), token
	return json.Marshal(wish)
}

func readStep(answer []byte) (*ssh.Certificate, error) {
	var res struct {
		Certificate string `json:"crt"`
	}
	if err := json.Unmarshal(answer, &res); err != nil {
		return nil, err
	}
	wire, err := base64.StdEncoding.DecodeString(res.Certificate)
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		return nil, err
	}
	c, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, fmt.Errorf("a %s, not a certificate", key.Type())
	}
	return c, nil
}

// writeStep writes keys, certificates and configuration, all of P-256.
func writeStep(dir, address string) (provisioner jose.JSONWebKey, roots *x509.CertPool, err error) {
	keys := map[string]*ecdsa.PrivateKey{}
	for _, name := range []string{"root", "intermediate", "host", "user", "provisioner"} {
		if keys[name], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return provisioner, nil, err
		}
		der, err := x509.MarshalECPrivateKey(keys[name])
		if err == nil {
			err = writePEM(filepath.Join(dir, name+".key"), "EC PRIVATE KEY", der)
		}
		if err != nil {
			return provisioner, nil, err
		}
	}
	root, err := stepRoot(dir, keys["root"], keys["intermediate"])
	if err != nil {
		return provisioner, nil, err
	}
	roots = x509.NewCertPool()
	roots.AddCert(root)
	provisioner = jose.JSONWebKey{Key: keys["provisioner"], Use: "sig", Algorithm: string(jose.ES256)}
	sum, err := provisioner.Thumbprint(crypto.SHA256)
	if err != nil {
		return provisioner, nil, err
	}
	provisioner.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	at := func(name string) string { return filepath.Join(dir, name) }
	type object = map[string]any
	config, err := json.Marshal(object{
		"root": at("root.crt"), "crt": at("intermediate.crt"), "key": at("intermediate.key"),
		"address": address, "dnsNames": []string{"127.0.0.1"},
		"ssh": object{"hostKey": at("host.key"), "userKey": at("user.key")},
		"db":  object{"type": "badgerv2", "dataSource": at("db")},
		"authority": object{"provisioners": []object{{"type": "JWK", "name": stepName, "key": provisioner.Public(),
			"claims": object{"enableSSHCA": true}}}},
	})
	if err != nil {
		return provisioner, nil, err
	}
	return provisioner, roots, os.WriteFile(at("ca.json"), config, 0o600)
}

// stepRoot writes the certificates of its x509 side, from which its own HTTPS certificate comes.
func stepRoot(dir string, rootKey, middleKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	now := time.Now()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench root"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	middle := *root
	middle.SerialNumber, middle.Subject.CommonName, middle.MaxPathLenZero = big.NewInt(2), "bench intermediate", true
	for _, c := range []struct {
		name string
		cert *x509.Certificate
		key  *ecdsa.PrivateKey
	}{{"root", root, rootKey}, {"intermediate", &middle, middleKey}} {
		der, err := x509.CreateCertificate(rand.Reader, c.cert, root, &c.key.PublicKey, rootKey)
		if err == nil {
			err = writePEM(filepath.Join(dir, c.name+".crt"), "CERTIFICATE", der)
		}
		if err != nil {
			return nil, err
		}
		if c.cert == root {
			if root, err = x509.ParseCertificate(der); err != nil {
				return nil, err
			}
		}
	}
	return root, nil
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
