package login_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/sekisho/sekisho/login"
)

// clock is a hand-set time.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 11, 3, 9, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// op is a small OpenID provider that signs in mei without asking, and can be told to answer badly.
type op struct {
	*httptest.Server
	clock *clock
	key   *ecdsa.PrivateKey

	mu    sync.Mutex
	codes map[string]url.Values
	// Down makes it answer 503; token, if set, makes the ID token from the good claims.
	down  bool
	token func(claims map[string]any) string
}

const clientID, clientSecret = "sekisho", "s3cret"

func newOP(t *testing.T, clk *clock) *op {
	t.Helper()
	o := &op{clock: clk, key: newKey(t), codes: make(map[string]url.Values)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", o.discovery)
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: o.key.Public(), KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /auth", o.authorize)
	mux.HandleFunc("POST /token", o.exchange)
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		down := o.down
		o.mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *op) set(down bool, token func(map[string]any) string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.down, o.token = down, token
}

func (o *op) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"issuer": o.URL, "authorization_endpoint": o.URL + "/auth", "token_endpoint": o.URL + "/token",
		"jwks_uri": o.URL + "/keys", "id_token_signing_alg_values_supported": []string{"none", "HS256", "ES256"},
	})
}

func (o *op) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != clientID || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	o.mu.Lock()
	o.codes[code] = q
	o.mu.Unlock()
	back := url.Values{"code": {code}, "state": {q.Get("state")}}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (o *op) exchange(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	o.mu.Lock()
	asked, ok := o.codes[r.PostFormValue("code")]
	delete(o.codes, r.PostFormValue("code"))
	token := o.token
	o.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if !ok || id != clientID || secret != clientSecret || challenge != asked.Get("code_challenge") ||
		r.PostFormValue("redirect_uri") != asked.Get("redirect_uri") {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	now := o.clock.now()
	claims := map[string]any{
		"iss": o.URL, "aud": clientID, "sub": "u-1", "nonce": asked.Get("nonce"),
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "auth_time": now.Unix(), "amr": []string{"pwd", "mfa"},
		"email": "Mei@example.com", "email_verified": true, "name": "Mei", "groups": []string{"sre", "oncall"},
	}
	if token == nil {
		token = o.sign
	}
	writeJSON(w, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": token(claims)})
}

// sign makes a good ID token of claims.
func (o *op) sign(claims map[string]any) string { return signWith(o.key, "k1", claims) }

// but gives tokens that differ from good ones in these claims; nil removes one.
func (o *op) but(changes map[string]any) func(map[string]any) string {
	return func(claims map[string]any) string {
		maps.Copy(claims, changes)
		for k, v := range claims {
			if v == nil {
				delete(claims, k)
			}
		}
		return o.sign(claims)
	}
}

func signWith(key *ecdsa.PrivateKey, kid string, claims map[string]any) string {
	return signTyped(key, jose.ES256, kid, "JWT", claims)
}

func signTyped(key any, alg jose.SignatureAlgorithm, kid, typ string, claims any) string {
	opts := new(jose.SignerOptions)
	if typ != "" {
		opts = opts.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, opts)
	if err != nil {
		panic(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	jws, err := signer.Sign(body)
	if err != nil {
		panic(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return out
}

// unsigned is a token with alg none.
func unsigned(claims map[string]any) string {
	body, _ := json.Marshal(claims)
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(`{"alg":"none"}`)) + "." + enc.EncodeToString(body) + "."
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func thumbprint(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (o *op) provider(t *testing.T, change func(*login.ProviderConfig)) *login.Provider {
	t.Helper()
	cfg := login.ProviderConfig{
		Issuer: o.URL, ClientID: clientID, ClientSecret: clientSecret, RedirectURL: controlURL + login.PathCallback,
		Now: o.clock.now, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&cfg)
	}
	p, err := login.Open(t.Context(), cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return p
}
