package login_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/login"
)

const callURL = controlURL + "/sekisho.v1.AccessService/Connect"

func (p *person) proof(t testing.TB, method, url, token string, now time.Time) string {
	t.Helper()
	proof, err := p.prover.Proof(method, url, token, now)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func TestAuthenticate(t *testing.T) {
	f, mei, mallory := newFront(t), newPerson(t), newPerson(t)
	token, want := f.signIn(t, mei)
	other, _ := f.signIn(t, newPerson(t))
	now := f.clock.now()
	used := mei.proof(t, "POST", callURL, token, now)
	if s, err := f.Authenticate(t.Context(), token, used, "POST", callURL, "192.0.2.7"); err != nil || s.ID != want.ID {
		t.Fatalf("mei: %v", err)
	}
	tests := map[string]struct{ token, proof, sentence string }{
		"stolen token without key":    {token, mallory.proof(t, "POST", callURL, token, now), "proof of your key"},
		"stolen token, no proof":      {token, "", "proof of your key"},
		"replayed proof":              {token, used, "proof of your key"},
		"proof for another URL":       {token, mei.proof(t, "POST", callURL+"x", token, now), "proof of your key"},
		"proof for another host":      {token, mei.proof(t, "POST", "https://evil.example.com/", token, now), "proof of your key"},
		"proof for another method":    {token, mei.proof(t, "GET", callURL, token, now), "proof of your key"},
		"proof for another token":     {token, mei.proof(t, "POST", callURL, other, now), "proof of your key"},
		"proof without token":         {token, mei.proof(t, "POST", callURL, "", now), "proof of your key"},
		"old proof":                   {token, mei.proof(t, "POST", callURL, token, now.Add(-61*time.Second)), "proof of your key"},
		"proof from the future":       {token, mei.proof(t, "POST", callURL, token, now.Add(61*time.Second)), "proof of your key"},
		"another's token":             {other, mei.proof(t, "POST", callURL, other, now), "proof of your key"},
		"wrong secret":                {token[:len(token)-4] + "AAAA", mei.proof(t, "POST", callURL, token, now), "not signed in"},
		"secret of another":           {token[:31] + other[31:], mei.proof(t, "POST", callURL, token, now), "not signed in"},
		"unknown sign-in":             {sekisho.NewID("sin") + token[30:], mei.proof(t, "POST", callURL, token, now), "not signed in"},
		"no token":                    {"", mei.proof(t, "POST", callURL, "", now), "not signed in"},
		"connector's kind of a token": {"con" + token[3:], mei.proof(t, "POST", callURL, token, now), "not signed in"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := f.Authenticate(t.Context(), tt.token, tt.proof, "POST", callURL, "203.0.113.66")
			wantRefusal(t, err, tt.sentence)
		})
	}
	again := mei.proof(t, "POST", callURL, token, now)
	if _, err := f.Authenticate(t.Context(), token, again, "POST", callURL, "192.0.2.7"); err != nil {
		t.Errorf("mei after all that: %v", err)
	}
	// The log tells of the stolen token, but the thief cannot fill it.
	for range 20 {
		f.Authenticate(t.Context(), token, "", "POST", callURL, "203.0.113.66")
	}
	n := 0
	for _, e := range f.events {
		if e.Kind == sekisho.EventSignInRefused && e.SignIn == want.ID && e.ClientAddress == "203.0.113.66" {
			n++
		}
	}
	if n == 0 || n > 5 {
		t.Errorf("%d events about the stolen token, want 1 to 5", n)
	}
}

