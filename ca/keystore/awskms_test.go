package keystore_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sekisho/sekisho/ca/keystore"
)

const (
	awsID     = "AKIDEXAMPLE4711"
	awsSecret = "wJalrXUtnFEMI/4711"
)

// awsServer speaks as much of AWS KMS as is used (JSON 1.1), and answers only what is signed by awsSecret (Signature
// Version 4).
type awsServer struct {
	*httptest.Server
	client *http.Client

	mu      sync.Mutex
	keys    map[string]*ecdsa.PrivateKey // by ID
	aliases map[string]string
	calls   map[string]int
	refuse  string // the error that every call gets
	broken  bool   // signatures are wrong
}

func newAWS(t testing.TB) *awsServer {
	t.Helper()
	s := &awsServer{keys: map[string]*ecdsa.PrivateKey{}, aliases: map[string]string{}, calls: map[string]int{}}
	s.Server = httptest.NewServer(s)
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		s.Close()
	})
	for name, value := range map[string]string{"AWS_ACCESS_KEY_ID": awsID, "AWS_SECRET_ACCESS_KEY": awsSecret, "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_CA_BUNDLE": "", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(name, value)
	}
	return s
}

func (s *awsServer) uri(key string) string {
	return "awskms:eu-central-1/" + key + "?endpoint=" + s.URL
}

func (s *awsServer) options() keystore.Options { return keystore.Options{HTTPClient: s.client} }

// signed verifies a request by what AWS publishes of Signature Version 4, not by the library that made it.
func signed(r *http.Request, body []byte) error {
	fields := map[string]string{}
	for _, part := range strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 "), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope, ok := strings.CutPrefix(fields["Credential"], awsID+"/")
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if !ok || err != nil || time.Since(at).Abs() > 5*time.Minute || scope != at.Format("20060102")+"/eu-central-1/kms/aws4_request" {
		return fmt.Errorf("scope %q at %v", scope, at)
	}
	var headers strings.Builder
	for _, name := range strings.Split(fields["SignedHeaders"], ";") {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.TrimSpace(value))
	}
	sum := func(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
	canonical := strings.Join([]string{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, headers.String(), fields["SignedHeaders"], sum(body)}, "\n")
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		io.WriteString(h, text)
		return h.Sum(nil)
	}
	key := []byte("AWS4" + awsSecret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	want := mac(key, strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), scope, sum([]byte(canonical))}, "\n"))
	if got, err := hex.DecodeString(fields["Signature"]); err != nil || !hmac.Equal(got, want) {
		return errors.New("the signature is wrong")
	}
	return nil
}

func (s *awsServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = signed(r, body)
	}
	answer, code := any(nil), ""
	if err != nil {
		code = "InvalidSignatureException"
	} else {
		answer, code = s.answer(strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService."), body)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if code != "" {
		w.WriteHeader(http.StatusBadRequest)
		answer = map[string]string{"__type": code, "message": "no"}
	}
	json.NewEncoder(w).Encode(answer)
}

