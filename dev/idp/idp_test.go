package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const redirect = "http://127.0.0.1:9/login/callback"

// start runs the provider as main does and gives its issuer URL.
func start(t *testing.T, more ...string) string {
	t.Helper()
	dir := t.TempDir()
	secret, ready := filepath.Join(dir, "secret"), filepath.Join(dir, "ready")
	if err := os.WriteFile(secret, []byte("hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	pr, pw := io.Pipe()
	ended := make(chan error, 1)
	args := []string{"-redirect", redirect, "-client-secret-file", secret, "-ready", ready,
		"-user", "mei@example.com:correct:horse:sre", "-user", "hana@example.com:pw:leads,sre"}
	go func() {
		err := run(ctx, append(args, more...), pw, slog.New(slog.DiscardHandler))
		pw.CloseWithError(err)
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	line, err := bufio.NewReader(pr).ReadString('\n')
	if err != nil {
		t.Fatalf("read issuer: %v", err)
	}
	if data, err := os.ReadFile(ready); err != nil || string(data) != line {
		t.Errorf("ready file: %q, %v; stdout %q", data, err, line)
	}
	return strings.TrimSpace(line)
}

var formAction = regexp.MustCompile(`<form method="post" action="([^"]*)"`)

// fill is a browser without a window: it opens the URL, posts the login form that it ends at, and follows
// redirects until one leaves the issuer's host. It gives that last address.
func fill(start, login, password string) (*url.URL, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	first, err := url.Parse(start)
	if err != nil {
		return nil, err
	}
	var left *url.URL
	hc := &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Host != first.Host {
			left = r.URL
			return http.ErrUseLastResponse
		}
		return nil
	}}
	resp, err := hc.Get(start)
	if err != nil {
		return nil, err
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, err
	}
	m := formAction.FindSubmatch(page)
	if m == nil {
		return nil, fmt.Errorf("no login form: %s\n%s", resp.Status, page)
	}
	action, err := resp.Request.URL.Parse(html.UnescapeString(string(m[1])))
	if err != nil {
		return nil, err
	}
	resp, err = hc.PostForm(action.String(), url.Values{"login": {login}, "password": {password}})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if left == nil {
		return nil, errors.New("not let in: " + resp.Status)
	}
	return left, nil
}

func TestLogin(t *testing.T) {
	issuer := start(t)
	ctx := t.Context()
	op, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		t.Fatal(err)
	}
	oauth := oauth2.Config{ClientID: "sekisho", ClientSecret: "hush", Endpoint: op.Endpoint(), RedirectURL: redirect,
		Scopes: []string{"openid", "email", "profile", "groups"}}
	verifier := oauth2.GenerateVerifier()
	to := oauth.AuthCodeURL("st", oidc.Nonce("no"), oauth2.S256ChallengeOption(verifier))

	if _, err := fill(to, "mei@example.com", "wrong"); err == nil {
		t.Fatal("a wrong password was let in")
	}
	back, err := fill(to, "mei@example.com", "correct:horse")
	if err != nil {
		t.Fatal(err)
	}
	if got := back.Query().Get("state"); got != "st" || !strings.HasPrefix(back.String(), redirect+"?") {
		t.Fatalf("redirected to %s", back)
	}
	token, err := oauth.Exchange(ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := op.Verifier(&oidc.Config{ClientID: "sekisho"}).Verify(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Email    string   `json:"email"`
		Verified bool     `json:"email_verified"`
		Groups   []string `json:"groups"`
	}
	if err := id.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if claims.Email != "mei@example.com" || !claims.Verified || !slices.Equal(claims.Groups, []string{"sre"}) || id.Nonce != "no" {
		t.Errorf("claims %+v, nonce %q", claims, id.Nonce)
	}
}

// Without PKCE there is no login at all: the demo must not work by an accident that a stricter IdP would show.
func TestDemandsPKCE(t *testing.T) {
	issuer := start(t)
	u := issuer + "/auth?" + url.Values{"client_id": {"sekisho"}, "response_type": {"code"}, "scope": {"openid"},
		"redirect_uri": {redirect}, "state": {"s"}}.Encode()
	if back, err := fill(u, "mei@example.com", "correct:horse"); err == nil && back.Query().Get("code") != "" {
		t.Errorf("got a code without PKCE: %s", back)
	}
}

func TestParseArgs(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "s")
	file := filepath.Join(dir, "idp.json")
	if err := errors.Join(
		os.WriteFile(secret, []byte(" hush \n"), 0o600),
		os.WriteFile(file, fmt.Appendf(nil, `{"client_id":"x","redirects":["https://a/cb"],"client_secret_file":%q,
			"users":[{"email":"ken@example.com","password":"pw","groups":["dev"]}]}`, secret), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	cfg, err := parseArgs([]string{"-config", file, "-redirect", "https://b/cb", "-user", "hana@example.com:a:b:leads,sre"})
	if err != nil {
		t.Fatal(err)
	}
	if cfg.ClientID != "x" || cfg.secret != "hush" || len(cfg.Redirects) != 2 || len(cfg.Users) != 2 {
		t.Errorf("config %+v", cfg)
	}
	if u := cfg.Users[1]; u.Password != "a:b" || !slices.Equal(u.Groups, []string{"leads", "sre"}) {
		t.Errorf("user %+v", u)
	}
	for name, args := range map[string][]string{
		"not loopback":  {"-config", file, "-listen", "0.0.0.0:0"},
		"a host name":   {"-config", file, "-listen", "localhost:0"},
		"malformed":     {"-config", file, "-user", "ken:pw"},
		"no secret":     {"-redirect", "https://b/cb", "-user", "a@b:c:d"},
		"absent config": {"-config", filepath.Join(dir, "none")},
	} {
		if _, err := parseArgs(args); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
