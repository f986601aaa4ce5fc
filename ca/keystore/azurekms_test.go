package keystore_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/sekisho/sekisho/ca/keystore"
)

const azureSecret = "client-secret-4711"

// azureServer speaks as much of Azure Key Vault as is used, and of the identity service that gives out tokens for it: a
// vault answers only bearers of a token that it asked for by a challenge, and that was given for the client's secret. All
// names lead to it.
type azureServer struct {
	*httptest.Server
	client *http.Client

	mu     sync.Mutex
	keys   map[string][]*ecdsa.PrivateKey // versions by name
	tokens map[string]bool
	refuse int // the status that every call of the vault gets
	broken bool
}

func newAzure(t testing.TB) *azureServer {
	t.Helper()
	s := &azureServer{keys: map[string][]*ecdsa.PrivateKey{}, tokens: map[string]bool{}}
	s.Server = httptest.NewTLSServer(s)
	s.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com"},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		},
		MaxIdleConnsPerHost: 64,
	}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		s.Close()
	})
	for name, value := range map[string]string{"AZURE_TENANT_ID": "tenant", "AZURE_CLIENT_ID": "client", "AZURE_CLIENT_SECRET": azureSecret, "AZURE_CLIENT_CERTIFICATE_PATH": "",
		"AZURE_FEDERATED_TOKEN_FILE": "", "AZURE_AUTHORITY_HOST": "https://login.microsoftonline.com/"} {
		t.Setenv(name, value)
	}
	return s
}

func (s *azureServer) uri(key string) string     { return "azurekms:https://ca.vault.azure.net/" + key }
func (s *azureServer) options() keystore.Options { return keystore.Options{HTTPClient: s.client} }