func (s *awsServer) answer(action string, body []byte) (any, string) {
	var in struct {
		KeyID            string `json:"KeyId"`
		KeySpec          string
		KeyUsage         string
		AliasName        string
		TargetKeyID      string `json:"TargetKeyId"`
		Message          []byte
		MessageType      string
		SigningAlgorithm string
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, "SerializationException"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls[action]++
	if s.refuse != "" {
		return nil, s.refuse
	}
	id := in.KeyID
	if strings.HasPrefix(id, "alias/") {
		id = s.aliases[id]
	}
	key := s.keys[id]
	if key == nil && in.KeyID != "" {
		return nil, "NotFoundException"
	}
	switch action {
	case "CreateKey":
		curve := map[string]elliptic.Curve{"ECC_NIST_P256": elliptic.P256(), "ECC_NIST_P384": elliptic.P384()}[in.KeySpec]
		if curve == nil || in.KeyUsage != "SIGN_VERIFY" {
			return nil, "ValidationException"
		}
		id := fmt.Sprintf("1234abcd-12ab-34cd-56ef-%012d", len(s.keys))
		s.keys[id], _ = ecdsa.GenerateKey(curve, rand.Reader)
		return map[string]any{"KeyMetadata": map[string]any{"KeyId": id}}, ""
	case "CreateAlias":
		if s.aliases[in.AliasName] != "" {
			return nil, "AlreadyExistsException"
		}
		s.aliases[in.AliasName] = in.TargetKeyID
		return map[string]any{}, ""
	case "DescribeKey":
		return map[string]any{"KeyMetadata": map[string]any{"KeyId": id}}, ""
	case "GetPublicKey":
		der, _ := x509.MarshalPKIXPublicKey(key.Public())
		return map[string]any{"KeyId": id, "PublicKey": der, "KeyUsage": "SIGN_VERIFY"}, ""
	case "Sign":
		algorithm, hash := "ECDSA_SHA_256", crypto.SHA256
		if key.Curve == elliptic.P384() {
			algorithm, hash = "ECDSA_SHA_384", crypto.SHA384
		}
		if in.SigningAlgorithm != algorithm || in.MessageType != "DIGEST" || len(in.Message) != hash.Size() {
			return nil, "ValidationException"
		}
		signature, _ := key.Sign(rand.Reader, in.Message, hash)
		if s.broken {
			signature[len(signature)-1] ^= 1
		}
		return map[string]any{"KeyId": id, "Signature": signature, "SigningAlgorithm": algorithm}, ""
	}
	return nil, "UnknownOperationException"
}

func (s *awsServer) set(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

func TestAWS(t *testing.T) {
	s := newAWS(t)
	for _, kind := range []keystore.Kind{keystore.Best, keystore.P384} {
		t.Run(string(kind), func(t *testing.T) {
			alias := "alias/ca" + string(kind)
			create(t, s.uri(alias), kind, s.options())
			conform(t, s.uri(alias), s.options())
			conform(t, s.uri(s.aliases[alias]), s.options())
		})
	}
}

// TestAWSElsewhere tries a server of somebody else's, or AWS itself, if there is one: SEKISHO_TEST_AWSKMS is what comes after
// the key in the URI, such as "?endpoint=http://127.0.0.1:5000" for moto.
func TestAWSElsewhere(t *testing.T) {
	query, ok := os.LookupEnv("SEKISHO_TEST_AWSKMS")
	if !ok {
		t.Skip("SEKISHO_TEST_AWSKMS is not set")
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(client.CloseIdleConnections)
	for _, kind := range []keystore.Kind{keystore.P256, keystore.P384} {
		uri := fmt.Sprintf("awskms:eu-central-1/alias/sekisho-test-%s-%d%s", kind, time.Now().UnixNano(), query)
		create(t, uri, kind, keystore.Options{HTTPClient: client})
		conform(t, uri, keystore.Options{HTTPClient: client})
	}
}

// AWS refuses, answers wrongly, and goes away; signing goes on when it is back.
func TestAWSFails(t *testing.T) {
	s := newAWS(t)
	create(t, s.uri("alias/ca"), keystore.Best, s.options())
	create(t, s.uri("alias/other"), keystore.Best, s.options())
	key := open(t, s.uri("alias/ca"), s.options())
	first := s.aliases["alias/ca"]
	for want, do := range map[string]func(){
		"allow kms:GetPublicKey and kms:Sign": func() { s.refuse = "AccessDeniedException" },
		"enable the key":                      func() { s.refuse = "DisabledException" },
		"key not found":                       func() { delete(s.aliases, "alias/ca") },
		"does not fit the public key":         func() { s.broken = true },
		"another public key now":              func() { s.aliases["alias/ca"] = s.aliases["alias/other"] },
		"is AWS reachable":                    func() { s.refuse = "InternalFailure" },
	} {
		s.set(do)
		err := sign(key, []byte("x"))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "awskms:eu-central-1/alias/ca:") || strings.Contains(err.Error(), "4711") {
			t.Errorf("%v, want %q", err, want)
		}
		s.set(func() { s.refuse, s.broken, s.aliases["alias/ca"] = "", false, first })
		signs(t, key)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	if _, err := keystore.Open(t.Context(), s.uri("alias/ca"), s.options()); err == nil || !strings.Contains(err.Error(), "InvalidSignatureException") {
		t.Errorf("with a wrong secret: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	if _, err := keystore.Open(t.Context(), s.uri("alias/ca"), s.options()); err == nil || !strings.Contains(err.Error(), "are there credentials") {
		t.Errorf("without credentials: %v", err)
	}
	s.CloseClientConnections()
	s.Close()
	if err := sign(key, []byte("x")); err == nil || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "\n") {
		t.Errorf("without a server: %v", err)
	}
}

func TestAWSRefuses(t *testing.T) {
	for _, uri := range []string{"awskms:", "awskms:eu-central-1", "awskms:eu-central-1/", "awskms:x/alias/a", "awskms:eu-central-1/a b", "awskms:eu-central-1/a?endpoint=http://kms.example.com",
		"awskms:eu-central-1/a?endpoint=https://u:4711@kms.example.com", "awskms:eu-central-1/a?secret=4711", "awskms:eu-central-1/a?endpoint=ftp://127.0.0.1"} {
		if err := keystore.Check(uri); err == nil || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{"awskms:us-gov-west-1/alias/a", "awskms:eu-central-1/arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab", "awskms:eu-central-1/a?endpoint=http://127.0.0.1:1"} {
		if err := keystore.Check(uri); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	s := newAWS(t)
	if _, err := keystore.Create(t.Context(), s.uri("1234"), keystore.Best, s.options()); err == nil || !strings.Contains(err.Error(), "alias/NAME") {
		t.Error(err)
	}
	if _, err := keystore.Open(t.Context(), s.uri("alias/none"), s.options()); !errors.Is(err, keystore.ErrNotFound) {
		t.Error(err)
	}
}

func BenchmarkAWS(b *testing.B) {
	s := newAWS(b)
	key, err := keystore.Create(b.Context(), s.uri("alias/ca"), keystore.P256, s.options())
	if err != nil {
		b.Fatal(err)
	}
	key.Close()
	benchmark(b, s.uri("alias/ca"), s.options())
}
