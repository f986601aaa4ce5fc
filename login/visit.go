package login

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/sekisho/sekisho"
)

// Sentences that several steps say.
const (
	goneSentence = "This sign-in has expired or was used already."
	codeSentence = "This code is not known, has expired or was used already."
)

// Asked is what the device page shows before the person confirms that it is theirs.
type Asked struct {
	// Request is for Visit. It is a ticket for this page, unknown to the client that asks.
	Request string
	// UserCode is the code as it stands in the terminal.
	UserCode string
	// Device is what the client says about itself, ClientAddress where it called from.
	Device, ClientAddress string
	Expires               time.Time
}

// LookUp finds the sign-in that a user code stands for. Show what it returns and call Visit only after the person has
// confirmed in a form that other sites cannot submit: whoever can make them skip the comparison signs in as them.
// address is that of the browser; wrong codes are counted by it.
func (d *Desk) LookUp(ctx context.Context, code, address string) (Asked, error) {
	now := d.cfg.Now()
	address = network(address)
	if d.wrongCodes.over(address, now) || d.wrongAll.over("", now) {
		return Asked{}, refuse("Too many wrong codes were tried.", "Try again in ten minutes.",
			fmt.Errorf("look up user code: %w", ErrSlowDown))
	}
	b, request, err := d.byCode(ctx, code)
	if err != nil {
		if errors.Is(err, sekisho.ErrNotFound) {
			d.wrongCodes.allow(address, now)
			d.wrongAll.allow("", now)
		}
		return Asked{}, gone(err, codeSentence, "Compare it with your terminal and type it again.")
	}
	if !d.visits.allow("lookup/"+request, now) {
		return Asked{}, refuse("This code was looked up too often.", again, fmt.Errorf("look up user code: %w", ErrSlowDown))
	}
	ticket := sekisho.NewID("tkt")
	if err := d.put(ctx, keyTicket(ticket), b.Expires, request); err != nil {
		return Asked{}, err
	}
	return Asked{
		Request: ticket, UserCode: b.UserCode, Device: b.Device, ClientAddress: b.ClientAddress, Expires: b.Expires,
	}, nil
}

func (d *Desk) byCode(ctx context.Context, code string) (*begun, string, error) {
	code, ok := readUserCode(code)
	if !ok {
		return nil, "", fmt.Errorf("user code: %w", sekisho.ErrNotFound)
	}
	var request string
	if err := d.get(ctx, keyUser(code), &request); err != nil {
		return nil, "", err
	}
	b := new(begun)
	if err := d.get(ctx, keyBegun(request), b); err != nil {
		return nil, "", err
	}
	return b, request, nil
}

// Visit sends a browser to the IdP. request is from the URL that Begin gave, or in the device flow what LookUp gave.
// The cookie must be set on this browser (HttpOnly, SameSite=Lax, Secure on https) and presented to Callback, so that
// nobody can make another's browser end a sign-in that they began.
func (d *Desk) Visit(ctx context.Context, request string) (authorizeURL, cookie string, err error) {
	b, request, err := d.resolve(ctx, request)
	if err != nil {
		return "", "", gone(err, goneSentence, again)
	}
	if !d.visits.allow(request, d.cfg.Now()) {
		return "", "", refuse("This sign-in was opened too often.", again, fmt.Errorf("visit: %w", ErrSlowDown))
	}
	var open bool
	if err := d.get(ctx, keyOpen(request), &open); err != nil {
		return "", "", gone(err, goneSentence, again)
	}
	return d.leave(ctx, visit{Request: request}, b.Expires, b.Fresh)
}

// leave makes a browser's way to the IdP and keeps what is needed when it comes back.
func (d *Desk) leave(ctx context.Context, v visit, expires time.Time, fresh bool) (authorizeURL, cookie string, err error) {
	state, cookie := secret(), secret()
	v.Nonce, v.Verifier, v.Cookie = secret(), secret(), digest(cookie)
	if fresh {
		v.Since = d.cfg.Now().UTC()
	}
	to, err := d.cfg.Provider.AuthCodeURL(ctx, v.authorization(state))
	if err != nil {
		return "", "", err
	}
	if err := d.put(ctx, keyVisit(state), expires, v); err != nil {
		return "", "", err
	}
	return to, cookie, nil
}

func (v *visit) authorization(state string) Authorization {
	return Authorization{State: state, Nonce: v.Nonce, Verifier: v.Verifier, Since: v.Since}
}

// resolve finds the request behind what a browser brings: a request of the loopback flow, or a ticket of the device
// page. A request of the device flow is not taken by its own name, because its client knows that.
func (d *Desk) resolve(ctx context.Context, id string) (*begun, string, error) {
	byTicket := sekisho.CheckID("tkt", id)
	if byTicket {
		ticket := id
		if err := d.get(ctx, keyTicket(ticket), &id); err != nil {
			return nil, "", err
		}
	} else if !sekisho.CheckID("req", id) {
		return nil, "", fmt.Errorf("request: %w", sekisho.ErrNotFound)
	}
	b := new(begun)
	if err := d.get(ctx, keyBegun(id), b); err != nil {
		return nil, "", err
	}
	if b.byDevice() != byTicket {
		return nil, "", fmt.Errorf("request of the other flow: %w", sekisho.ErrNotFound)
	}
	return b, id, nil
}

