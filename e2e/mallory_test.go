package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/api"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/client"
	"github.com/sekisho/sekisho/control"
)

// tools are what mallory has made for herself. They speak the protocols as the real client does, and then not.
var tools = map[string]func(p *traveller, args []string) error{
	"take":        take,
	"enter":       enter,
	"straight":    straight,
	"stream":      stream,
	"tamper":      tamper,
	"replay":      replay,
	"recut":       recut,
	"resign":      resign,
	"outwait":     outwait,
	"tap":         tap,
	"step":        stepAtOnce,
	"counterfeit": counterfeit,
}

// take gets certificate and token for a target, as sekisho connect does, and keeps what sekisho never writes down:
// "take HOST FILE" leaves an OpenSSH private key in FILE, its certificate in FILE-cert.pub and the token in FILE.token.
func take(p *traveller, args []string) error {
	host, file := args[0], args[1]
	c, k, err := p.newKey(func(token string) []byte { return control.ProofText(token, host, p.house.Login) })
	if err != nil {
		return err
	}
	res, err := c.Access().Connect(context.Background(), connect.NewRequest(&apiv1.ConnectRequest{
		Host: host, Login: p.house.Login, PublicKey: k.line, KeyProof: k.proof,
	}))
	if err != nil {
		return err
	}
	return errors.Join(k.write(file, res.Msg.Certificate), os.WriteFile(file+".token", []byte(res.Msg.Token), 0o600))
}

// enter does the same with what sekisho login --agent gives to an agent only: "enter FILE".
func enter(p *traveller, args []string) error {
	c, k, err := p.newKey(control.EnterText)
	if err != nil {
		return err
	}
	res, err := c.Access().Enter(context.Background(), connect.NewRequest(&apiv1.EnterRequest{PublicKey: k.line, KeyProof: k.proof}))
	if err != nil {
		return err
	}
	return k.write(args[0], res.Msg.Certificate)
}

// provenKey is an SSH key with the proof that its person's sign-in asks for.
type provenKey struct {
	private ed25519.PrivateKey
	line    string
	proof   []byte
}

func (p *traveller) newKey(text func(token string) []byte) (*client.Client, *provenKey, error) {
	c, err := client.Open(p.sekisho())
	if err != nil {
		return nil, nil, err
	}
	s, err := c.Home().SignIn()
	if err != nil {
		return nil, nil, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, nil, err
	}
	proof, err := signer.Sign(rand.Reader, text(s.Token))
	return c, &provenKey{key, string(ssh.MarshalAuthorizedKey(signer.PublicKey())), ssh.Marshal(proof)}, err
}

// write leaves an OpenSSH private key in a file, and its certificate beside it.
func (k *provenKey) write(file, certificate string) error {
	block, err := ssh.MarshalPrivateKey(k.private, "taken")
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(file, pem.EncodeToMemory(block), 0o600),
		os.WriteFile(file+"-cert.pub", []byte(certificate+"\n"), 0o600))
}

// straight is ssh without Sekisho's configuration, without questions, and with a blind eye for host keys.
func straight(_ *traveller, args []string) error {
	return become(append([]string{"ssh", "-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=INFO"}, args...))
}

// outwait waits until the certificate in the file has expired.
func outwait(_ *traveller, args []string) error {
	line, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	parsed, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return err
	}
	certificate, ok := parsed.(*ssh.Certificate)
	if !ok {
		return errors.New("that is no certificate")
	}
	// sshd counts whole seconds.
	time.Sleep(time.Until(time.Unix(int64(certificate.ValidBefore), 0).Add(time.Second)))
	return nil
}

// prover holds the key in this person's folder, which is made when there is none.
func (p *traveller) prover() (*api.Prover, error) {
	text, err := os.ReadFile(filepath.Join(p.sekisho(), "device.key"))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("device.key is no PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("device.key is a %T", parsed)
	}
	return api.NewProver(key)
}

func (p *traveller) dial() (*tls.Conn, error) {
	text, err := os.ReadFile(p.house.CAFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p.house.Port), &tls.Config{RootCAs: pool})
}

// stream is a ProxyCommand that opens the gateway with any token there is: "stream TOKENFILE".
func stream(p *traveller, args []string) error {
	token, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	prover, err := p.prover()
	if err != nil {
		return err
	}
	conn, err := p.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	req, err := http.NewRequest(http.MethodGet, p.house.URL+"/v1/stream", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "sekisho-stream")
	sign := &api.Transport{Prover: prover, Token: func() string { return string(token) }}
	if err := errors.Join(sign.Sign(req), req.Write(conn)); err != nil {
		return err
	}
	in := bufio.NewReader(conn)
	res, err := http.ReadResponse(in, req)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		said, _ := io.ReadAll(res.Body)
		return fmt.Errorf("%s: %s", res.Status, said)
	}
	go func() {
		io.Copy(conn, os.Stdin)
		conn.CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, in)
	return err
}

// tamper writes another value into a claim of a token: "tamper FILE CLAIM VALUE NEWFILE".
func tamper(_ *traveller, args []string) error {
	token, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	parts := strings.Split(string(token), ".")
	if len(parts) != 3 {
		return errors.New("that is no token")
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	claims := map[string]any{}
	if err := json.Unmarshal(body, &claims); err != nil {
		return err
	}
	if claims[args[1]] == nil {
		return fmt.Errorf("no claim %s in %s", args[1], body)
	}
	claims[args[1]] = args[2]
	if body, err = json.Marshal(claims); err != nil {
		return err
	}
	parts[1] = base64.RawURLEncoding.EncodeToString(body)
	return os.WriteFile(args[3], []byte(strings.Join(parts, ".")), 0o600)
}

// replay makes one call twice, with the same proof, and prints how each was answered.
func replay(p *traveller, _ []string) error {
	s, err := client.OpenHome(p.sekisho())
	if err != nil {
		return err
	}
	signIn, err := s.SignIn()
	if err != nil {
		return err
	}
	prover, err := p.prover()
	if err != nil {
		return err
	}
	page := p.house.URL + "/sekisho.v1.SignInService/Status"
	proof, err := prover.Proof(http.MethodPost, page, signIn.Token, time.Now())
	if err != nil {
		return err
	}
	for range 2 {
		if err := p.callWith(page, signIn.Token, proof); err != nil {
			return err
		}
	}
	return nil
}

func (p *traveller) callWith(page, token, proof string) error {
	conn, err := p.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	req, err := http.NewRequest(http.MethodPost, page, bytes.NewReader([]byte("{}")))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "DPoP "+token)
	req.Header.Set("DPoP", proof)
	if err := req.Write(conn); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	fmt.Println(res.Status)
	return nil
}
