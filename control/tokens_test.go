package control_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// mint makes an API token as that device's person.
func (d *device) mint(req *apiv1.CreateTokenRequest) (*apiv1.CreateTokenResponse, error) {
	if req.Name == "" {
		req.Name = "deploy"
	}
	if req.TtlSeconds == 0 {
		req.TtlSeconds = 3600
	}
	res, err := d.Token.Create(d.house.t.Context(), connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// call calls as a program does: JSON over plain HTTP.
func (h *house) call(token, method, body string) (status int, code, message string) {
	h.t.Helper()
	req := must(http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url+"/sekisho.v1."+method, strings.NewReader(body)))(h.t)
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res := must(h.http.Do(req))(h.t)
	defer res.Body.Close()
	text := must(io.ReadAll(res.Body))(h.t)
	var told struct{ Code, Message string }
	if res.StatusCode != http.StatusOK {
		if err := json.Unmarshal(text, &told); err != nil {
			h.t.Fatalf("%s: %d %q", method, res.StatusCode, text)
		}
		return res.StatusCode, told.Code, told.Message
	}
	return res.StatusCode, "", string(text)
}

func TestTokenCreate(t *testing.T) {
	h := newHouse(t)
	kay := h.signIn("kay@example.com", "ca-admins")
	made := must(kay.mint(&apiv1.CreateTokenRequest{
		Scopes: []string{"certificates.read", "ca.manage", "ca.read", "ca.read"}, From: []string{"127.0.0.0/8", "::1/128"},
	}))(t)
	id, secret, _ := strings.Cut(made.Token, ".")
	if !sekisho.CheckID("api", id) || len(secret) != 43 || made.Info.Id != id || made.Info.By != "kay@example.com" {
		t.Fatalf("%v", made)
	}
	if got := strings.Join(made.Info.Scopes, " "); got != "ca.manage ca.read certificates.read" {
		t.Errorf("scopes are %s", got)
	}
	stored := must(h.db.Token(t.Context(), id))(t)
	if len(stored.Hash) != 32 || bytes.Contains(stored.Hash, []byte(secret)) {
		t.Errorf("stored is %x", stored.Hash)
	}
	ev := h.events(sekisho.EventTokenMade)[0]
	if ev.Actor != "kay@example.com" || ev.Detail["token"] != id || ev.Detail["name"] != "deploy" || ev.Detail["from"] != "127.0.0.0/8 ::1/128" {
		t.Errorf("%+v", ev)
	}
	if strings.Contains(h.logged.String(), secret) {
		t.Error("the token is in the log")
	}
	_, err := kay.mint(&apiv1.CreateTokenRequest{Scopes: []string{"ca.read"}})
	wantCode(t, "the same name twice", err, connect.CodeAlreadyExists)
}

func TestTokenCreateRefuses(t *testing.T) {
	h := newHouse(t)
	kay, only, bob := h.signIn("kay@example.com", "ca-admins"), h.signIn("only@example.com", "ca-only"), h.signIn("bob@example.com", "ops")
	for what, req := range map[string]*apiv1.CreateTokenRequest{
		"no scope":            {},
		"unknown scope":       {Scopes: []string{"ca.write"}},
		"all issuers":         {Scopes: []string{"certificates.sign/*"}},
		"no issuer":           {Scopes: []string{"certificates.sign/"}},
		"many scopes":         {Scopes: make([]string, 33)},
		"a name with spaces":  {Name: "a b", Scopes: []string{"ca.read"}},
		"a name like a log's": {Name: "mei@example.com", Scopes: []string{"ca.read"}},
		"a year and two days": {TtlSeconds: 367 * 24 * 3600, Scopes: []string{"ca.read"}},
		"much longer":         {TtlSeconds: 1 << 62, Scopes: []string{"ca.read"}},
		"negative":            {TtlSeconds: -1, Scopes: []string{"ca.read"}},
		"no network":          {Scopes: []string{"ca.read"}, From: []string{"10.0.0.1"}},
		"bits after it":       {Scopes: []string{"ca.read"}, From: []string{"10.0.0.1/8"}},
	} {
		_, err := kay.mint(req)
		wantCode(t, what, err, connect.CodeInvalidArgument)
	}
	_, err := bob.mint(&apiv1.CreateTokenRequest{Scopes: []string{"ca.read"}})
	wantCode(t, "somebody who may not manage CAs", err, connect.CodePermissionDenied)
	_, err = only.mint(&apiv1.CreateTokenRequest{Scopes: []string{"certificates.revoke"}})
	wantCode(t, "more than one may oneself", err, connect.CodePermissionDenied)
	_, err = only.mint(&apiv1.CreateTokenRequest{Scopes: []string{"certificates.read"}})
	wantCode(t, "more than one may oneself", err, connect.CodePermissionDenied)
	if n := len(h.events(sekisho.EventTokenMade)); n != 0 {
		t.Errorf("%d tokens were made", n)
	}

	made := must(kay.mint(&apiv1.CreateTokenRequest{Scopes: []string{"ca.manage"}}))(t)
	status, code, _ := h.call(made.Token, "TokenService/Create", `{"name":"child","scopes":["ca.manage"],"ttlSeconds":"60"}`)
	if status != http.StatusUnauthorized || code != "unauthenticated" {
		t.Errorf("a token made a token: %d %s", status, code)
	}
}