// Outcome is how a browser's visit ended.
type Outcome struct {
	// RedirectTo is the client's loopback address with code and state. With a refusal it may be there too, with error
	// and state (RFC 6749 §4.1.2.1): send the browser there, so that the waiting terminal hears of it.
	RedirectTo string
	// DeviceDone says that the page should send the person back to their terminal.
	DeviceDone bool
	// Connection is "LOGIN@TARGET" where it was about one connection, also with a refusal. It goes on by itself.
	Connection string
	Identity   sekisho.Identity
}

// Callback takes the browser back from the IdP. cookie is the one of Visit; idpError is the IdP's error parameter.
func (d *Desk) Callback(ctx context.Context, state, code, cookie, idpError string) (Outcome, error) {
	v, err := d.returned(ctx, state, cookie)
	if err != nil {
		return Outcome{}, err
	}
	if v.Question != "" {
		return d.answer(ctx, v, code, idpError)
	}
	b := new(begun)
	if err := d.get(ctx, keyBegun(v.Request), b); err != nil {
		return Outcome{}, gone(err, goneSentence, again)
	}
	id, err := d.identify(ctx, v, code, idpError)
	if err != nil {
		d.noteRefused(ctx, id, b, err)
		return b.outcome("error", "access_denied", "error_description", sekisho.Say(err)), err
	}
	var open bool
	if err := d.take(ctx, keyOpen(v.Request), &open); err != nil {
		return Outcome{}, gone(err, goneSentence, again)
	}
	r := ready{Identity: id}
	var ours string
	if b.byDevice() {
		if err := d.take(ctx, keyUser(b.UserCode), new(string)); err != nil && !errors.Is(err, sekisho.ErrNotFound) {
			return Outcome{}, err
		}
	} else {
		ours = secret()
		r.Code = digest(ours)
	}
	if err := d.put(ctx, keyReady(v.Request), b.Expires, r); err != nil {
		return Outcome{}, err
	}
	out := b.outcome("code", ours, "", "")
	out.DeviceDone, out.Identity = b.byDevice(), id
	return out, nil
}

// returned finds the visit that a browser comes back from, once.
func (d *Desk) returned(ctx context.Context, state, cookie string) (*visit, error) {
	v := new(visit)
	if !isDigest(state) { // ours are as long as that
		return nil, refuse(goneSentence, again, errors.New("callback: state is not ours"))
	}
	if err := d.take(ctx, keyVisit(state), v); err != nil {
		return nil, gone(err, goneSentence, again)
	}
	if !same(digest(cookie), v.Cookie) {
		return nil, refuse("This browser did not begin this sign-in.", again, errors.New("callback: no or another cookie"))
	}
	return v, nil
}

func (d *Desk) identify(ctx context.Context, v *visit, code, idpError string) (sekisho.Identity, error) {
	switch {
	case idpError != "":
		return sekisho.Identity{}, refuse("The company's identity provider did not sign you in.", again,
			fmt.Errorf("callback: IdP says %.200q", idpError))
	case code == "" || len(code) > maxCode:
		return sekisho.Identity{}, refuseIdP(errors.New("callback: code is absent or too long"))
	}
	id, err := d.cfg.Provider.Exchange(ctx, code, v.authorization(""))
	if err == nil {
		err = d.cfg.Revoked(id.Subject, "")
	}
	return id, err
}

// outcome is the way back to the client's loopback address, with up to two parameters beside its state.
func (b *begun) outcome(k1, v1, k2, v2 string) Outcome {
	if b.byDevice() {
		return Outcome{}
	}
	q := url.Values{k1: {v1}}
	if k2 != "" {
		q.Set(k2, v2)
	}
	if b.State != "" {
		q.Set("state", b.State)
	}
	return Outcome{RedirectTo: b.RedirectURI + "?" + q.Encode()}
}

// noteRefused puts a refusal into the audit log; that this fails is for the log only, the refusal stands anyway. Anybody
// can come back from the IdP with an error, without having signed in there: those are bounded, so that an outsider cannot
// fill the audit log.
func (d *Desk) noteRefused(ctx context.Context, id sekisho.Identity, b *begun, cause error) {
	now := d.cfg.Now()
	if id.Subject == "" && (!d.refusals.allow(network(b.ClientAddress), now) || !d.refusalsAll.allow("", now)) {
		return
	}
	err := d.cfg.Note(ctx, &sekisho.Event{
		Kind: sekisho.EventSignInRefused, Actor: id.Subject, ClientAddress: b.ClientAddress, Error: cause.Error(),
	})
	if err != nil {
		d.cfg.Log.Error("note refused sign-in", "error", err)
	}
}
