package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/api"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// person is one who has signed in, with the token and the key that the sign-in is bound to.
type person struct {
	url, token string
	prover     *api.Prover
	roots      *x509.CertPool
}

// signIn signs a person in through the IdP's form and prints their ssh_config.
func signIn(ctx context.Context, h *house, name string) (*person, error) {
	at := h.People[name]
	if _, err := h.sekisho(ctx, name, "login", h.URL, "--ca-file", h.CAFile); err != nil {
		return nil, err
	}
	config, err := h.sekisho(ctx, name, "ssh-config")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(at.SSHConfig, config, 0o600); err != nil {
		return nil, err
	}
	p := &person{url: h.URL, roots: x509.NewCertPool()}
	text, err := os.ReadFile(filepath.Join(at.Home, "signin.json"))
	if err != nil {
		return nil, err
	}
	signed := struct{ Token string }{}
	if err := json.Unmarshal(text, &signed); err != nil {
		return nil, err
	}
	p.token = signed.Token
	if text, err = os.ReadFile(h.CAFile); err != nil {
		return nil, err
	}
	p.roots.AppendCertsFromPEM(text)
	key, err := readKey(filepath.Join(at.Home, "device.key"))
	if err != nil {
		return nil, err
	}
	p.prover, err = api.NewProver(key)
	return p, err
}

func readKey(file string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s: not PEM", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: a %T", file, key)
	}
	return private, nil
}

// caller is a person's program: one kept-alive HTTP/1.1 connection, one SSH key.
type caller struct {
	clients *api.Clients
	http    *http.Transport
	private ed25519.PrivateKey
	request *apiv1.ConnectRequest
}

func (p *person) caller(target, login string) (*caller, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	// Control checks the key's proof for every call; making it is the client's work, and once is enough for one sign-in.
	request, err := p.ask(private, target, login)
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: p.roots, MinVersion: tls.VersionTLS13}, Protocols: protocols}
	return &caller{
		clients: api.NewClients(&api.Transport{Base: base, Prover: p.prover, Token: func() string { return p.token }, Origin: p.url}),
		http:    base, private: private, request: request,
	}, nil
}

func (c *caller) connect(ctx context.Context) (*apiv1.ConnectResponse, error) {
	res, err := c.clients.Access.Connect(ctx, connect.NewRequest(c.request))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// certify gets a certificate and writes it beside its private key, which the product itself never does: the SSH port
// is measured with plain ssh.
func (p *person) certify(ctx context.Context, target, login, path string) (string, error) {
	c, err := p.caller(target, login)
	if err != nil {
		return "", err
	}
	defer c.http.CloseIdleConnections()
	res, err := c.connect(ctx)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(c.private, "bench")
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(path+".pub", []byte(c.request.PublicKey), 0o600); err != nil {
		return "", err
	}
	return path, os.WriteFile(path+"-cert.pub", []byte(res.Certificate+"\n"), 0o600)
}
