package client

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

const (
	// maxProofs is how many proofs are made for one certificate at the most, proofPause apart: a proof's time is in seconds.
	maxProofs  = 3
	proofPause = 1100 * time.Millisecond
)

// Wish is what an issuer is asked for. What is empty is the issuer's to say.
type Wish struct {
	Issuer        string
	TTL           time.Duration
	Principals    []string
	ForceCommand  string
	SourceAddress string
}

// Prover signs a text with the key that is to be certified: an SSH signature blob, or what ssh-keygen -Y sign writes.
type Prover func(ctx context.Context, text []byte) (proof []byte, err error)

// SignNamespace is the namespace of such proofs by ssh-keygen.
const SignNamespace = "sekisho-sign"

// Certify has an issuer certify a key, once its prover has shown that it is at hand. It signs in first if there is need.
func (c *Client) Certify(ctx context.Context, w Wish, key ssh.PublicKey, prove Prover, o LoginOptions) (*ssh.Certificate, error) {
	s, err := c.EnsureSignIn(ctx, "", &o)
	if err != nil {
		return nil, err
	}
	cert, err := c.certifyOnce(ctx, w, key, prove, s)
	if connect.CodeOf(err) != connect.CodeUnauthenticated {
		return cert, err
	}
	if s, err = c.EnsureSignIn(ctx, s.Token, &o); err != nil {
		return nil, err
	}
	return c.certifyOnce(ctx, w, key, prove, s)
}

// certifyOnce tries again a second later where a proof for the same key and second was used already: a script asked twice.
func (c *Client) certifyOnce(ctx context.Context, w Wish, key ssh.PublicKey, prove Prover, s SignIn) (*ssh.Certificate, error) {
	for try := 1; ; try++ {
		cert, err := c.certifyWith(ctx, w, key, prove, s)
		if connect.CodeOf(err) != connect.CodeAborted || try == maxProofs {
			return cert, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(proofPause):
		}
	}
}

func (c *Client) certifyWith(ctx context.Context, w Wish, key ssh.PublicKey, prove Prover, s SignIn) (*ssh.Certificate, error) {
	now := c.Now().Unix()
	proof, err := prove(ctx, signProof(s.Token, w.Issuer, now))
	if err != nil {
		return nil, err
	}
	// With the very token that the proof names: another process may be replacing the sign-in right now.
	res, err := c.clients(func() string { return s.Token }).Certificate.Sign(ctx, connect.NewRequest(&apiv1.SignRequest{
		Issuer: w.Issuer, PublicKey: string(ssh.MarshalAuthorizedKey(key)), KeyProof: proof, ProofTime: now,
		TtlSeconds: int64(w.TTL.Seconds()), Principals: w.Principals, ForceCommand: w.ForceCommand, SourceAddress: w.SourceAddress,
	}))
	if err != nil {
		return nil, err
	}
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(res.Msg.Certificate))
	if err != nil {
		return nil, unreachable(c.config.URL, fmt.Errorf("parse the certificate: %w", err))
	}
	cert, ok := parsed.(*ssh.Certificate)
	if !ok || cert.CertType != ssh.UserCert || !bytes.Equal(cert.Key.Marshal(), key.Marshal()) {
		return nil, unreachable(c.config.URL, errors.New("that is no user certificate for the key"))
	}
	return cert, nil
}

// signProof is what the key signs: it ties the proof to this sign-in, issuer and time.
func signProof(token, issuer string, at int64) []byte {
	return fmt.Appendf(nil, "sekisho-sign-v1\n%x\n%s\n%d\n", sha256.Sum256([]byte(token)), issuer, at)
}

// CertifyNew makes a key, has it certified and puts both into the person's agent, which drops them when the certificate
// expires. What an earlier call for the issuer has put there is replaced.
func (c *Client) CertifyNew(ctx context.Context, a *UserAgent, w Wish, o LoginOptions) (*ssh.Certificate, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	cert, err := c.Certify(ctx, w, signer.PublicKey(), func(_ context.Context, text []byte) ([]byte, error) {
		signature, err := signer.Sign(rand.Reader, text)
		return ssh.Marshal(signature), err
	}, o)
	if err != nil {
		return nil, err
	}
	return cert, c.keep(a, key, cert, w.Issuer)
}

// keep puts a certificate of an issuer into the agent in place of the one before.
func (c *Client) keep(a *UserAgent, key ed25519.PrivateKey, cert *ssh.Certificate, issuer string) error {
	comment := c.comment() + " " + issuer
	err := a.forgetCalled(func(s string) bool { return s == comment })
	if err == nil {
		left := time.Unix(int64(cert.ValidBefore), 0).Sub(c.Now())
		err = a.ask(changeTime, func() error {
			return a.keys.Add(agent.AddedKey{
				PrivateKey: key, Certificate: cert, Comment: comment, LifetimeSecs: uint32(max(1, min(left.Seconds(), 1<<31))),
			})
		})
	}
	if err != nil {
		return &sekisho.Refusal{
			Sentence: "The ssh-agent did not take the certificate.", Next: `Not every agent can keep one; OpenSSH's can: eval "$(ssh-agent)"`, Cause: err,
		}
	}
	return nil
}

// forgetCalled takes user certificates with such a comment out, and never a key by itself.
func (a *UserAgent) forgetCalled(ours func(comment string) bool) error {
	var keys []*agent.Key
	err := a.ask(listTime, func() (err error) { keys, err = a.keys.List(); return err })
	for _, k := range keys {
		parsed, e := ssh.ParsePublicKey(k.Blob)
		if cert, ok := parsed.(*ssh.Certificate); e == nil && ok && ours(k.Comment) {
			err = errors.Join(err, a.ask(changeTime, func() error { return a.keys.Remove(cert) }))
		}
	}
	return err
}

// forgetIssued takes out what CertifyNew has put there for this Sekisho.
func (c *Client) forgetIssued(a *UserAgent) error {
	return a.forgetCalled(func(comment string) bool { return strings.HasPrefix(comment, c.comment()+" ") })
}

// Prover gives what proves a key that the agent holds; ok is false where it does not.
func (a *UserAgent) Prover(key ssh.PublicKey) (prove Prover, ok bool) {
	var signers []ssh.Signer
	if err := a.ask(listTime, func() (err error) { signers, err = a.keys.Signers(); return err }); err != nil {
		return nil, false
	}
	for _, s := range signers {
		if !bytes.Equal(s.PublicKey().Marshal(), key.Marshal()) {
			continue
		}
		return func(_ context.Context, text []byte) ([]byte, error) {
			var signature *ssh.Signature
			err := a.ask(changeTime, func() (err error) { signature, err = sign(s, text); return err })
			if err != nil {
				return nil, &sekisho.Refusal{Sentence: "The ssh-agent did not sign with the key.", Next: "Look what it asks you, and try again.", Cause: err}
			}
			return ssh.Marshal(signature), nil
		}, true
	}
	return nil, false
}

// sign avoids SHA-1, which an agent means by ssh-rsa.
func sign(s ssh.Signer, text []byte) (*ssh.Signature, error) {
	if by, ok := s.(ssh.AlgorithmSigner); ok && s.PublicKey().Type() == ssh.KeyAlgoRSA {
		return by.SignWithAlgorithm(rand.Reader, text, ssh.KeyAlgoRSASHA512)
	}
	return s.Sign(rand.Reader, text)
}