// A proof stays spent for as long as its time would let it pass.
func TestReplayLater(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	token, _ := f.signIn(t, mei)
	ahead := mei.proof(t, "POST", callURL, token, f.clock.now().Add(60*time.Second))
	call := func(proof string) error {
		_, err := f.Authenticate(t.Context(), token, proof, "POST", callURL, "")
		return err
	}
	if err := call(ahead); err != nil {
		t.Fatal(err)
	}
	for range 120 {
		f.clock.pass(time.Second)
		if call(ahead) == nil {
			t.Fatal("replayed")
		}
		if err := call(mei.proof(t, "POST", callURL, token, f.clock.now())); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFinishRefuses(t *testing.T) {
	tests := map[string]func(p *login.FinishParams, mallory *person){
		"another's key":      func(p *login.FinishParams, m *person) { p.Thumbprint = m.prover.Thumbprint() },
		"no key":             func(p *login.FinishParams, _ *person) { p.Thumbprint = "" },
		"another's verifier": func(p *login.FinishParams, m *person) { p.CodeVerifier = m.verifier },
		"no verifier":        func(p *login.FinishParams, _ *person) { p.CodeVerifier = "" },
		"wrong code":         func(p *login.FinishParams, _ *person) { p.Code += "x" },
		"no code":            func(p *login.FinishParams, _ *person) { p.Code = "" },
		"unknown request":    func(p *login.FinishParams, _ *person) { p.Request = sekisho.NewID("req") },
		"malformed request":  func(p *login.FinishParams, _ *person) { p.Request = "../x" },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			f, mei, mallory := newFront(t), newPerson(t), newPerson(t)
			good := f.approved(t, mei)
			bad := good
			change(&bad, mallory)
			token, _, pending, err := f.Finish(t.Context(), bad)
			wantRefusal(t, err, "")
			if token != "" || pending {
				t.Errorf("token %q, pending %v", token, pending)
			}
			// Who lacks the key or the request's name cannot spoil it for mei.
			if bad.Thumbprint != good.Thumbprint || bad.Request != good.Request {
				if _, _, _, err := f.Finish(t.Context(), good); err != nil {
					t.Errorf("mei: %v", err)
				}
			}
		})
	}
}

