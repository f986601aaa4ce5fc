package login

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sekisho/sekisho"
)

const (
	// DefaultLifetime is how long a sign-in lives unless configured.
	DefaultLifetime = 8 * time.Hour
	// PollInterval is how often a client of the device flow may ask Finish.
	PollInterval = 2 * time.Second

	pendingLifetime = 10 * time.Minute
	limitWindow     = 10 * time.Minute

	maxState    = 512 // bytes
	maxRedirect = 256 // bytes
	maxDevice   = 128 // bytes
	maxAddress  = 64  // bytes
	maxCode     = 4 << 10

	// Attempts per limitWindow.
	maxBegins     = 1000 // by one network(address): a company may be behind one
	maxVisits     = 20   // of one request
	maxWrongCodes = 10   // by one network(address)
	maxWrongAll   = 1000 // by all: with 20^8 codes and 1000 of them open, one guess in 25,000 windows hits
	maxTheftNotes = 5    // events about one sign-in
	maxRefusals   = 50   // events about sign-ins that nobody known tried, by one network(address)
	maxRefusalAll = 1000 // the same, by all
	maxLimitKeys  = 1 << 16
)

// IdP is what a Desk needs of a Provider.
type IdP interface {
	AuthCodeURL(context.Context, Authorization) (string, error)
	Exchange(ctx context.Context, code string, a Authorization) (sekisho.Identity, error)
}

// Config configures a Desk.
type Config struct {
	Provider IdP
	Store    Store
	// URL is control's public URL, without a slash at the end.
	URL string
	// Lifetime of a sign-in; 0 means DefaultLifetime.
	Lifetime time.Duration
	// Proofs are shared with the door that takes proofs for the same URLs; nil makes new ones.
	Proofs *Proofs
	// Note puts an event into the audit log and returns when it is durable.
	Note func(context.Context, *sekisho.Event) error
	// Revoked reports by a Refusal that a person may not be signed in, or that a sign-in of theirs may not be used (its ID is
	// empty where there is none yet). nil: nobody is revoked.
	Revoked func(subject, signIn string) error
	Now     func() time.Time
	Log     *slog.Logger
}

// Desk is where people sign in. Its methods may be called at the same time.
type Desk struct {
	cfg    Config
	proofs *Proofs

	begins, visits, wrongCodes, wrongAll, polls, thefts, refusals, refusalsAll *limiter
	questions, strangers, strangersAll                                         *limiter

	waiting waiting
}

