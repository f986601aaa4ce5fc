package login_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/login"
)

const controlURL = "https://sekisho.example.com"

// authorize plays the browser at the IdP and gives the code and state of the redirect back to us.
func authorize(t *testing.T, to string) (code, state string) {
	t.Helper()
	hc := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := hc.Get(to)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	back, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || resp.StatusCode != http.StatusFound || !strings.HasPrefix(back.String(), controlURL+login.PathCallback+"?") {
		t.Fatalf("IdP answered %s to %s", resp.Status, resp.Header.Get("Location"))
	}
	return back.Query().Get("code"), back.Query().Get("state")
}

const verifier = "a-verifier-that-is-long-enough-for-rfc-7636-rules"

var visit = login.Authorization{State: "state", Nonce: "nonce", Verifier: verifier}

func exchange(t *testing.T, p *login.Provider) (sekisho.Identity, error) {
	t.Helper()
	to, err := p.AuthCodeURL(t.Context(), visit)
	if err != nil {
		t.Fatalf("AuthCodeURL: %v", err)
	}
	code, _ := authorize(t, to)
	return p.Exchange(t.Context(), code, visit)
}

func TestExchange(t *testing.T) {
	o := newOP(t, newClock())
	got, err := exchange(t, o.provider(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := sekisho.Identity{
		Subject: "mei@example.com", Issuer: o.URL, IssuerSubject: "u-1", Name: "Mei",
		Groups: []string{"sre", "oncall"}, Methods: []string{"pwd", "mfa"}, AuthTime: o.clock.now(),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
}

func TestAuthCodeURL(t *testing.T) {
	o := newOP(t, newClock())
	p := o.provider(t, func(c *login.ProviderConfig) { c.Scopes = []string{"email", "groups"} })
	to, err := p.AuthCodeURL(t.Context(), login.Authorization{State: "st", Nonce: "no", Verifier: verifier})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(verifier))
	want := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {controlURL + login.PathCallback},
		"scope": {"openid email groups"}, "state": {"st"}, "nonce": {"no"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	if diff := cmp.Diff(want, u.Query()); diff != "" {
		t.Errorf("query (-want +got):\n%s", diff)
	}
}

// An IdP that is asked to have it proved again either says when that was, or is believed to have done it now.
func TestFresh(t *testing.T) {
	clk := newClock()
	o := newOP(t, clk)
	p := o.provider(t, nil)
	now := clk.now()
	again := visit
	again.Since = now
	to, err := p.AuthCodeURL(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if u, err := url.Parse(to); err != nil || u.Query().Get("prompt") != "login" || u.Query().Get("max_age") != "0" {
		t.Errorf("asks %s", to)
	}
	for name, c := range map[string]struct {
		authTime any
		since    time.Time
		want     time.Time // zero: refused
	}{
		"just now":               {now.Unix(), now, now},
		"by a clock behind ours": {now.Add(-60 * time.Second).Unix(), now, now.Add(-60 * time.Second)},
		"before we asked":        {now.Add(-61 * time.Second).Unix(), now, time.Time{}},
		"an hour ago, not asked": {now.Add(-time.Hour).Unix(), time.Time{}, now.Add(-time.Hour)},
		"not said":               {nil, now, now},
	} {
		o.set(false, o.but(map[string]any{"auth_time": c.authTime}))
		a := visit
		a.Since = c.since
		code, _ := authorize(t, to)
		id, err := p.Exchange(t.Context(), code, a)
		if c.want.IsZero() != (err != nil) || !id.AuthTime.Equal(c.want) {
			t.Errorf("%s: proved at %v, %v", name, id.AuthTime, err)
		}
	}
	o.set(false, o.but(map[string]any{"auth_time": nil}))
	if id, err := exchange(t, p); err != nil || !id.AuthTime.IsZero() {
		t.Errorf("neither asked nor said: %v, %v", id.AuthTime, err)
	}
}

func TestIDTokenRefused(t *testing.T) {
	clk := newClock()
	o := newOP(t, clk)
	stranger := newKey(t)
	at := func(d time.Duration) int64 { return clk.now().Add(d).Unix() }
	tests := map[string]func(map[string]any) string{
		"alg none": unsigned,
		"alg HS256 by our key": func(c map[string]any) string {
			return signTyped([]byte(strings.Repeat("k", 32)), jose.HS256, "k1", "JWT", c)
		},
		"wrong key":            func(c map[string]any) string { return signWith(stranger, "k1", c) },
		"wrong issuer":         o.but(map[string]any{"iss": "https://evil.example.com"}),
		"wrong audience":       o.but(map[string]any{"aud": "other"}),
		"wrong azp":            o.but(map[string]any{"azp": "other"}),
		"audiences, no azp":    o.but(map[string]any{"aud": []string{clientID, "other"}}),
		"wrong nonce":          o.but(map[string]any{"nonce": "other"}),
		"no nonce":             o.but(map[string]any{"nonce": nil}),
		"expired":              o.but(map[string]any{"exp": at(-61 * time.Second)}),
		"no exp":               o.but(map[string]any{"exp": nil}),
		"future iat":           o.but(map[string]any{"iat": at(62 * time.Second)}),
		"old iat":              o.but(map[string]any{"iat": at(-11 * time.Minute)}),
		"no iat":               o.but(map[string]any{"iat": nil}),
		"future auth_time":     o.but(map[string]any{"auth_time": at(5 * time.Minute)}),
		"no sub":               o.but(map[string]any{"sub": nil}),
		"no email":             o.but(map[string]any{"email": nil}),
		"not an address":       o.but(map[string]any{"email": "mei"}),
		"newline in email":     o.but(map[string]any{"email": "mei@example.com\nroot"}),
		"homoglyph in email":   o.but(map[string]any{"email": "m\u0435i@example.com"}),
		"unverified email":     o.but(map[string]any{"email_verified": false}),
		"unverified as string": o.but(map[string]any{"email_verified": "false"}),
		"verified not said":    o.but(map[string]any{"email_verified": nil}),
		"verified is a number": o.but(map[string]any{"email_verified": 1}),
		"groups of numbers":    o.but(map[string]any{"groups": []int{1}}),
		"groups an object":     o.but(map[string]any{"groups": map[string]any{"sre": true}}),
		"group with newline":   o.but(map[string]any{"groups": []string{"a\nb"}}),
		"too many groups":      o.but(map[string]any{"groups": slices.Repeat([]string{"g"}, 1001)}),
		"no token":             func(map[string]any) string { return "" },
		"not a token":          func(map[string]any) string { return "a.b.c" },
	}
	p := o.provider(t, nil)
	for name, token := range tests {
		t.Run(name, func(t *testing.T) {
			o.set(false, token)
			id, err := exchange(t, p)
			var r *sekisho.Refusal
			if !errors.As(err, &r) || r.Next == "" || r.Cause == nil {
				t.Errorf("got %+v, %v; want a refusal with a next step and a cause", id, err)
			}
		})
	}
}

func TestIDTokenAccepted(t *testing.T) {
	clk := newClock()
	o := newOP(t, clk)
	at := func(d time.Duration) int64 { return clk.now().Add(d).Unix() }
	tests := map[string]struct {
		token  func(map[string]any) string
		change func(*login.ProviderConfig)
		groups []string
	}{
		"exp and iat a little off":  {token: o.but(map[string]any{"exp": at(-30 * time.Second), "iat": at(30 * time.Second)})},
		"several audiences and azp": {token: o.but(map[string]any{"aud": []string{clientID, "b"}, "azp": clientID})},
		"verified as string":        {token: o.but(map[string]any{"email_verified": "true"})},
		"verified assumed": {
			token:  o.but(map[string]any{"email_verified": nil}),
			change: func(c *login.ProviderConfig) { c.AssumeVerified = true },
		},
		"groups as string": {token: o.but(map[string]any{"groups": "dev"}), groups: []string{"dev"}},
		"other claim": {
			token:  o.but(map[string]any{"roles": []string{"x"}}),
			change: func(c *login.ProviderConfig) { c.GroupsClaim = "roles" },
			groups: []string{"x"},
		},
		"no groups, amr, auth_time": {token: o.but(map[string]any{"groups": nil, "amr": nil, "auth_time": nil}), groups: []string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			o.set(false, tt.token)
			id, err := exchange(t, o.provider(t, tt.change))
			if err != nil || id.Subject != "mei@example.com" {
				t.Fatalf("got %+v, %v", id, err)
			}
			if tt.groups != nil && !slices.Equal(id.Groups, tt.groups) {
				t.Errorf("groups %q, want %q", id.Groups, tt.groups)
			}
		})
	}
}

// A code that the IdP gave for another verifier, or that was used, gives nobody.
func TestIdPCodeBound(t *testing.T) {
	o := newOP(t, newClock())
	p := o.provider(t, nil)
	to, err := p.AuthCodeURL(t.Context(), visit)
	if err != nil {
		t.Fatal(err)
	}
	code, _ := authorize(t, to)
	if _, err := p.Exchange(t.Context(), code, login.Authorization{Nonce: "nonce", Verifier: verifier + "x"}); err == nil {
		t.Error("another's verifier was accepted")
	}
}

// Control starts while the IdP is down, says so to people, and works once it is up.
func TestIdPDownAtStart(t *testing.T) {
	clk := newClock()
	o := newOP(t, clk)
	o.set(true, nil)
	p := o.provider(t, nil)
	_, err := p.AuthCodeURL(t.Context(), visit)
	if !errors.Is(err, login.ErrUnreachable) || !strings.Contains(sekisho.Say(err), "cannot be reached") {
		t.Fatalf("while down: %v", err)
	}
	o.set(false, nil)
	clk.pass(3 * time.Second)
	if _, err := exchange(t, p); err != nil {
		t.Fatalf("once up: %v", err)
	}
}

func TestOpenRefusesConfig(t *testing.T) {
	good := login.ProviderConfig{
		Issuer: "https://127.0.0.1:1", ClientID: "x", RedirectURL: controlURL + login.PathCallback,
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	if _, err := login.Open(t.Context(), good); err != nil {
		t.Fatalf("good configuration: %v", err)
	}
	for name, change := range map[string]func(*login.ProviderConfig){
		"http far away":     func(c *login.ProviderConfig) { c.Issuer = "http://idp.example.com" },
		"no issuer":         func(c *login.ProviderConfig) { c.Issuer = "" },
		"password in it":    func(c *login.ProviderConfig) { c.Issuer = "https://a:b@idp.example.com" },
		"no client":         func(c *login.ProviderConfig) { c.ClientID = "" },
		"redirect not http": func(c *login.ProviderConfig) { c.RedirectURL = "ftp://127.0.0.1/x" },
	} {
		cfg := good
		change(&cfg)
		if _, err := login.Open(t.Context(), cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
