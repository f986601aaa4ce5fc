package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/control"
	"github.com/sekisho/sekisho/gateway"
	"github.com/sekisho/sekisho/login"
	"github.com/sekisho/sekisho/store/db"
	"github.com/sekisho/sekisho/store/spool"
	"github.com/sekisho/sekisho/tunnel"
)

// house is all the rooms of one process, wired.
type house struct {
	cfg *Config
	log *slog.Logger
	url *url.URL

	store    *db.DB
	events   *audit.Log
	keys     *keys
	ca       *ca.Authority
	revoked  *ca.Revocations
	rotation *control.Rotation
	links    *ca.Links
	policies *policies
	spool    *spool.Spool
	recorder *recorder
	readers  *recipients
	desk     *login.Desk
	passes   *login.Verifier
	registry *tunnel.Registry
	hosts    *hostSigner
	gateway  *gateway.Gateway
	control  http.Handler
	recheck  atomic.Bool   // open sessions are to be judged again
	changed  control.Bell  // rings when calls that last are to be judged again
	closing  chan struct{} // closed when they are to end
	port     ssh.Signer    // host key of the SSH port and of audited sessions, without a certificate
}

// keys are the private keys of the house, each in a file of its own. Those of the CAs are elsewhere (authority.go).
type keys struct {
	audit, recording, door crypto.Signer
	link, token            *ecdsa.PrivateKey
}

func openKeys(dir string) (*keys, error) {
	k := &keys{}
	for name, to := range map[string]*crypto.Signer{"audit": &k.audit, "recording": &k.recording, "gateway-host": &k.door} {
		key, err := ca.OpenKey(filepath.Join(dir, name+".pem"))
		if err != nil {
			return nil, err
		}
		*to = key
	}
	for name, to := range map[string]**ecdsa.PrivateKey{"link-ca": &k.link, "token": &k.token} {
		key, err := ca.OpenECDSA(filepath.Join(dir, name+".pem"))
		if err != nil {
			return nil, err
		}
		*to = key
	}
	return k, nil
}

// gatewayName is what this process's gateway is called in events and Key IDs.
const gatewayName = "main"

// openHouse opens what is kept on disk, then the rooms that need nothing but that.
func openHouse(ctx context.Context, cfg *Config, log *slog.Logger) (h *house, err error) {
	h = &house{cfg: cfg, log: log, closing: make(chan struct{})}
	if h.url, err = url.Parse(cfg.URL); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return nil, err
	}
	if h.keys, err = openKeys(filepath.Join(cfg.Data, "keys")); err != nil {
		return nil, err
	}
	if h.store, err = db.Open(ctx, filepath.Join(cfg.Data, "sekisho.db")); err != nil {
		return nil, err
	}
	h.events, err = audit.Open(ctx, audit.Config{Store: h.store, Signer: h.keys.audit, Origin: h.url.Hostname() + "/audit",
		Now: time.Now, Log: log})
	if err != nil {
		h.store.Close()
		return nil, err
	}
	return h, nil
}

func (h *house) close() {
	if h.spool != nil {
		if err := h.spool.Close(); err != nil {
			h.log.Error("close spool", "error", err)
		}
	}
	if err := h.events.Close(); err != nil {
		h.log.Error("close audit log", "error", err)
	}
	if err := h.store.Close(); err != nil {
		h.log.Error("close database", "error", err)
	}
}

// furnish makes the rooms and fills their ports. It reads as the list of parts of the house.
func (h *house) furnish(ctx context.Context) (err error) {
	started := &sekisho.Event{Kind: sekisho.EventStarted, Actor: "control", Detail: map[string]string{"version": sekisho.Version}}
	if err := h.events.Append(ctx, started); err != nil {
		return err
	}
	h.policies = &policies{dir: h.cfg.Policies, note: h.events.Append, changed: func() { h.recheck.Store(true); h.warnOfStrangers() }, log: h.log}
	if err := h.openReaders(ctx); err != nil {
		return err
	}
	if err := h.policies.load(ctx); err != nil {
		return err
	}
	if err := h.openAuthority(ctx); err != nil {
		return err
	}
	if err := h.openRevocations(ctx); err != nil {
		return err
	}
	if h.links, err = ca.OpenLinks(h.keys.link, filepath.Join(h.cfg.Data, "keys", "link-ca.crt"), time.Now); err != nil {
		return err
	}
	if err := h.openRecorder(ctx); err != nil {
		return err
	}
	if h.port, err = ssh.NewSignerFromSigner(h.keys.door); err != nil {
		return err
	}
	if err := h.openLogin(ctx); err != nil {
		return err
	}
	if err := h.openDoors(); err != nil {
		return err
	}
	h.control, err = h.newControl()
	return err
}

// openReaders finds out who can open recordings.
func (h *house) openReaders(ctx context.Context) error {
	h.readers = newRecipients(h.cfg)
	h.readers.note, h.readers.changed, h.readers.log = h.events.Append, h.warnOfStrangers, h.log
	return h.readers.load(ctx)
}