func TestCodeReplay(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	finish := f.approved(t, mei)
	var got atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if token, _, _, err := f.Finish(t.Context(), finish); err == nil && token != "" {
				got.Add(1)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 {
		t.Errorf("%d tokens for one code, want 1", got.Load())
	}
	f.clock.pass(5 * time.Second)
	_, _, _, err := f.Finish(t.Context(), finish)
	wantRefusal(t, err, "expired or was used already")
}

func TestCallbackRefuses(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	visit := func() (state, code, cookie string) {
		b, err := f.Begin(t.Context(), mei.begin(loopbackURI))
		if err != nil {
			t.Fatal(err)
		}
		to, cookie, err := f.Visit(t.Context(), b.Request)
		if err != nil {
			t.Fatal(err)
		}
		code, state = authorize(t, to)
		return state, code, cookie
	}
	_, _, otherCookie := visit()
	for name, cookie := range map[string]string{"no cookie": "", "another browser's": otherCookie} {
		state, code, _ := visit()
		o, err := f.Callback(t.Context(), state, code, cookie, "")
		wantRefusal(t, err, "did not begin")
		if o.RedirectTo != "" {
			t.Errorf("%s: redirected to %s", name, o.RedirectTo)
		}
	}
	state, code, cookie := visit()
	forged := "x" + state[1:]
	if forged == state {
		forged = "y" + state[1:]
	}
	for name, s := range map[string]string{"no state": "", "forged": forged, "long": state + state} {
		if _, err := f.Callback(t.Context(), s, code, cookie, ""); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := f.Callback(t.Context(), state, code, cookie, ""); err != nil {
		t.Fatal(err)
	}
	_, err := f.Callback(t.Context(), state, code, cookie, "")
	wantRefusal(t, err, "expired or was used already")

	// The IdP's code of one visit does not fit the verifier and nonce of another.
	_, code1, _ := visit()
	state2, _, cookie2 := visit()
	_, err = f.Callback(t.Context(), state2, code1, cookie2, "")
	wantRefusal(t, err, "was not accepted")
}

func TestPendingExpires(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	finish := f.approved(t, mei)
	b, err := f.Begin(t.Context(), mei.begin(loopbackURI))
	if err != nil {
		t.Fatal(err)
	}
	f.clock.pass(10 * time.Minute)
	_, _, err = f.Visit(t.Context(), b.Request)
	wantRefusal(t, err, "expired")
	_, _, _, err = f.Finish(t.Context(), finish)
	wantRefusal(t, err, "expired")
}

func TestDeviceApprovedTwice(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	ctx := t.Context()
	b, err := f.Begin(ctx, mei.begin(""))
	if err != nil {
		t.Fatal(err)
	}
	// Two browsers look the same code up and both go to the IdP.
	var states, codes, cookies []string
	for range 2 {
		asked, err := f.LookUp(ctx, b.UserCode, "")
		if err != nil {
			t.Fatal(err)
		}
		to, cookie, err := f.Visit(ctx, asked.Request)
		if err != nil {
			t.Fatal(err)
		}
		code, state := authorize(t, to)
		states, codes, cookies = append(states, state), append(codes, code), append(cookies, cookie)
	}
	if _, err := f.Callback(ctx, states[0], codes[0], cookies[0], ""); err != nil {
		t.Fatal(err)
	}
	_, err = f.Callback(ctx, states[1], codes[1], cookies[1], "")
	wantRefusal(t, err, "used already")
	_, err = f.LookUp(ctx, b.UserCode, "")
	wantRefusal(t, err, "used already")
	finish := login.FinishParams{Request: b.Request, CodeVerifier: mei.verifier, Thumbprint: mei.prover.Thumbprint()}
	if token, _, _, err := f.Finish(ctx, finish); err != nil || token == "" {
		t.Fatalf("Finish: %v", err)
	}
	if token, _, pending, err := f.Finish(ctx, finish); err == nil || pending || token != "" {
		t.Error("a second token for one approval")
	}
}

// Mallory begins on her machine and sends the link around: without the code page nobody gets to the IdP by it.
func TestDevicePageCannotBeSkipped(t *testing.T) {
	f, mallory := newFront(t), newPerson(t)
	b, err := f.Begin(t.Context(), mallory.begin(""))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = f.Visit(t.Context(), b.Request)
	wantRefusal(t, err, "expired or was used")
}

func TestUserCodesCannotBeGuessed(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	b, err := f.Begin(t.Context(), mei.begin(""))
	if err != nil {
		t.Fatal(err)
	}
	slow := 0
	for i := range 30 {
		_, err := f.LookUp(t.Context(), fmt.Sprintf("BBBB-BBB%c", "BCDFGHJKLM"[i%10]), "203.0.113.66:1"+fmt.Sprint(i))
		if errors.Is(err, login.ErrSlowDown) {
			slow++
		}
	}
	if slow != 20 {
		t.Errorf("%d of 30 wrong codes were slowed down, want 20", slow)
	}
	if _, err := f.LookUp(t.Context(), b.UserCode, "203.0.113.66"); !errors.Is(err, login.ErrSlowDown) {
		t.Errorf("the guesser goes on: %v", err)
	}
	if _, err := f.LookUp(t.Context(), b.UserCode, "192.0.2.7"); err != nil {
		t.Errorf("mei from elsewhere: %v", err)
	}
	for _, s := range []string{"", "AAAA-AAAA", "BBBBBBBBB", "BBBB", "ＢBBBBBBB", string(make([]byte, 100))} {
		_, err := f.LookUp(t.Context(), s, "198.51.100.9")
		wantRefusal(t, err, "not known")
	}
}

func TestPollsAreBound(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	b, err := f.Begin(t.Context(), mei.begin(""))
	if err != nil {
		t.Fatal(err)
	}
	p := login.FinishParams{Request: b.Request, CodeVerifier: mei.verifier, Thumbprint: mei.prover.Thumbprint()}
	slow := 0
	for range 10 {
		if _, _, _, err := f.Finish(t.Context(), p); errors.Is(err, login.ErrSlowDown) {
			slow++
		}
	}
	if slow != 8 {
		t.Errorf("%d of 10 hasty polls were slowed down, want 8", slow)
	}
	for range 20 {
		f.clock.pass(login.PollInterval)
		if _, _, pending, err := f.Finish(t.Context(), p); !pending || err != nil {
			t.Fatalf("at the interval: %v", err)
		}
	}
}

func TestUserCodeForm(t *testing.T) {
	f, mei := newFront(t), newPerson(t)
	var codes []string
	for range 200 {
		b, err := f.Begin(t.Context(), mei.begin(""))
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(b.URL)
		if err != nil || len(b.UserCode) != 9 || b.UserCode[4] != '-' || u.Query().Get("code") != b.UserCode {
			t.Fatalf("begun %+v", b)
		}
		codes = append(codes, b.UserCode)
	}
	slices.Sort(codes)
	if len(slices.Compact(codes)) != 200 {
		t.Error("codes repeat")
	}
}