// New makes a desk; everything but Lifetime and Proofs must be given.
func New(cfg Config) (*Desk, error) {
	if cfg.Provider == nil || cfg.Store == nil || cfg.Note == nil || cfg.Now == nil || cfg.Log == nil {
		return nil, errors.New("sign-in desk: provider, store, note, clock and log are all needed")
	}
	if err := checkURL(cfg.URL); err != nil {
		return nil, fmt.Errorf("sign-in desk: URL: %w", err)
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	if cfg.Lifetime <= 0 {
		cfg.Lifetime = DefaultLifetime
	}
	if cfg.Proofs == nil {
		cfg.Proofs = NewProofs(cfg.Now)
	}
	if cfg.Revoked == nil {
		cfg.Revoked = func(string, string) error { return nil }
	}
	return &Desk{
		cfg: cfg, proofs: cfg.Proofs,
		begins:     newLimiter(limitWindow, maxBegins, maxLimitKeys),
		visits:     newLimiter(limitWindow, maxVisits, maxLimitKeys),
		wrongCodes: newLimiter(limitWindow, maxWrongCodes, maxLimitKeys),
		wrongAll:   newLimiter(limitWindow, maxWrongAll, 1),
		// Twice in an interval is forgiven: networks bunch.
		polls:       newLimiter(PollInterval, 2, maxLimitKeys),
		thefts:      newLimiter(limitWindow, maxTheftNotes, maxLimitKeys),
		refusals:    newLimiter(limitWindow, maxRefusals, maxLimitKeys),
		refusalsAll: newLimiter(limitWindow, maxRefusalAll, 1),

		questions:    newLimiter(limitWindow, maxQuestions, maxLimitKeys),
		strangers:    newLimiter(limitWindow, maxStrangerAsks, maxLimitKeys),
		strangersAll: newLimiter(limitWindow, maxStrangerAsksAll, 1),
	}, nil
}

// Proofs are those that the desk checks with, for calls that carry a proof but no sign-in yet.
func (d *Desk) Proofs() *Proofs { return d.proofs }

// BeginParams is what a client shows to begin.
type BeginParams struct {
	// CodeChallenge is the S256 challenge of a verifier that the client keeps (RFC 7636).
	CodeChallenge string
	// RedirectURI is http://127.0.0.1:PORT/… or http://[::1]:PORT/…; empty for the device flow.
	RedirectURI string
	// State is given back on the redirect.
	State string
	// Device is the client's name for its machine, for display.
	Device string
	// Fresh wants the person to prove themselves anew, even where the IdP still knows the browser.
	Fresh bool
	// Thumbprint is the key's that the call's proof was made by; the sign-in will be bound to it.
	Thumbprint    string
	ClientAddress string
}

// Begun is what the client gets.
type Begun struct {
	// Request names this sign-in until it is finished.
	Request string
	// URL is for the browser.
	URL string
	// UserCode and Interval are there in the device flow only: what the person compares, and how often to ask Finish.
	UserCode string
	Interval time.Duration
	Expires  time.Time
}

// Begin starts a sign-in.
func (d *Desk) Begin(ctx context.Context, p BeginParams) (Begun, error) {
	now := d.cfg.Now()
	if err := p.check(); err != nil {
		return Begun{}, refuse("The client's request to sign in is malformed.", "Update sekisho, then try again.",
			fmt.Errorf("begin: %w", err))
	}
	if !d.begins.allow(network(p.ClientAddress), now) {
		return Begun{}, refuse("Too many sign-ins were begun from your address.", "Try again in ten minutes.",
			fmt.Errorf("begin: %w", ErrSlowDown))
	}
	b := begun{
		CodeChallenge: p.CodeChallenge, RedirectURI: p.RedirectURI, State: p.State, Device: p.Device,
		Fresh: p.Fresh, Thumbprint: p.Thumbprint, ClientAddress: p.ClientAddress, Expires: now.Add(pendingLifetime),
	}
	request := sekisho.NewID("req")
	out := Begun{Request: request, Expires: b.Expires, URL: d.cfg.URL + PathVisit + "?request=" + request}
	if b.byDevice() {
		b.UserCode = userCode()
		if err := d.put(ctx, keyUser(b.UserCode), b.Expires, request); err != nil {
			return Begun{}, err
		}
		out.UserCode, out.Interval = b.UserCode, PollInterval
		out.URL = d.cfg.URL + PathDevice + "?code=" + b.UserCode
	}
	if err := d.put(ctx, keyBegun(request), b.Expires, b); err != nil {
		return Begun{}, err
	}
	if err := d.put(ctx, keyOpen(request), b.Expires, true); err != nil {
		return Begun{}, err
	}
	return out, nil
}

func (p *BeginParams) check() error {
	switch {
	case !isDigest(p.CodeChallenge):
		return errors.New("code challenge is not S256")
	case !isDigest(p.Thumbprint):
		return errors.New("no key")
	case len(p.State) > maxState || !printable(p.State):
		return errors.New("state is too long or not printable")
	case len(p.Device) > maxDevice || !printable(p.Device):
		return errors.New("device is too long or not printable")
	case len(p.ClientAddress) > maxAddress:
		return errors.New("client address is too long")
	case p.RedirectURI == "":
		return nil
	}
	return checkRedirect(p.RedirectURI)
}

// checkRedirect lets in loopback addresses only (RFC 8252 §7.3), not the name localhost (§8.3), so that a code never
// leaves the machine whose browser it is.
func checkRedirect(s string) error {
	if len(s) > maxRedirect || !printable(s) || strings.ContainsAny(s, "#\\ ") {
		return errors.New("redirect URI is malformed")
	}
	u, err := url.Parse(s)
	if err != nil {
		return errors.New("redirect URI is malformed")
	}
	host, port, err := net.SplitHostPort(u.Host)
	n, perr := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || perr != nil || n == 0 || u.Host != net.JoinHostPort(host, strconv.FormatUint(n, 10)):
		return errors.New("redirect URI has no port")
	case u.Scheme != "http" || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Opaque != "":
		return errors.New("redirect URI is not http://ADDRESS:PORT/PATH")
	case host != "127.0.0.1" && host != "::1":
		return errors.New("redirect URI is not on loopback")
	}
	return nil
}

// codeLetters has no vowels, so that no words come out, and no Y (RFC 8628 §6.1).
const codeLetters = "BCDFGHJKLMNPQRSTVWXZ"

// userCode gives a code such as WDJB-MJHT: 34 bits, enough because guesses are counted.
func userCode() string {
	out := make([]byte, 0, 9)
	var b [1]byte
	for len(out) < 9 {
		if len(out) == 4 {
			out = append(out, '-')
		}
		rand.Read(b[:])
		if b[0] < 240 { // 12 times 20: no letter is likelier than another
			out = append(out, codeLetters[b[0]%20])
		}
	}
	return string(out)
}

// readUserCode takes a code as people type it: any case, with blanks or without the dash.
func readUserCode(s string) (string, bool) {
	if len(s) > 32 {
		return "", false
	}
	s = strings.NewReplacer("-", "", " ", "").Replace(strings.ToUpper(s))
	if len(s) != 8 || strings.Trim(s, codeLetters) != "" {
		return "", false
	}
	return s[:4] + "-" + s[4:], true
}

// printable reports whether s is UTF-8 that can be shown on one line.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func (d *Desk) put(ctx context.Context, key string, expires time.Time, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("keep pending sign-in: %w", err)
	}
	if err := d.cfg.Store.PutPending(ctx, key, expires, body); err != nil {
		return fmt.Errorf("keep pending sign-in: %w", err)
	}
	return nil
}

// get reads a pending record, take removes it too. Absence stays sekisho.ErrNotFound.
func (d *Desk) get(ctx context.Context, key string, into any) error {
	return read(ctx, d.cfg.Store.Pending, key, d.cfg.Now(), into)
}

func (d *Desk) take(ctx context.Context, key string, into any) error {
	return read(ctx, d.cfg.Store.TakePending, key, d.cfg.Now(), into)
}

func read(ctx context.Context, from func(context.Context, string, time.Time) ([]byte, error), key string, now time.Time, into any) error {
	body, err := from(ctx, key, now)
	if err != nil {
		return fmt.Errorf("read pending sign-in: %w", err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read pending sign-in: %w", err)
	}
	return nil
}

// gone turns absence into a refusal; other errors are ours and stay what they are.
func gone(err error, sentence, next string) error {
	if errors.Is(err, sekisho.ErrNotFound) {
		return refuse(sentence, next, err)
	}
	return err
}
