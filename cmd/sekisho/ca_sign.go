package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/client"
)

type caSignCmd struct {
	Issuer        string        `arg:"" suggest:"to-sign" help:"The issuer, as sekisho ca issuers lists it."`
	Key           string        `arg:"" optional:"" name:"public-key-file" help:"Public key to certify. Without one, a new key goes into your ssh-agent."`
	TTL           time.Duration `placeholder:"DURATION" help:"How long it is to be valid, such as 1h."`
	Principal     []string      `placeholder:"NAME" help:"Only this one of the principals that you would get (repeatable)."`
	ForceCommand  string        `placeholder:"COMMAND" help:"The only command that it is to be good for."`
	SourceAddress string        `placeholder:"CIDR,…" help:"The only networks that it is to be good from."`
	Print         bool          `help:"Print the certificate; with a public key, instead of writing it beside that."`
	Device        bool          `xor:"flow" help:"If there is need to sign in: with a browser on another machine."`
	NoBrowser     bool          `xor:"flow" help:"If there is need to sign in: only print the address of the sign-in page."`
}

func (*caSignCmd) Help() string {
	return `Gets a certificate from an issuer that your organisation has configured, such as one for git hosting. Without a public key, a new key and its certificate go into the running ssh-agent, which drops them when the certificate expires; the key is written nowhere, and sekisho logout takes it out.

With a public key, your ssh-agent proves that you have its private half, or ssh-keygen does with the file beside it, which may ask for its passphrase, or for a touch. The certificate is written to the file that ends in -cert.pub, where ssh finds it.

What is asked for can only narrow what the issuer gives.

Examples:

    sekisho ca sign git && git clone git@git.example.com:team/app.git
    sekisho ca sign git ~/.ssh/id_ed25519.pub --ttl 1h
    sekisho ca sign backup --force-command 'rsync --server' --source-address 192.0.2.7/32 --print
`
}

func (cmd *caSignCmd) Run(a *app) error {
	if cmd.TTL < 0 || cmd.TTL > 0 && cmd.TTL < time.Second {
		return &usageError{text: fmt.Sprintf("--ttl %s: want a second or more", cmd.TTL)}
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	wish := client.Wish{
		Issuer: cmd.Issuer, TTL: cmd.TTL, Principals: cmd.Principal, ForceCommand: cmd.ForceCommand, SourceAddress: cmd.SourceAddress,
	}
	if cmd.Key == "" {
		return cmd.signNew(a, c, wish)
	}
	return cmd.signKey(a, c, wish)
}

// signNew puts a new key into the agent.
func (cmd *caSignCmd) signNew(a *app, c *client.Client, w client.Wish) error {
	agent, err := client.OpenAgent(a.ctx) // before anybody signs in for nothing
	if err != nil {
		return err
	}
	defer agent.Close()
	cert, err := c.CertifyNew(a.ctx, agent, w, a.loginOptions(cmd.Device, cmd.NoBrowser))
	if err != nil {
		return err
	}
	if cmd.Print {
		_, err := a.out.Write(ssh.MarshalAuthorizedKey(cert))
		return err
	}
	return cmd.tell(a, cert, "Your ssh-agent holds a certificate")
}

func (cmd *caSignCmd) tell(a *app, cert *ssh.Certificate, what string) error {
	until := time.Unix(int64(cert.ValidBefore), 0).Local().Format("2 Jan 15:04")
	_, err := fmt.Fprintf(a.out, "%s of %s for %s until %s.\n", what, plain(cmd.Issuer), plain(strings.Join(cert.ValidPrincipals, ", ")), until)
	return err
}

// maxPublicKey bounds the file of a public key in bytes.
const maxPublicKey = 16 << 10

// signKey certifies a key that is there already.
func (cmd *caSignCmd) signKey(a *app, c *client.Client, w client.Wish) error {
	private := strings.TrimSuffix(cmd.Key, ".pub")
	key, err := readPublicKey(private + ".pub")
	if err != nil {
		return err
	}
	prove, done := a.proverOf(key, private)
	defer done()
	cert, err := c.Certify(a.ctx, w, key, prove, a.loginOptions(cmd.Device, cmd.NoBrowser))
	if err != nil {
		return err
	}
	text := ssh.MarshalAuthorizedKey(cert)
	if cmd.Print {
		_, err := a.out.Write(text)
		return err
	}
	path := private + "-cert.pub"
	if err := replace(path, text); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o644); err != nil {
		return err
	}
	return cmd.tell(a, cert, plain(path)+" is a certificate")
}

func readPublicKey(path string) (ssh.PublicKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &sekisho.Refusal{Sentence: fmt.Sprintf("There is no public key at %s.", path), Next: "Make a key: ssh-keygen -t ed25519 — or leave the key out.", Cause: err}
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPublicKey {
		return nil, fmt.Errorf("%s is too large to be a public key", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if _, isCert := key.(*ssh.Certificate); err != nil || isCert {
		return nil, &sekisho.Refusal{Sentence: fmt.Sprintf("%s is no public key.", path), Next: "Give the file that ssh-keygen made, such as ~/.ssh/id_ed25519.pub.", Cause: err}
	}
	return key, nil
}

// proverOf asks the agent if it has the key, and ssh-keygen else: it knows all kinds of private keys, and asks for what they
// need on the terminal. The private half never comes into this process.
func (a *app) proverOf(key ssh.PublicKey, private string) (prove client.Prover, done func()) {
	if agent, err := client.OpenAgent(a.ctx); err == nil {
		if prove, ok := agent.Prover(key); ok {
			return prove, func() { agent.Close() }
		}
		agent.Close()
	}
	return func(ctx context.Context, text []byte) ([]byte, error) { return a.keygenProof(ctx, private, text) }, func() {}
}

func (a *app) keygenProof(ctx context.Context, private string, text []byte) ([]byte, error) {
	if _, err := os.Stat(private); err != nil {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("The private half of the key is neither in your ssh-agent nor at %s.", private),
			Next:     "Add it to the agent: ssh-add KEY", Cause: err,
		}
	}
	cmd := exec.CommandContext(ctx, "ssh-keygen", "-q", "-Y", "sign", "-n", client.SignNamespace, "-f", private)
	var proof bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &proof, a.err // it may ask for a touch there
	if err := cmd.Run(); err != nil {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("ssh-keygen did not sign with %s.", private),
			Next:     "See what it says above, or add the key to your ssh-agent: ssh-add KEY", Cause: err,
		}
	}
	return proof.Bytes(), nil
}