func (s *azureServer) set(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

func (s *azureServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	status, answer := http.StatusNotFound, any(map[string]any{"error": map[string]string{"code": "KeyNotFound", "message": "no"}})
	switch {
	case strings.HasPrefix(r.Host, "ca.vault.azure.net"):
		status, answer = s.vault(w, r)
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		base := "https://login.microsoftonline.com/tenant"
		status, answer = http.StatusOK, map[string]string{"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token"}
	case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		status, answer = http.StatusOK, map[string]any{"tenant_discovery_endpoint": "https://login.microsoftonline.com/tenant/v2.0/.well-known/openid-configuration",
			"metadata": []any{map[string]any{"preferred_network": "login.microsoftonline.com", "preferred_cache": "login.windows.net", "aliases": []string{"login.microsoftonline.com"}}}}
	case strings.HasSuffix(r.URL.Path, "/tenant/oauth2/v2.0/token"):
		status, answer = s.login(r)
	}
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

func (s *azureServer) login(r *http.Request) (int, any) {
	if r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_id") != "client" || r.FormValue("client_secret") != azureSecret ||
		!strings.Contains(r.FormValue("scope"), "https://vault.azure.net/.default") {
		return http.StatusUnauthorized, map[string]string{"error": "invalid_client", "error_description": "no"}
	}
	token := rand.Text()
	s.tokens[token] = true
	return http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": token}
}

func (s *azureServer) vault(w http.ResponseWriter, r *http.Request) (int, any) {
	fail := func(status int, code string) (int, any) {
		return status, map[string]any{"error": map[string]string{"code": code, "message": "no"}}
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !ok || !s.tokens[token] {
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://login.microsoftonline.com/tenant", resource="https://vault.azure.net"`)
		return fail(http.StatusUnauthorized, "Unauthorized")
	}
	if s.refuse != 0 {
		return fail(s.refuse, "Refused")
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/keys/"), "/")
	name := parts[0]
	var in struct{ Kty, Crv, Alg, Value string }
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return fail(http.StatusBadRequest, "BadParameter")
		}
	}
	if r.Method == http.MethodPost && len(parts) == 2 && parts[1] == "create" {
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384()}[in.Crv]
		if in.Kty != "EC" || curve == nil {
			return fail(http.StatusBadRequest, "BadParameter")
		}
		key, _ := ecdsa.GenerateKey(curve, rand.Reader)
		s.keys[name] = append(s.keys[name], key) // a new version, as Azure does
		return s.show(name, len(s.keys[name])-1)
	}
	versions := s.keys[name]
	at := len(versions) - 1
	if len(parts) > 1 && parts[1] != "" {
		if _, err := fmt.Sscanf(parts[1], "version%d", &at); err != nil {
			return fail(http.StatusNotFound, "KeyNotFound")
		}
	}
	if at < 0 || at >= len(versions) {
		return fail(http.StatusNotFound, "KeyNotFound")
	}
	if len(parts) < 3 || parts[2] != "sign" {
		return s.show(name, at)
	}
	key, alg, hash := versions[at], "ES256", crypto.SHA256
	if key.Curve == elliptic.P384() {
		alg, hash = "ES384", crypto.SHA384
	}
	digest, err := base64.RawURLEncoding.DecodeString(in.Value)
	if err != nil || in.Alg != alg || len(digest) != hash.Size() {
		return fail(http.StatusBadRequest, "BadParameter")
	}
	der, _ := key.Sign(rand.Reader, digest, hash)
	var pair struct{ R, S *big.Int }
	asn1.Unmarshal(der, &pair)
	raw := make([]byte, 2*hash.Size())
	pair.R.FillBytes(raw[:hash.Size()])
	pair.S.FillBytes(raw[hash.Size():])
	if s.broken {
		raw[0] ^= 1
	}
	return http.StatusOK, map[string]string{"kid": fmt.Sprintf("https://ca.vault.azure.net/keys/%s/version%d", name, at), "value": base64.RawURLEncoding.EncodeToString(raw)}
}

func (s *azureServer) show(name string, at int) (int, any) {
	point, _ := s.keys[name][at].PublicKey.Bytes()
	half, encode := len(point)/2, base64.RawURLEncoding.EncodeToString
	curve := s.keys[name][at].Params().Name
	return http.StatusOK, map[string]any{"key": map[string]any{
		"kid": fmt.Sprintf("https://ca.vault.azure.net/keys/%s/version%d", name, at), "kty": "EC", "crv": curve, "x": encode(point[1 : 1+half]), "y": encode(point[1+half:]),
	}}
}

func TestAzure(t *testing.T) {
	s := newAzure(t)
	for _, kind := range []keystore.Kind{keystore.Best, keystore.P384} {
		t.Run(string(kind), func(t *testing.T) {
			name := "ca" + string(kind)
			create(t, s.uri(name), kind, s.options())
			conform(t, s.uri(name), s.options())
			conform(t, s.uri("keys/"+name+"/version0"), s.options())
		})
	}
}

// A vault that gets a newer version of a key goes on with the one that was opened.
func TestAzureVersion(t *testing.T) {
	s := newAzure(t)
	create(t, s.uri("ca"), keystore.Best, s.options())
	key := open(t, s.uri("ca"), s.options())
	s.set(func() {
		newer, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		s.keys["ca"] = append(s.keys["ca"], newer)
	})
	together(t, key)
	if later := open(t, s.uri("ca"), s.options()); same(key, later) {
		t.Error("the newest version is not taken")
	}
	if pinned := open(t, s.uri("ca/version0"), s.options()); !same(key, pinned) {
		t.Error("the version that was named is not taken")
	}
}

// Azure refuses, answers wrongly, and goes away; signing goes on when it is back.
func TestAzureFails(t *testing.T) {
	s := newAzure(t)
	create(t, s.uri("ca"), keystore.Best, s.options())
	key := open(t, s.uri("ca"), s.options())
	first := s.keys["ca"]
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for want, do := range map[string]func(){
		"allow keys/read and keys/sign": func() { s.refuse = http.StatusForbidden },
		"key not found":                 func() { delete(s.keys, "ca") },
		"does not fit the public key":   func() { s.broken = true },
		"another public key now":        func() { s.keys["ca"] = []*ecdsa.PrivateKey{other} },
		"400 Refused":                   func() { s.refuse = http.StatusBadRequest },
	} {
		s.set(do)
		err := sign(key, []byte("x"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "azurekms:https://ca.vault.azure.net/ca:") || strings.Contains(err.Error(), "4711") {
			t.Errorf("%v, want %q", err, want)
		}
		s.set(func() { s.refuse, s.broken, s.keys["ca"] = 0, false, first })
		signs(t, key)
	}
	t.Setenv("AZURE_CLIENT_SECRET", "another 4711")
	if _, err := keystore.Open(t.Context(), s.uri("ca"), s.options()); err == nil || !strings.Contains(err.Error(), "no credentials were given by Azure's identity service: 401") || strings.Contains(err.Error(), "4711") || strings.Contains(err.Error(), "\n") {
		t.Errorf("with a wrong secret: %v", err)
	}
	s.CloseClientConnections()
	s.Close()
	o := s.options()
	if err := sign(key, []byte("x")); err == nil || !strings.Contains(err.Error(), "azurekms:https://ca.vault.azure.net/ca:") || strings.Contains(err.Error(), "\n") {
		t.Errorf("without a server: %v", err)
	}
	if _, err := keystore.Open(t.Context(), s.uri("ca"), o); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("without a server: %v", err)
	}
}

func TestAzureRefuses(t *testing.T) {
	for _, uri := range []string{"azurekms:", "azurekms:https://a.vault.azure.net", "azurekms:https://a.vault.azure.net/", "azurekms:http://a.vault.azure.net/b", "azurekms:http://127.0.0.1/b",
		"azurekms:https://u:4711@a.vault.azure.net/b", "azurekms:https://a/b/c/d", "azurekms:https://a/b_", "azurekms:https://a/b?secret=4711", "azurekms:https://a/keys/b/c/4711"} {
		if err := keystore.Check(uri); err == nil || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v", uri, err)
		}
	}
	s := newAzure(t)
	if _, err := keystore.Open(t.Context(), s.uri("none"), s.options()); !errors.Is(err, keystore.ErrNotFound) {
		t.Error(err)
	}
	if _, err := keystore.Create(t.Context(), s.uri("a/b"), keystore.Best, s.options()); err == nil || !strings.Contains(err.Error(), "leave it out") {
		t.Error(err)
	}
}

func BenchmarkAzure(b *testing.B) {
	s := newAzure(b)
	key, err := keystore.Create(b.Context(), s.uri("ca"), keystore.P256, s.options())
	if err != nil {
		b.Fatal(err)
	}
	key.Close()
	benchmark(b, s.uri("ca"), s.options())
}
