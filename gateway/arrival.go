package gateway

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
)

// arrival says how an SSH connection came to us that carries no token.
type arrival struct {
	way    sekisho.Way
	parent string     // ID of the session or visit that it came through; empty at a listener
	client netip.Addr // where the person is: of the outermost connection
	target string     // where they want to go; empty: the user name says it (login%target)
	names  []string   // what they may have called the target, for the host certificate

	admitted func() // called once the person is known, by whoever counts those who are not; may be nil
}

// maxDepth bounds how many SSH connections may lie inside one another.
const maxDepth = 8

// arrive ends the SSH of an arrival and takes it through the walk. It returns when the session is over.
func (g *Gateway) arrive(ctx context.Context, conn net.Conn, a arrival) {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	t := &traveller{arrival: a, gateway: g, conn: watch(conn), cancel: cancel}
	defer t.walks.Wait()
	defer cancel()
	if err := t.travel(ctx); err != nil {
		g.cfg.Log.Info("arrival", "way", string(a.way), "client", a.client.String(), "error", err)
	}
}

// traveller is somebody at a door who has no token: a certificate of the user CA says who they are, the user name where
// they go. Who they are follows from the key that they have proved, never from one that they have only offered.
type traveller struct {
	arrival
	gateway *Gateway
	conn    *watched
	cancel  context.CancelFunc
	outer   outer // what they came through
	walks   sync.WaitGroup
	banner  func(string) error
	asked   bool // they were asked to prove themselves, or need not be; nobody is twice
	proven  bool // they did
	told    bool // they were told why a key of theirs does not fit
}

// admission is what a traveller was let in to: a session whose walk waits for the end of the handshake, or a visit.
type admission struct {
	secured chan<- *sshEnd
	visit   *visit
}

// admissionKey is where the permissions that an SSH handshake returns hold the admission.
type admissionKey struct{}

// travel brings the handshake to its end and waits until what it led to is over.
func (t *traveller) travel(ctx context.Context) (err error) {
	if t.outer, err = t.gateway.around(t.arrival); err != nil {
		return err
	}
	host, err := t.gateway.cfg.HostSigner(ctx, t.hostNames()...)
	if err != nil {
		return fmt.Errorf("host certificate: %w", err)
	}
	end, permissions, err := t.gateway.serve(t.conn, t.serverConfig(ctx, host))
	if err != nil {
		return err
	}
	to, ok := permissions.ExtraData[admissionKey{}].(*admission)
	switch {
	case !ok:
		return errors.New("user's SSH: let in to nothing")
	case to.visit != nil:
		to.visit.run(end)
	default:
		to.secured <- end
		t.walks.Wait()
		end.drop() // where the walk ended before it was taken
	}
	return nil
}

func (t *traveller) serverConfig(ctx context.Context, host ssh.Signer) *ssh.ServerConfig {
	config := &ssh.ServerConfig{
		Config:                  algorithms(),
		PublicKeyAuthAlgorithms: userAlgorithms,
		MaxAuthTries:            maxOffers,
		PreAuthConnCallback:     func(c ssh.ServerPreAuthConn) { t.banner = c.SendAuthBanner },
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			_, err := t.claim(ctx, meta.User(), key)
			return &ssh.Permissions{}, t.hint(err)
		},
		VerifiedPublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey, _ *ssh.Permissions, _ string) (*ssh.Permissions, error) {
			return t.proved(ctx, meta.User(), key)
		},
	}
	config.KeyboardInteractiveCallback = t.strange(ctx)
	addHostKeys(config, host)
	return config
}

