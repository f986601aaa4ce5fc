package client

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/sekisho/sekisho"
)

// agentTime is how long the agent waits for ssh to ask: key exchange through the stream happens in it.
const agentTime = 30 * time.Second

// agentConns is how many connections the agent serves at once; ssh makes one.
const agentConns = 8

// oneKey is an agent that holds one key with its certificate, and signs once: the authentication of one login. It
// signs nothing else, so that a forwarded or stolen connection to it is good for nothing.
type oneKey struct {
	login string
	cert  *ssh.Certificate
	blob  []byte // the certificate as it goes over the wire

	mu     sync.Mutex
	key    ed25519.PrivateKey // nil once used
	signed chan struct{}
}

var errReadOnly = errors.New("this agent holds one key for one connection and takes no orders")

func newOneKey(login string, key ed25519.PrivateKey, cert *ssh.Certificate) *oneKey {
	return &oneKey{login: login, cert: cert, blob: cert.Marshal(), key: key, signed: make(chan struct{})}
}

// List shows the certificate until it has been used.
func (o *oneKey) List() ([]*agent.Key, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.key == nil {
		return nil, nil
	}
	return []*agent.Key{{Format: o.cert.Type(), Blob: o.blob, Comment: "sekisho"}}, nil
}

// Sign signs the one authentication, and forgets the key.
func (o *oneKey) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.key == nil || !bytes.Equal(key.Marshal(), o.blob) {
		return nil, errReadOnly
	}
	if !authenticates(data, o.login, o.blob) {
		return nil, errors.New("this agent signs its own connection's authentication and nothing else")
	}
	signer, err := ssh.NewSignerFromKey(o.key)
	if err != nil {
		return nil, err
	}
	sig, err := signer.Sign(rand.Reader, data)
	if err != nil {
		return nil, err
	}
	clear(o.key)
	o.key = nil
	close(o.signed)
	return sig, nil
}

// authenticates says whether data is what RFC 4252 section 7 has a client sign to log in with that key: session
// identifier, then the request. OpenSSH's publickey-hostbound-v00@openssh.com appends the host's key to it.
func authenticates(data []byte, login string, blob []byte) bool {
	var session struct {
		ID   []byte
		Rest []byte `ssh:"rest"`
	}
	var request struct {
		User, Service, Method string
		HasSignature          bool
		Algorithm             string
		Key                   []byte
		Rest                  []byte `ssh:"rest"`
	}
	const userAuthRequest = 50
	if ssh.Unmarshal(data, &session) != nil || len(session.Rest) == 0 || session.Rest[0] != userAuthRequest {
		return false
	}
	if ssh.Unmarshal(session.Rest[1:], &request) != nil {
		return false
	}
	method := request.Method == "publickey" || request.Method == "publickey-hostbound-v00@openssh.com"
	return method && request.User == login && request.Service == "ssh-connection" &&
		request.HasSignature && bytes.Equal(request.Key, blob)
}

func (o *oneKey) Add(agent.AddedKey) error       { return errReadOnly }
func (o *oneKey) Remove(ssh.PublicKey) error     { return errReadOnly }
func (o *oneKey) RemoveAll() error               { return errReadOnly }
func (o *oneKey) Lock([]byte) error              { return errReadOnly }
func (o *oneKey) Unlock([]byte) error            { return errReadOnly }
func (o *oneKey) Signers() ([]ssh.Signer, error) { return nil, errReadOnly }
func (o *oneKey) forget()                        { o.mu.Lock(); clear(o.key); o.key = nil; o.mu.Unlock() }

// socketPath is where ssh looks for the agent of login@host; ssh_config says the same with %r@%h. The port is not in
// it, because it means nothing to a target and older OpenSSH (7.5 was tried) knows no %p there. The limit is that of
// sockaddr_un less its final NUL.
func (h Home) socketPath(login, host string) (string, error) {
	limit := 103
	if runtime.GOOS == "linux" {
		limit = 107
	}
	path := filepath.Join(h.run(), login+"@"+host+".sock")
	if len(path) > limit {
		return "", &sekisho.Refusal{
			Sentence: fmt.Sprintf("The agent's socket %s would have a path of %d bytes, and %d are the most.", path, len(path), limit),
			Next:     "Set SEKISHO_HOME to a shorter folder, log in there and run sekisho ssh-config again.",
		}
	}
	return path, nil
}

// serveAgent serves keys at path from when it returns until ssh has its signature, agentTime is over, or stop is
// called; then the socket is gone. The path's lock is held as long: several ssh to one login and host share the
// path, and each must meet its own agent. stop waits for the end.
func (h Home) serveAgent(ctx context.Context, path string, keys *oneKey) (stop func(), err error) {
	unlock, err := h.lockContext(ctx, filepath.Base(path))
	if err != nil {
		return nil, err
	}
	listener, err := listenAgent(path)
	if err != nil {
		unlock()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, agentTime)
	gone := make(chan struct{})
	go acceptAgent(listener, keys)
	go func() {
		defer close(gone)
		defer cancel()
		select {
		case <-keys.signed:
		case <-ctx.Done():
			keys.forget()
		}
		listener.Close() // unlinks the socket
		unlock()
	}()
	return func() { cancel(); <-gone }, nil
}

func listenAgent(path string) (*net.UnixListener, error) {
	if runtime.GOOS == "windows" {
		return nil, &sekisho.Refusal{
			Sentence: "OpenSSH on Windows cannot use the agent of a single connection.", Next: "Use ssh and sekisho inside WSL.",
		}
	}
	// Whoever held the lock before and was killed has left its socket.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("clear the agent's socket: %w", err)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen as agent: %w", err)
	}
	// The folder is 0700 already; this is for those who look at the socket alone.
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, fmt.Errorf("listen as agent: %w", err)
	}
	return listener, nil
}

func acceptAgent(listener *net.UnixListener, keys *oneKey) {
	slots := make(chan struct{}, agentConns)
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			return // closed
		}
		select {
		case slots <- struct{}{}:
		default:
			conn.Close()
			continue
		}
		go func() {
			defer func() { conn.Close(); <-slots }()
			if samePerson(conn) {
				agent.ServeAgent(keys, conn) // its error is only how the peer left
			}
		}()
	}
}