// warnOfStrangers logs which policies name recipients that there is no key of.
func (h *house) warnOfStrangers() {
	if set := h.policies.inForce(); set != nil {
		for _, told := range h.readers.strangers(set) {
			h.log.Warn("sessions by this policy are refused", "policy", told)
		}
	}
}

// openLogin makes what finds out who somebody is.
func (h *house) openLogin(ctx context.Context) error {
	secret, err := h.cfg.OIDC.secret()
	if err != nil {
		return err
	}
	scopes := h.cfg.OIDC.Scopes
	if len(scopes) == 0 {
		scopes = []string{"openid", "email", "profile", "groups"}
	}
	provider, err := login.Open(ctx, login.ProviderConfig{Issuer: h.cfg.OIDC.Issuer, ClientID: h.cfg.OIDC.ClientID,
		ClientSecret: secret, RedirectURL: h.cfg.URL + login.PathCallback, Scopes: scopes, GroupsClaim: h.cfg.OIDC.GroupsClaim, AssumeVerified: h.cfg.OIDC.AssumeVerified,
		HTTPClient: &http.Client{Timeout: 10 * time.Second}, Now: time.Now, Log: h.log})
	if err != nil {
		return err
	}
	proofs := login.NewProofs(time.Now)
	h.desk, err = login.New(login.Config{Provider: provider, Store: h.store, URL: h.cfg.URL, Lifetime: h.cfg.SignIn.lifetime,
		Proofs: proofs, Revoked: h.revoked.SignIn, Note: one(h.note), Now: time.Now, Log: h.log})
	if err != nil {
		return err
	}
	h.passes, err = login.NewVerifier(login.VerifierConfig{Issuer: h.cfg.URL, Keys: []crypto.PublicKey{h.keys.token.Public()},
		Proofs: proofs, Now: time.Now})
	return err
}

// openDoors makes the links' end and the SSH door.
func (h *house) openDoors() (err error) {
	h.registry, err = tunnel.NewRegistry(tunnel.RegistryConfig{Authorize: h.authorizeLink, Note: one(h.events.Append), Log: h.log, Now: time.Now})
	if err != nil {
		return err
	}
	h.hosts = &hostSigner{key: h.port, issue: h.ca.Hosts, ca: h.ca.HostCA, revoked: h.revoked.Certificate, now: time.Now}
	h.gateway, err = gateway.New(gateway.Config{
		Name: gatewayName, Host: h.url.Hostname(), Domain: strings.ToLower(h.cfg.Domain),
		WithoutCertificate: h.cfg.SSHWithoutCertificate,

		Identify:   h.identify,
		Recall:     h.recall,
		Revoked:    h.revoked.Certificate,
		Decide:     h.decide,
		Note:       h.events.Append,
		Record:     h.recorder.record,
		Certify:    h.certify,
		Reach:      h.registry.Dial,
		Find:       h.find,
		Reachable:  h.reachable,
		Prove:      h.prove,
		HostSigner: h.hosts.signer,
		TrustsUser: func(key ssh.PublicKey) bool { return h.ca.Trusts(ca.UserCA, key) },
		TrustsHost: func(key ssh.PublicKey) bool { return h.ca.Trusts(ca.HostCA, key) },
		Now:        time.Now, Log: h.log,
	})
	return err
}

func (h *house) newControl() (http.Handler, error) {
	passes, err := login.NewIssuer(h.keys.token, h.cfg.URL)
	if err != nil {
		return nil, err
	}
	public, err := ssh.NewPublicKey(h.keys.recording.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	return control.New(control.Config{
		Name: h.cfg.Name, URL: h.cfg.URL, Domain: h.cfg.Domain, SSHHosts: h.cfg.SSHHosts,
		Gateways: []string{h.cfg.URL + streamPath}, SSHGateway: h.sshGateway(), AgentTTL: h.cfg.SignIn.agentCertificate, AuditKey: h.events.VerifierKey(), RecordingKeys: []string{ca.Line(public)}, Recipients: h.readers.tell,
		Revoked: h.revoked, Enforce: h.enforce, Barred: h.barred,
		Desk: h.desk, Passes: passes, CA: h.ca, Links: h.links, Rotation: h.rotation, ProbeHostKey: h.probeHostKey,
		Policies: h.policies.inForce, Store: h.store, Note: h.events.Append, Events: h.events,
		OpenRecording: h.recorder.open, Live: liveSessions{h.gateway}, FollowRecording: h.recorder.follow,
		Changed: h.changed.Wait, Closing: h.closing, Linked: h.registry.Linked, Cut: h.registry.Cut,
		Now: time.Now, Log: h.log,
	})
}

// one adapts a variadic port to rooms that note one event at a time.
func one(note func(context.Context, ...*sekisho.Event) error) func(context.Context, *sekisho.Event) error {
	return func(ctx context.Context, ev *sekisho.Event) error { return note(ctx, ev) }
}