// hostNames are what the gateway proves to be: the target's own names first, then what the user may have typed.
func (t *traveller) hostNames() []string {
	var names []string
	if t.target != "" {
		names = append(names, t.target)
		if t.gateway.cfg.Domain != "" {
			names = append(names, t.target+"."+t.gateway.cfg.Domain)
		}
	}
	for _, n := range t.names {
		if n, err := readHost(n); err == nil && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return names
}

// claim is what somebody wants and by what right they may ask for it.
type claim struct {
	place
	certificate *ssh.Certificate // nil: they have none
}

// claim reports what an offered key would let in to.
func (t *traveller) claim(ctx context.Context, user string, key ssh.PublicKey) (*claim, error) {
	to, err := t.where(ctx, user)
	if err != nil {
		return nil, err
	}
	principals := []string{sekisho.AnyDoorPrincipal}
	if !to.visits() {
		// A certificate for that login and target fits, for either door: here the gateway ends the SSH and judges the
		// sign-in behind it in any case.
		principals = append(principals, sekisho.DoorPrincipal(to.login, to.target), sekisho.Principal(to.login, to.target))
	}
	certificate, err := t.gateway.checkCertificate(t.client, key, principals...)
	return &claim{to, certificate}, err
}

// proved runs once the client has signed with the key: the sign-in behind it must live and the walk begins, or the
// person is asked to prove themselves. A refusal is shown as a banner.
func (t *traveller) proved(ctx context.Context, user string, key ssh.PublicKey) (*ssh.Permissions, error) {
	t.told = true // from here on, whatever is wrong
	c, err := t.claim(ctx, user, key)
	if err != nil {
		return nil, say(err)
	}
	pass, err := t.recall(ctx, c)
	if err != nil && !errors.Is(err, sekisho.ErrEnded) {
		return nil, say(err)
	}
	var permissions *ssh.Permissions
	if err == nil {
		permissions, err = t.admit(ctx, c, pass)
	}
	if q := t.question(c, err); q != nil {
		return nil, t.mend(ctx, c, pass, q, err)
	}
	t.asked = true // who was refused for what they are is not asked who they are
	return permissions, say(err)
}

// recall finds the sign-in behind the certificate. Where the person has proved themselves around this connection already,
// with the same certificate, that is what counts. The pass says whose the certificate is also where the sign-in has ended.
func (t *traveller) recall(ctx context.Context, c *claim) (*sekisho.Pass, error) {
	if p := t.outer.proof; p.of(c.certificate) {
		pass := p.pass
		return &pass, nil
	}
	return t.gateway.cfg.Recall(ctx, c.certificate)
}

// admit lets somebody in whose sign-in lives: to a visit, or to a session, whose walk begins and goes on until nothing
// but the end of the handshake is missing.
func (t *traveller) admit(ctx context.Context, c *claim, pass *sekisho.Pass) (*ssh.Permissions, error) {
	pass.Login, pass.Target, pass.Host = c.login, c.target, c.asked
	if c.certificate != nil {
		pass.Key = ssh.FingerprintSHA256(c.certificate.Key)
	}
	to := &admission{}
	var err error
	if c.visits() {
		to.visit, err = t.gateway.receive(ctx, t, pass, c)
	} else {
		err = t.begin(ctx, c, pass, to)
	}
	if err != nil {
		return nil, err
	}
	t.known()
	return &ssh.Permissions{ExtraData: map[any]any{admissionKey{}: to}}, nil
}

// begin begins the walk and returns when it waits for the end of the handshake, or has ended.
func (t *traveller) begin(ctx context.Context, c *claim, pass *sekisho.Pass, to *admission) error {
	secured := make(chan *sshEnd, 1)
	ready := make(chan error, 2)
	s := t.gateway.newSession(pass, t.arrival, &entry{t.conn, ready, secured}, t.cancel)
	s.depth, s.proof = t.outer.depth+1, t.proofOf(c, pass)
	s.cameWith(c.certificate)
	if err := t.gateway.enter(s); err != nil {
		return err
	}
	if err := t.gateway.stillGood(c.certificate); err != nil {
		t.gateway.leave(s)
		return err
	}
	t.walks.Go(func() {
		defer t.gateway.leave(s)
		err := s.walk(ctx)
		if err != nil {
			t.gateway.cfg.Log.Info("session ended", "session", s.ID, "error", err)
		}
		ready <- err
	})
	to.secured = secured
	return <-ready
}

// stillGood asks again about the certificate of who has come in just now: what is revoked ends those who are in, and whoever
// was on the way in at that moment must not be missed. nil is none.
func (g *Gateway) stillGood(certificate *ssh.Certificate) error {
	if certificate == nil {
		return nil
	}
	return g.cfg.Revoked(certificate)
}

// cameWith says by which certificate a session was let in.
func (s *session) cameWith(certificate *ssh.Certificate) {
	if certificate != nil {
		s.Serial, s.CA = certificate.Serial, ssh.FingerprintSHA256(certificate.SignatureKey)
	}
}

// known tells whoever counts the unknown that this is none of them any more.
func (t *traveller) known() {
	if t.admitted != nil {
		t.admitted()
	}
}

// entry is the way in of a traveller: the walk waits at open for the handshake to end.
type entry struct {
	conn    net.Conn
	ready   chan<- error // nil once the door is open, else the refusal
	secured <-chan *sshEnd
}

// ends: whoever comes without a token ends their SSH at the gateway.
func (e *entry) ends(sekisho.Limits) bool { return true }

func (e *entry) open() (net.Conn, error) {
	e.ready <- nil
	return e.conn, nil
}

func (e *entry) secure(ctx context.Context, _ *session, _ net.Conn) (*sshEnd, error) {
	select {
	case end := <-e.secured:
		return end, nil
	case <-ctx.Done():
		return nil, errors.New("user's SSH: did not finish the handshake")
	}
}

// outer is what lies around an arrival.
type outer struct {
	depth int
	proof *proof
}

// around finds the session or visit that an arrival came through.
func (g *Gateway) around(a arrival) (outer, error) {
	if a.parent == "" {
		return outer{}, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var o outer
	if s := g.sessions[a.parent]; s != nil {
		o = outer{s.depth, s.proof}
	} else if v := g.visits[a.parent]; v != nil {
		o = outer{1, v.proof}
	} else {
		return outer{}, errors.New("what it came through has ended")
	}
	if o.depth >= maxDepth {
		return outer{}, fmt.Errorf("more than %d SSH connections inside one another", maxDepth)
	}
	return o, nil
}

// say wraps an error so that the person sees its sentence before ssh gives up.
func say(err error) error {
	if err == nil {
		return nil
	}
	return &ssh.BannerError{Err: err, Message: sekisho.Say(err) + "\r\n"}
}

// hint is say for a key that is only offered: silent, unless there is a sentence for it.
func (t *traveller) hint(err error) error {
	if r := (*sekisho.Refusal)(nil); !errors.As(err, &r) {
		return err
	}
	t.told = true
	return say(err)
}
