package api_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/go-jose/go-jose/v4"

	"github.com/sekisho/sekisho/api"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
	"github.com/sekisho/sekisho/login"
)

func newProver(t testing.TB) (*api.Prover, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := api.NewProver(key)
	if err != nil {
		t.Fatal(err)
	}
	return p, key
}

// The proof as RFC 9449 §4.2 has it, read by other means than our own checker.
func TestProof(t *testing.T) {
	p, key := newProver(t)
	now := time.Unix(1_800_000_000, 999)
	proof, err := p.Proof("POST", "https://sekisho.example.com/x?secret=1", "tok", now)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := jose.ParseSignedCompact(proof, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	body, err := jws.Verify(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	header := jws.Signatures[0].Protected
	if header.ExtraHeaders[jose.HeaderType] != "dpop+jwt" || header.JSONWebKey == nil || !header.JSONWebKey.IsPublic() {
		t.Errorf("header %+v", header)
	}
	sum, err := header.JSONWebKey.Thumbprint(crypto.SHA256)
	if err != nil || p.Thumbprint() != base64.RawURLEncoding.EncodeToString(sum) {
		t.Errorf("thumbprint %q, want %x, %v", p.Thumbprint(), sum, err)
	}
	var claims map[string]any
	if err := json.Unmarshal(body, &claims); err != nil {
		t.Fatal(err)
	}
	ath := sha256.Sum256([]byte("tok"))
	if claims["htm"] != "POST" || claims["htu"] != "https://sekisho.example.com/x" || claims["iat"] != 1.8e9 ||
		claims["ath"] != base64.RawURLEncoding.EncodeToString(ath[:]) || len(claims["jti"].(string)) < 20 || len(claims) != 5 {
		t.Errorf("claims %v", claims)
	}
	again, err := p.Proof("POST", "https://sekisho.example.com/x", "tok", now)
	if err != nil || again == proof {
		t.Errorf("same proof twice, %v", err)
	}
}

func TestNewProverRefuses(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := api.NewProver(key); err == nil {
		t.Error("P-384 key taken")
	}
	if _, err := api.NewProver(nil); err == nil {
		t.Error("no key taken")
	}
}

type signIns struct {
	apiv1connect.UnimplementedSignInServiceHandler
}

func (signIns) Status(context.Context, *connect.Request[apiv1.StatusRequest]) (*connect.Response[apiv1.StatusResponse], error) {
	return connect.NewResponse(&apiv1.StatusResponse{}), nil
}

func TestClients(t *testing.T) {
	p, _ := newProver(t)
	proofs := login.NewProofs(time.Now)
	var origin, refused string
	mux := http.NewServeMux()
	path, handler := apiv1connect.NewSignInServiceHandler(signIns{})
	mux.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "DPoP ")
		if err := proofs.CheckBy(p.Thumbprint(), r.Header.Get("DPoP"), r.Method, origin+r.URL.Path, token); err != nil {
			refused = err.Error()
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	origin = srv.URL
	token := ""
	clients := api.NewClients(&api.Transport{Base: srv.Client().Transport, Prover: p, Token: func() string { return token }, Origin: srv.URL + "/"})
	for _, token = range []string{"", "sin_x.y"} {
		if _, err := clients.SignIn.Status(t.Context(), connect.NewRequest(&apiv1.StatusRequest{})); err != nil {
			t.Errorf("token %q: %v, %s", token, err, refused)
		}
	}
}

// A server that redirects elsewhere gets no token carried there.
func TestTokenStaysHome(t *testing.T) {
	p, _ := newProver(t)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s got there with %q", r.URL, r.Header.Get("Authorization"))
	}))
	t.Cleanup(elsewhere.Close)
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	}))
	t.Cleanup(home.Close)
	tr := &api.Transport{Base: home.Client().Transport, Prover: p, Token: func() string { return "tok" }, Origin: home.URL}
	if _, err := api.NewClients(tr).SignIn.Status(t.Context(), connect.NewRequest(&apiv1.StatusRequest{})); err == nil {
		t.Error("a redirect passed for an answer")
	}
	if resp, err := (&http.Client{Transport: tr}).Get(home.URL); err == nil {
		resp.Body.Close()
		t.Error("a redirect to another origin was followed")
	}
}

func BenchmarkProof(b *testing.B) {
	p, _ := newProver(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Proof("POST", "https://sekisho.example.com/sekisho.v1.AccessService/Connect", "token", time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
