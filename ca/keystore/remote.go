package keystore

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// link is one connection to a store in which a key is, used by one goroutine at a time. Its errors are bare causes; whoever
// made it gives them names and fixes.
type link interface {
	// public asks the store for the key's public half.
	public(context.Context) (crypto.PublicKey, error)
	// sign signs a digest, or a whole message where the store takes no digests. ECDSA signatures are DER.
	sign(ctx context.Context, data []byte, hash crypto.Hash) ([]byte, error)
	close() error
}

// store says how to reach a key that is not in this process.
type store struct {
	// dial makes a link. The first is made when the key is opened, others when there is more to do, or one broke.
	dial func(context.Context) (link, error)
	// fail gives an error the store's name and a fix.
	fail func(error) error
	// links bounds how many there are at once.
	links int
	// whole: it signs whole messages, not digests.
	whole bool
	// brief: a link is let go after each use, because others wait for the store.
	brief bool
	// done is called when the last link is closed for good; it may be nil.
	done func() error
}

// remote is a key that is not in this process. It keeps links that work and lets go of those that failed: the next
// signature makes a new one, and so finds a store that has come back.
type remote struct {
	store
	timeout time.Duration
	known   crypto.PublicKey
	// slots holds a token for each link in use. A call that never comes back keeps its token, so that stuck calls are bounded.
	slots chan struct{}

	mu     sync.Mutex
	idle   []link
	inUse  int
	closed bool
}

var (
	errStuck = errors.New("it does not answer")
	errBusy  = errors.New("it is busy with signatures that were asked for before")
)

// openRemote makes the first link and learns the public key.
func openRemote(ctx context.Context, s store, timeout time.Duration) (*remote, error) {
	r := &remote{store: s, timeout: timeout, slots: make(chan struct{}, s.links)}
	err := r.do(ctx, func(ctx context.Context, l link) error {
		public, err := l.public(ctx)
		if err == nil {
			err = checkKind(public)
		}
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.closed { // by then nobody waits for it
			r.known = public
		}
		return nil
	})
	if err == nil {
		err = r.prove(ctx)
	}
	if err != nil {
		r.Close() // what it says is no news
		return nil, err
	}
	return r, nil
}

// trial is signed when a key is opened, and is no certificate.
const trial = "sekisho: can this key sign?"

// prove finds out whether the store signs at all: a passphrase, a permission or a key's use may be wrong, which is better
// known at the start.
func (r *remote) prove(ctx context.Context) error {
	hash := messageHash(r.known)
	data, signed := []byte(trial), digestOf(hash, []byte(trial))
	if !r.whole {
		data = signed
	}
	_, err := r.sign(ctx, data, signed, hash)
	return err
}

// digestOf is what a key signs of a message.
func digestOf(hash crypto.Hash, message []byte) []byte {
	if hash == 0 {
		return message
	}
	h := hash.New()
	h.Write(message)
	return h.Sum(nil)
}

// openKey is openRemote for stores that sign digests.
func openKey(ctx context.Context, s store, timeout time.Duration) (Key, error) {
	r, err := openRemote(ctx, s, timeout)
	if err != nil {
		return nil, err // and no *remote that is nil, which would be a Key that is not
	}
	return r, nil
}

func (r *remote) Public() crypto.PublicKey { return r.known }

// Sign has the store sign a digest, or for Ed25519 (hash 0) a message, and verifies what it gives.
func (r *remote) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	hash := opts.HashFunc()
	if hash != 0 && len(digest) != hash.Size() {
		return nil, r.fail(fmt.Errorf("sign: the digest has %d bytes, and %v has %d", len(digest), hash, hash.Size()))
	}
	if (hash == 0) != (messageHash(r.known) == 0) {
		return nil, r.fail(fmt.Errorf("sign: a key of type %T does not sign with hash %d", r.known, hash))
	}
	return r.sign(context.Background(), digest, digest, hash)
}

