package keystore

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentLinks is how many connections to an agent there are at most. Agents sign one after the other anyway.
const agentLinks = 4

// agentPlace is agent:[SOCKET]?fingerprint=SHA256:...
type agentPlace struct {
	socket, fingerprint string
}

func readAgentPlace(rest string) (place, error) {
	socket, values, err := readQuery(rest, "fingerprint")
	if err != nil {
		return nil, err
	}
	sum, ok := strings.CutPrefix(values["fingerprint"], "SHA256:")
	if raw, err := base64.RawStdEncoding.DecodeString(sum); !ok || err != nil || len(raw) != 32 {
		return nil, errors.New("want agent:[SOCKET]?fingerprint=SHA256:... as ssh-add -l shows it")
	}
	return agentPlace{socket: socket, fingerprint: values["fingerprint"]}, nil
}

func (p agentPlace) name() string { return "agent:" + p.socket + " key " + p.fingerprint }

func (p agentPlace) fail(err error) error {
	fix := "is the agent running, and is its socket there? Start it and add the key (ssh-add); signing goes on by itself"
	switch {
	case errors.Is(err, ErrClosed):
		fix = ""
	case errors.Is(err, ErrNotFound):
		fix = "add it: ssh-add FILE; signing goes on by itself"
	case errors.Is(err, errOtherKey), errors.Is(err, errSignature):
		fix = "do not trust this agent until it is known why"
	case errors.Is(err, errNoSocket):
		fix = "set it, or write agent:SOCKET?fingerprint=..."
	}
	return &Error{Store: p.name(), Cause: err, Fix: fix}
}

var errNoSocket = errors.New("SSH_AUTH_SOCK is not set")

func (p agentPlace) open(ctx context.Context, o Options) (Key, error) {
	r, err := openRemote(ctx, store{dial: func(ctx context.Context) (link, error) { return p.dial(ctx, o) }, fail: p.fail, links: agentLinks, whole: true}, o.Timeout)
	if err != nil {
		return nil, err
	}
	return &agentKey{r}, nil
}

func (p agentPlace) create(context.Context, Kind, Options) (Key, error) {
	return nil, &Error{Store: p.name(), Cause: errors.New("an agent makes no keys"), Fix: "make one with ssh-keygen, and add it with ssh-add"}
}

// dial connects to the agent and finds the key there.
func (p agentPlace) dial(ctx context.Context, o Options) (link, error) {
	socket := o.path(p.socket)
	if p.socket == "" {
		if socket = o.Getenv("SSH_AUTH_SOCK"); socket == "" {
			return nil, errNoSocket
		}
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	l := &agentLink{conn: conn, agent: agent.NewClient(conn)}
	if err := l.find(ctx, p.fingerprint); err != nil {
		conn.Close()
		return nil, err
	}
	return l, nil
}

// agentLink is a connection to an agent.
type agentLink struct {
	conn  net.Conn
	agent agent.ExtendedAgent
	key   ssh.PublicKey
}

func (l *agentLink) find(ctx context.Context, fingerprint string) error {
	hold(ctx, l.conn)
	keys, err := l.agent.List()
	if err != nil {
		return fmt.Errorf("list keys: %w", err)
	}
	for _, k := range keys {
		public, err := ssh.ParsePublicKey(k.Marshal())
		if err == nil && ssh.FingerprintSHA256(public) == fingerprint {
			l.key = public
			return nil
		}
	}
	return ErrNotFound
}

func (l *agentLink) public(ctx context.Context) (crypto.PublicKey, error) {
	if err := l.find(ctx, ssh.FingerprintSHA256(l.key)); err != nil {
		return nil, err
	}
	key, ok := l.key.(ssh.CryptoPublicKey)
	if !ok || strings.HasPrefix(l.key.Type(), "sk-") {
		return nil, fmt.Errorf("the key is of type %s: want Ed25519, or ECDSA of P-256 or P-384", l.key.Type())
	}
	return key.CryptoPublicKey(), nil
}

// sign has the agent sign a whole message, and gives DER where crypto's own functions do.
func (l *agentLink) sign(ctx context.Context, message []byte, _ crypto.Hash) ([]byte, error) {
	hold(ctx, l.conn)
	s, err := l.agent.Sign(l.key, message)
	if err != nil {
		return nil, err
	}
	if s.Format != l.key.Type() {
		return nil, fmt.Errorf("it signs with %.40q, and the key is %s", s.Format, l.key.Type())
	}
	if !strings.HasPrefix(s.Format, "ecdsa-") {
		return s.Blob, nil
	}
	var pair struct{ R, S *big.Int }
	if err := ssh.Unmarshal(s.Blob, &pair); err != nil {
		return nil, fmt.Errorf("read the signature: %w", err)
	}
	return asn1.Marshal(pair)
}

func (l *agentLink) close() error { return l.conn.Close() }

// agentKey is a key in an agent, which signs whole messages only.
type agentKey struct{ *remote }

// Sign signs Ed25519 messages; an agent hashes by itself for ECDSA, so that a digest cannot be signed.
func (k *agentKey) Sign(random io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if _, ok := k.known.(*ecdsa.PublicKey); ok {
		return nil, k.fail(errors.New("sign: an agent takes no digests with ECDSA, only whole messages (SignMessage)"))
	}
	return k.remote.Sign(random, message, opts)
}

// SignMessage has the agent sign a message, with the hash that SSH uses with the key: opts must say the same.
func (k *agentKey) SignMessage(_ io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash := messageHash(k.known)
	if opts.HashFunc() != hash {
		return nil, k.fail(fmt.Errorf("sign: hash %d with a key of type %T: an agent signs with %d", opts.HashFunc(), k.known, hash))
	}
	return k.remote.sign(context.Background(), message, digestOf(hash, message), hash)
}

var _ crypto.MessageSigner = (*agentKey)(nil)
