package control_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/krl"
)

func (d *device) revoke(kind, value string) (*apiv1.RevokeResponse, error) {
	return d.revokeBy(&apiv1.RevokeRequest{Kind: kind, Value: value, Reason: "test"})
}

func (d *device) revokeBy(m *apiv1.RevokeRequest) (*apiv1.RevokeResponse, error) {
	res, err := d.Certificate.Revoke(d.house.t.Context(), connect.NewRequest(m))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// certified gives a certificate that the device got for web1.
func (d *device) certified() *ssh.Certificate {
	d.house.t.Helper()
	res, err := d.connect("web1", "deploy")
	if err != nil {
		d.house.t.Fatal(err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(res.Certificate))
	if err != nil {
		d.house.t.Fatal(err)
	}
	return key.(*ssh.Certificate)
}

func (h *house) get(path string, header ...string) (*http.Response, []byte) {
	h.t.Helper()
	return h.fetch(http.MethodGet, path, header...)
}

func (h *house) fetch(method, path string, header ...string) (*http.Response, []byte) {
	h.t.Helper()
	req := must(http.NewRequestWithContext(h.t.Context(), method, h.url+path, nil))(h.t)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res := must(h.http.Do(req))(h.t)
	defer res.Body.Close()
	return res, must(io.ReadAll(res.Body))(h.t)
}

// Everybody may revoke what is theirs, and nothing else; who may revoke certificates may revoke anybody's.
func TestWhoMayRevoke(t *testing.T) {
	h := newHouse(t)
	ken, mallory, alice := h.signIn("ken@example.com", "ops"), h.signIn("mallory@example.com", "ops"), h.signIn("alice@example.com", "ca-admins")
	cert := ken.certified()
	serial, print, id := strconv.FormatUint(cert.Serial, 10), ssh.FingerprintSHA256(cert.Key), strings.SplitN(ken.token, ".", 2)[0]
	for kind, value := range map[string]string{
		"person": "ken@example.com", "sign-in": id, "certificate": serial, "key-id": cert.KeyId, "key": print, "ca": ssh.FingerprintSHA256(cert.SignatureKey),
	} {
		_, err := mallory.revoke(kind, value)
		wantCode(t, "mallory: "+kind, err, connect.CodePermissionDenied)
	}
	_, err := mallory.Certificate.Revocations(t.Context(), connect.NewRequest(&apiv1.RevocationsRequest{}))
	wantCode(t, "mallory's list", err, connect.CodePermissionDenied)
	if h.revoked.Number() != 0 {
		t.Fatal("mallory has revoked something")
	}
	for kind, value := range map[string]string{"person": "ken@example.com", "key-id": cert.KeyId} {
		_, err := ken.revoke(kind, value)
		wantCode(t, "ken: "+kind, err, connect.CodePermissionDenied)
	}
	for kind, value := range map[string]string{"certificate": serial, "key": ca.Line(cert.Key)} {
		res, err := ken.revoke(kind, value)
		if err != nil || res.Certificates != 1 || res.Revocation.By != "ken@example.com" {
			t.Errorf("ken: %s: %v, %v", kind, res, err)
		}
	}
	if _, err := ken.Certificate.Lift(t.Context(), connect.NewRequest(&apiv1.LiftRequest{Id: h.events(sekisho.EventRevoked)[0].Detail["revocation"]})); err == nil {
		t.Error("a thief could lift what the owner has revoked")
	}
	res, err := ken.revoke("sign-in", id)
	if err != nil || res.SignIns != 1 {
		t.Fatalf("%v, %v", res, err)
	}
	_, err = ken.connect("web1", "deploy")
	if said := wantCode(t, "ken", err, connect.CodeUnauthenticated); !strings.Contains(said, "sign-in is revoked") {
		t.Errorf("ken hears %q", said)
	}
	if ev := h.events(sekisho.EventSignInEnded)[0]; ev.SignIn != id || ev.Detail["why"] != "revoked" {
		t.Errorf("noted %+v", ev)
	}
	list, err := alice.Certificate.Revocations(t.Context(), connect.NewRequest(&apiv1.RevocationsRequest{}))
	if err != nil || len(list.Msg.Revocations) != 3 || list.Msg.Revocations[0].Id != res.Revocation.Id {
		t.Errorf("%v, %v", list, err)
	}
}

// A revoked person gets nothing any more, and may come back once it is lifted.
func TestRevokedPerson(t *testing.T) {
	h := newHouse(t)
	mallory, alice := h.signIn("mallory@example.com", "ops"), h.signIn("alice@example.com", "ca-admins")
	cert := mallory.certified()
	first, err := alice.revoke("person", "Mallory@Example.com")
	if err != nil || first.Revocation.Value != "mallory@example.com" || first.Certificates != 1 || first.SignIns != 1 || len(first.Sessions) != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	again, err := alice.revoke("person", "mallory@example.com")
	if err != nil || again.Revocation.Id != first.Revocation.Id || len(h.events(sekisho.EventRevoked)) != 1 {
		t.Fatalf("%v, %v", again, err)
	}
	_, err = mallory.connect("web1", "deploy")
	if said := wantCode(t, "connect", err, connect.CodeUnauthenticated); !strings.Contains(said, "Your access is revoked") || !strings.Contains(said, first.Revocation.Id) {
		t.Errorf("hears %q", said)
	}
	if h.revoked.Certificate(cert) == nil {
		t.Error("her certificate is good")
	}
	if told := h.refusedAtSignIn("mallory@example.com"); !strings.Contains(told, "Your access is revoked") {
		t.Errorf("signing in, she hears %q", told)
	}
	lifted, err := alice.Certificate.Lift(t.Context(), connect.NewRequest(&apiv1.LiftRequest{Id: first.Revocation.Id, Reason: "it was found"}))
	if err != nil || lifted.Msg.Revocation.LiftedBy != "alice@example.com" {
		t.Fatalf("%v, %v", lifted, err)
	}
	_, err = mallory.connect("web1", "deploy")
	wantCode(t, "her ended sign-in", err, connect.CodeUnauthenticated)
	h.signIn("mallory@example.com", "ops").certified()
}

// refusedAtSignIn goes to the IdP and back, and gives what the client is told.
func (h *house) refusedAtSignIn(subject string) string {
	h.t.Helper()
	d := h.device()
	h.idp.next = sekisho.Identity{Subject: subject, Issuer: "https://idp.example.com", IssuerSubject: subject}
	begun, err := d.open.SignIn.Begin(h.t.Context(), connect.NewRequest(&apiv1.BeginRequest{
		CodeChallenge: challenge(), RedirectUri: "http://127.0.0.1:4711/done", State: "st",
	}))
	if err != nil {
		h.t.Fatal(err)
	}
	b := h.browser()
	state := must(http.NewRequest(http.MethodGet, b.get(begun.Msg.Url).Header.Get("Location"), nil))(h.t).URL.Query().Get("state")
	back := must(http.NewRequest(http.MethodGet, b.get(h.url+"/login/callback?code=c&state="+state).Header.Get("Location"), nil))(h.t)
	return back.URL.Query().Get("error_description")
}

func TestMalformedRevocations(t *testing.T) {
	h := newHouse(t)
	alice := h.signIn("alice@example.com", "ca-admins")
	for name, m := range map[string]*apiv1.RevokeRequest{
		"no reason":        {Kind: "person", Value: "x@example.com"},
		"blank reason":     {Kind: "person", Value: "x@example.com", Reason: "  "},
		"long reason":      {Kind: "person", Value: "x@example.com", Reason: strings.Repeat("x", 201)},
		"two lines":        {Kind: "person", Value: "x@example.com", Reason: "a\nb"},
		"no kind":          {Value: "x@example.com", Reason: "r"},
		"no person":        {Kind: "person", Value: "mallory", Reason: "r"},
		"newline":          {Kind: "person", Value: "x@example.com\n", Reason: "r"},
		"look-alike":       {Kind: "person", Value: "mаllory@example.com", Reason: "r"},
		"sign-in":          {Kind: "sign-in", Value: "sin_x", Reason: "r"},
		"serial 0":         {Kind: "certificate", Value: "0", Reason: "r"},
		"serial with plus": {Kind: "certificate", Value: "+1", Reason: "r"},
		"huge serial":      {Kind: "certificate", Value: "18446744073709551615", Reason: "r"},
		"long Key ID":      {Kind: "key-id", Value: strings.Repeat("x", 513), Reason: "r"},
		"MD5":              {Kind: "key", Value: "MD5:00:11", Reason: "r"},
		"short print":      {Kind: "key", Value: "SHA256:AAAA", Reason: "r"},
		"past":             {Kind: "person", Value: "x@example.com", Reason: "r", Until: timestamppb.New(h.now())},
		"far off":          {Kind: "person", Value: "x@example.com", Reason: "r", Until: timestamppb.New(h.now().Add(20 * 366 * 24 * time.Hour))},
	} {
		_, err := alice.revokeBy(m)
		wantCode(t, name, err, connect.CodeInvalidArgument)
	}
	for kind, value := range map[string]string{
		"sign-in": sekisho.NewID("sin"), "certificate": "1", "ca": "SHA256:" + strings.Repeat("A", 43),
	} {
		_, err := alice.revoke(kind, value)
		wantCode(t, kind, err, connect.CodeNotFound)
	}
	if h.revoked.Number() != 0 {
		t.Error("something is revoked")
	}
}

// The key by which a CA issues is not revoked by mistake, nor as if it were anybody's.
func TestRevokedCA(t *testing.T) {
	h := newHouse(t)
	mallory, alice := h.signIn("mallory@example.com", "ops"), h.signIn("alice@example.com", "ca-admins")
	cert := mallory.certified()
	line := ca.Line(cert.SignatureKey)
	_, err := alice.revoke("key", line)
	wantCode(t, "as a key", err, connect.CodeFailedPrecondition)
	_, err = alice.revoke("ca", line)
	if said := wantCode(t, "without confirming", err, connect.CodeFailedPrecondition); !strings.Contains(said, "nobody gets in") {
		t.Errorf("hears %q", said)
	}
	res, err := alice.revokeBy(&apiv1.RevokeRequest{Kind: "ca", Value: line, Reason: "stolen", Confirm: true})
	if err != nil || res.Certificates != 1 || res.SignIns != 0 {
		t.Fatalf("%v, %v", res, err)
	}
	if _, err := mallory.connect("web1", "deploy"); err == nil {
		t.Error("the CA issues by a revoked key")
	}
	if h.revoked.Certificate(cert) == nil {
		t.Error("what it signed is good")
	}
}

// The lists at their URLs, as curl and ssh-keygen see them.
func TestRevocationPages(t *testing.T) {
	h := newHouse(t)
	mallory, alice := h.signIn("mallory@example.com", "ops"), h.signIn("alice@example.com", "ca-admins")
	cert := mallory.certified()
	for _, path := range []string{"/v1/ca/revoked-users.krl", "/v1/ca/revoked-hosts.krl"} {
		res, body := h.get(path)
		if list, err := krl.Parse(body); err != nil || list.Number != 0 || res.Header.Get("ETag") != `"0"` || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v, %v", path, res, err)
		}
	}
	revoked, err := alice.revoke("certificate", strconv.FormatUint(cert.Serial, 10))
	if err != nil {
		t.Fatal(err)
	}
	tag := `"` + strconv.FormatUint(revoked.Revocation.Number, 10) + `"`
	res, body := h.get("/v1/ca/revoked-users.krl")
	if res.Header.Get("ETag") != tag || res.Header.Get("Last-Modified") == "" || res.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("headers %v", res.Header)
	}
	dir := t.TempDir()
	for name, b := range map[string][]byte{"krl": body, "cert.pub": ssh.MarshalAuthorizedKey(cert)} {
		if err := os.WriteFile(dir+"/"+name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("ssh-keygen", "-Q", "-f", dir+"/krl", dir+"/cert.pub").CombinedOutput(); err == nil || !strings.Contains(string(out), "REVOKED") {
		t.Errorf("ssh-keygen -Q: %v %s", err, out)
	}
	head, none := h.fetch(http.MethodHead, "/v1/ca/revoked-users.krl")
	if head.StatusCode != http.StatusOK || len(none) != 0 || head.ContentLength != int64(len(body)) || head.Header.Get("ETag") != tag {
		t.Errorf("HEAD: %v", head)
	}
	if res, _ := h.get("/v1/ca/revoked-users.krl", "If-None-Match", tag); res.StatusCode != http.StatusNotModified {
		t.Errorf("the same again: %d", res.StatusCode)
	}
	// Another one of the same second is not missed by whoever asks by time.
	if _, err := alice.revoke("person", "eve@example.com"); err != nil {
		t.Fatal(err)
	}
	if res, _ := h.get("/v1/ca/revoked-users.krl", "If-Modified-Since", res.Header.Get("Last-Modified")); res.StatusCode != http.StatusOK {
		t.Errorf("a newer list of the same second: %d", res.StatusCode)
	}
	if res, _ := h.fetch(http.MethodPost, "/v1/ca/revoked-users.krl"); res.StatusCode != http.StatusNotFound {
		t.Errorf("POST: %d", res.StatusCode)
	}
}

// A connector gets the list for as long as a host of its that it manages lags, and not again; who lags is seen.
func TestRevocationsToHosts(t *testing.T) {
	h := newHouse(t)
	alice := h.signIn("alice@example.com", "ca-admins")
	rack := h.device()
	if _, err := rack.join(h.invite(false, "web1", "db1"), "rack1"); err != nil {
		t.Fatal(err)
	}
	lagging := func() (names []string) {
		t.Helper()
		res, err := alice.CA.List(t.Context(), connect.NewRequest(&apiv1.ListCAsRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if res.Msg.UserRevocations.Number != h.revoked.Number() || res.Msg.HostRevocations.Number != h.revoked.Number() {
			t.Errorf("state %v, %v", res.Msg.UserRevocations, res.Msg.HostRevocations)
		}
		for _, l := range res.Msg.UserRevocations.Lagging {
			names = append(names, l.Target+": "+l.Why)
		}
		return names
	}
	sync := func(web, db uint64) *krl.List {
		t.Helper()
		res, err := rack.syncOnly(&apiv1.HostReport{Name: "web1", Managed: true, Revocations: web}, &apiv1.HostReport{Name: "db1", Managed: true, Revocations: db})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Revocations) == 0 {
			return nil
		}
		list, err := krl.Parse(res.Revocations)
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	if list := sync(0, 0); list == nil || list.Number != 0 {
		t.Errorf("at first: %v", list)
	}
	if _, err := alice.revoke("person", "mallory@example.com"); err != nil {
		t.Fatal(err)
	}
	n := h.revoked.Number()
	if list := sync(n, 0); list == nil || list.Number != n {
		t.Errorf("while db1 lags: %v", list)
	}
	if got := strings.Join(lagging(), "\n"); !strings.Contains(got, "db1: goes by list 0, which is behind since ") || strings.Contains(got, "web1") {
		t.Errorf("lagging: %s", got)
	}
	if list := sync(n, n); list != nil {
		t.Errorf("in step, and gets %v", list)
	}
	if got := strings.Join(lagging(), "\n"); strings.Contains(got, "db1") || strings.Contains(got, "web1") {
		t.Errorf("lagging: %s", got)
	}
	// A host that does not manage its sshd has no use for it.
	res, err := rack.syncOnly(&apiv1.HostReport{Name: "web1"}, &apiv1.HostReport{Name: "db1", Managed: true, Revocations: n})
	if err != nil || len(res.Revocations) != 0 {
		t.Errorf("%v, %v", res, err)
	}
}

// What is one's own everybody may revoke, but not so much that nobody can revoke anything any more.
func TestOneCannotUseUpRevocations(t *testing.T) {
	h := newHouse(t)
	mallory, alice := h.signIn("mallory@example.com", "ops"), h.signIn("alice@example.com", "ca-admins")
	own := func() error {
		_, err := mallory.revoke("certificate", strconv.FormatUint(mallory.certified().Serial, 10))
		return err
	}
	for range 100 {
		if err := own(); err != nil {
			t.Fatal(err)
		}
	}
	if said := wantCode(t, "the 101st", own(), connect.CodeResourceExhausted); !strings.Contains(said, "100 of your own") {
		t.Errorf("she hears %q", said)
	}
	if _, err := alice.revoke("person", "mallory@example.com"); err != nil {
		t.Error(err)
	}
}

// A revocation list that cannot be made, such as one that would be too long, holds up nothing else that hosts get.
func TestSyncWithoutRevocationList(t *testing.T) {
	h := newHouse(t)
	rack := h.device()
	if _, err := rack.join(h.invite(false, "web1"), "rack"); err != nil {
		t.Fatal(err)
	}
	no := &sekisho.Revocation{Kind: sekisho.RevokedKey, Value: "no fingerprint", Reason: "test"}
	if _, _, err := h.revoked.Revoke(t.Context(), no, &sekisho.Event{Actor: "test"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.revoked.Users(t.Context()); err == nil {
		t.Fatal("the list can be made")
	}
	key := h.hostKey()
	_, err := rack.sync(&apiv1.HostReport{Name: "web1", Managed: true, HostKey: key})
	wantCode(t, "a host that has no list yet", err, connect.CodeInternal)
	state, err := rack.sync(&apiv1.HostReport{Name: "web1", Managed: true, HostKey: key, Revocations: 7})
	if err != nil || len(state.Targets) != 1 || state.Targets[0].HostCertificate == "" || len(state.Revocations) > 0 {
		t.Errorf("%v, %v", state, err)
	}
	if !strings.Contains(h.logged.String(), "hosts get no revocation list") {
		t.Error("nobody hears of it")
	}
}