// sign hands data to the store, and verifies the signature against what the key signs: a digest or a message.
func (r *remote) sign(ctx context.Context, data, signed []byte, hash crypto.Hash) (signature []byte, err error) {
	signatures := make(chan []byte, 1)
	err = r.do(ctx, func(ctx context.Context, l link) error {
		s, err := l.sign(ctx, data, hash)
		if err == nil {
			err = verify(r.known, signed, s)
		}
		if err != nil {
			return fmt.Errorf("sign: %w", err)
		}
		select { // of two attempts the first that succeeds counts
		case signatures <- s:
		default:
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return <-signatures, nil
}

// Check asks the store for the public key, and whether it still is the same.
func (r *remote) Check(ctx context.Context) error {
	return r.do(ctx, func(ctx context.Context, l link) error { return r.compare(ctx, l) })
}

func (r *remote) compare(ctx context.Context, l link) error {
	public, err := l.public(ctx)
	if err != nil {
		return err
	}
	if !samePublic(public, r.known) {
		return errOtherKey
	}
	return nil
}

// do has a link do something within the timeout, and no longer than ctx. What does not come back in time goes on by itself,
// bounded by the number of links.
func (r *remote) do(ctx context.Context, work func(context.Context, link) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	if err := r.enter(ctx); err != nil {
		cancel()
		return r.fail(err)
	}
	done := make(chan error, 1)
	go func() {
		defer cancel()
		err := r.attempt(ctx, work)
		done <- errors.Join(err, r.leave())
	}()
	select {
	case err := <-done:
		return r.tell(ctx, err)
	case <-ctx.Done():
	}
	select {
	case err := <-done: // at the same time
		return r.tell(ctx, err)
	default:
		return r.tell(ctx, ctx.Err())
	}
}

// tell names the store in an error, and says when time was up.
func (r *remote) tell(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return r.fail(fmt.Errorf("%w within %v", errStuck, r.timeout))
	}
	return r.fail(err)
}

// enter waits for a turn.
func (r *remote) enter(ctx context.Context) error {
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return ErrClosed
	}
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return errBusy
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		<-r.slots
		return ErrClosed
	}
	r.inUse++
	return nil
}

// leave gives the turn back; the last one to leave a closed key lets the store go.
func (r *remote) leave() error {
	r.mu.Lock()
	r.inUse--
	last := r.closed && r.inUse == 0
	r.mu.Unlock()
	<-r.slots
	if last && r.done != nil {
		return r.done()
	}
	return nil
}

// attempt tries a link that was used before, and if that fails a new one: the store may have been away meanwhile, which a
// link shows only when it is used. Signing twice does no harm.
func (r *remote) attempt(ctx context.Context, work func(context.Context, link) error) error {
	if l := r.take(); l != nil {
		err := guard(func() error { return work(ctx, l) })
		if err == nil {
			return r.keep(l)
		}
		l.close() // it failed, and what it says to that is no news
		if ctx.Err() != nil {
			return err
		}
	}
	var l link
	err := guard(func() (err error) {
		l, err = r.dial(ctx)
		return err
	})
	if err != nil {
		return err
	}
	err = guard(func() error {
		if r.known != nil {
			if err := r.compare(ctx, l); err != nil {
				return err
			}
		}
		return work(ctx, l)
	})
	if err != nil {
		l.close()
		return err
	}
	return r.keep(l)
}

// hold bounds what is read and written over a connection by the context: a little later, so that the caller hears of the
// context's end and not of a connection's.
func hold(ctx context.Context, conn interface{ SetDeadline(time.Time) error }) {
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline.Add(time.Second)) // a TPM's raw device knows none; the caller does not wait for it
	}
}

// guard makes an error of a panic in a store's library: that is no reason for the whole service to end.
func guard(do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its library panicked: %.200v", p)
		}
	}()
	return do()
}

func (r *remote) take() link {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.idle) == 0 {
		return nil
	}
	l := r.idle[len(r.idle)-1]
	r.idle = r.idle[:len(r.idle)-1]
	return l
}

// keep puts a link that works aside for the next who needs one.
func (r *remote) keep(l link) error {
	r.mu.Lock()
	if !r.closed && !r.brief {
		r.idle = append(r.idle, l)
		l = nil
	}
	r.mu.Unlock()
	if l != nil {
		return l.close()
	}
	return nil
}

// Close closes the links. What is being signed is still handed out.
func (r *remote) Close() error {
	r.mu.Lock()
	idle, last := r.idle, !r.closed && r.inUse == 0
	r.idle, r.closed = nil, true
	r.mu.Unlock()
	for _, l := range idle {
		l.close() // a store that is gone has closed it itself
	}
	if last && r.done != nil {
		return r.done()
	}
	return nil
}
