package control_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

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
func TestTokenUse(t *testing.T) {
	h := newHouse(t)
	kay := h.signIn("kay@example.com", "ca-admins")
	list, explain := "CertificateService/List", "CertificateService/Explain"
	good := must(kay.mint(&apiv1.CreateTokenRequest{Name: "good", Scopes: []string{"certificates.read"}}))(t).Token
	other := must(kay.mint(&apiv1.CreateTokenRequest{Name: "other", Scopes: []string{"ca.manage"}}))(t).Token
	far := must(kay.mint(&apiv1.CreateTokenRequest{Name: "far", Scopes: []string{"certificates.read"}, From: []string{"192.0.2.0/24"}}))(t).Token
	id, _, _ := strings.Cut(good, ".")

	for method, body := range map[string]string{list: `{}`, explain: `{"text":"0"}`} {
		if status, _, says := h.call(good, method, body); status != http.StatusOK {
			t.Errorf("%s: %d %s", method, status, says)
		}
	}
	if used := must(h.db.Token(t.Context(), id))(t).Used; !used.Equal(h.now().Truncate(time.Minute)) {
		t.Errorf("used %v", used)
	}
	for what, c := range map[string]struct{ token, code, says string }{
		"no token":       {"", "unauthenticated", "sekisho"},
		"another secret": {good[:len(good)-1] + "_", "unauthenticated", "not known here"},
		"a short one":    {good[:20], "unauthenticated", "not known here"},
		"a long one":     {good + strings.Repeat("x", 4000), "unauthenticated", "not known here"},
		"unknown":        {sekisho.NewID("api") + ".x", "unauthenticated", "sekisho ca token create"},
		"another scope":  {other, "permission_denied", "scope certificates.read"},
		"another place":  {far, "permission_denied", "may not be used from here"},
	} {
		for range 3 {
			if _, code, says := h.call(c.token, list, `{}`); code != c.code || !strings.Contains(says, c.says) {
				t.Errorf("%s: %s %s", what, code, says)
			}
		}
	}
	refused := h.events(sekisho.EventTokenRefused)
	if len(refused) != 2 {
		t.Fatalf("%d refusals are noted, want one for each of two tokens: %+v", len(refused), refused)
	}
	for _, ev := range refused {
		if ev.Detail["scope"] != "certificates.read" || ev.Actor != "token:other" && ev.Actor != "token:far" || ev.ClientAddress != "127.0.0.1" {
			t.Errorf("%+v", ev)
		}
	}
	for _, token := range []string{good, other, far} {
		_, secret, _ := strings.Cut(token, ".")
		if strings.Contains(h.logged.String(), secret) {
			t.Error("a token is in the log")
		}
	}
}

func TestTokenEnds(t *testing.T) {
	h := newHouse(t)
	kay, only, bob := h.signIn("kay@example.com", "ca-admins"), h.signIn("only@example.com", "ca-only"), h.signIn("bob@example.com")
	works := func(token string) bool {
		status, _, _ := h.call(token, "CertificateService/List", `{}`)
		return status == http.StatusOK
	}
	end := func(d *device, id string) error {
		_, err := d.Token.End(t.Context(), connect.NewRequest(&apiv1.EndTokenRequest{Id: id}))
		return err
	}
	first := must(kay.mint(&apiv1.CreateTokenRequest{Name: "first", Scopes: []string{"certificates.read"}}))(t)
	second := must(kay.mint(&apiv1.CreateTokenRequest{Name: "second", Scopes: []string{"certificates.read"}}))(t)
	for d, n := range map[*device]int{kay: 2, only: 2, bob: 0} {
		res, err := d.Token.List(t.Context(), connect.NewRequest(&apiv1.ListTokensRequest{}))
		if err != nil || len(res.Msg.Tokens) != n {
			t.Errorf("%v, %v: want %d tokens", res, err, n)
		}
	}
	wantCode(t, "bob ends kay's", end(bob, first.Info.Id), connect.CodePermissionDenied)
	wantCode(t, "bob ends what is not there", end(bob, sekisho.NewID("api")), connect.CodePermissionDenied)
	wantCode(t, "nonsense", end(kay, "deploy"), connect.CodeInvalidArgument)
	if !works(first.Token) {
		t.Error("it does not work any more")
	}
	if err := end(only, first.Info.Id); err != nil {
		t.Error(err)
	}
	wantCode(t, "twice", end(kay, first.Info.Id), connect.CodeNotFound)
	if works(first.Token) {
		t.Error("an ended token works")
	}
	h.barred.Store("kay@example.com")
	if works(second.Token) {
		t.Error("the token of somebody who is revoked works")
	}
	_, err := kay.mint(&apiv1.CreateTokenRequest{Scopes: []string{"ca.read"}})
	wantCode(t, "somebody who is revoked", err, connect.CodePermissionDenied)
	h.barred.Store("")
	if !works(second.Token) {
		t.Error("it does not work although its maker is not revoked any more")
	}
	h.pass(time.Hour)
	if works(second.Token) {
		t.Error("an expired token works")
	}
	if n := len(h.events(sekisho.EventTokenEnded)); n != 1 {
		t.Errorf("%d ends are noted", n)
	}
}

// Whatever stands where a token should, the answer is a refusal.
func FuzzBearer(f *testing.F) {
	h := newHouse(f)
	for _, s := range []string{"", "api_", "api_.x", sekisho.NewID("api") + ".", "a b c", "api_aaaaaaaaaaaaaaaaaaaaaaaaaa.\x00"} {
		f.Add("Bearer " + s)
	}
	f.Add("DPoP x")
	f.Fuzz(func(t *testing.T, value string) {
		req, err := http.NewRequest(http.MethodPost, h.url+"/sekisho.v1.CertificateService/List", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header["Authorization"] = []string{value}
		w := &answer{header: http.Header{}}
		h.handler.ServeHTTP(w, req)
		if w.status != http.StatusUnauthorized {
			t.Errorf("%q: %d", value, w.status)
		}
	})
}

type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(p []byte) (int, error) { return len(p), nil }
func (a *answer) WriteHeader(status int)      { a.status = status }
