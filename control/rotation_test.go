package control_test

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
)

func (d *device) rotate(m *apiv1.RotateCARequest) (*apiv1.RotateCAResponse, error) {
	res, err := d.CA.Rotate(d.house.t.Context(), connect.NewRequest(m))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func (d *device) status(name string) *apiv1.CA {
	d.house.t.Helper()
	res := must(d.CA.List(d.house.t.Context(), connect.NewRequest(&apiv1.ListCAsRequest{Name: name})))(d.house.t)
	return res.Msg.Cas[0]
}

func stageOf(c *apiv1.CA) string {
	for _, k := range c.Keys {
		if k.State != "issuing" && k.State != "retired" {
			return k.State
		}
	}
	return "issuing"
}

// trusting is a report of a host that trusts what it was told to, and shows what certificate it was given.
func trusting(h *house, name, hostKey string) *apiv1.HostReport {
	var prints []string
	for _, c := range h.ca.CAs() {
		for _, k := range c.Keys {
			if c.Name != ca.HostCA && k.State.InForce() {
				prints = append(prints, k.Fingerprint)
			}
		}
	}
	return &apiv1.HostReport{Name: name, HostKey: hostKey, Managed: true, Trusts: strings.Join(prints, " ")}
}

func (h *house) advance() {
	h.t.Helper()
	if err := h.rotation.Advance(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

// Each step waits for what it is to wait for, and comes by itself where it follows.
func TestRotateUser(t *testing.T) {
	h := newHouse(t)
	boss, rack := h.signIn("boss@example.com", "ca-admins"), h.device()
	if _, err := rack.join(h.invite(false, "web1", "web2"), "rack"); err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{"web1": h.hostKey(), "web2": h.hostKey()}
	alice := h.signIn("alice@example.com", "ops")
	if _, err := alice.connect("web1", "deploy"); err != nil {
		t.Fatal(err)
	}
	old := h.ca.UserCA()
	res, err := boss.rotate(&apiv1.RotateCARequest{Name: "user", From: "issuing"})
	if err != nil || res.State != "announced" {
		t.Fatalf("got %v, %v", res, err)
	}
	h.advance()
	message := wantCode(t, "too early", second(boss.rotate(&apiv1.RotateCARequest{Name: "user"})), connect.CodeFailedPrecondition)
	if !strings.Contains(message, "2 hosts do not trust it yet (web1, web2)") {
		t.Errorf("told %q", message)
	}
	// Both are told; one takes it.
	state := must(rack.sync(trusting(h, "web1", keys["web1"])))(t)
	for _, s := range state.Targets {
		if len(s.TrustedUserCa) != 3 || s.TrustedUserCa[0] != ca.Line(old) {
			t.Errorf("%s is told to trust %v", s.Name, s.TrustedUserCa)
		}
	}
	h.advance()
	key := boss.status("user").Keys[1]
	if key.State != "announced" || key.Hosts != 2 || len(key.Lagging) != 1 || key.Lagging[0].Target != "web2" || !strings.Contains(key.Lagging[0].Why, "does not report") {
		t.Errorf("status %v", key)
	}
	if seen := alice.status("user").Keys[1]; len(seen.Lagging) != 0 || seen.Hosts != 0 || seen.PublicKey != key.PublicKey {
		t.Errorf("anybody sees %v", seen)
	}
	must(rack.sync(trusting(h, "web1", keys["web1"]), &apiv1.HostReport{Name: "web2", HostKey: keys["web2"]}))(t)
	h.advance()
	if lag := boss.status("user").Keys[1].Lagging; len(lag) != 1 || !strings.Contains(lag[0].Why, "does not manage") {
		t.Errorf("lagging %v", lag)
	}
	must(rack.sync(trusting(h, "web1", keys["web1"]), trusting(h, "web2", keys["web2"])))(t)
	h.pass(11 * time.Minute) // what was said is too old
	h.advance()
	if got := stageOf(boss.status("user")); got != "announced" {
		t.Errorf("an old report counts: %s", got)
	}
	must(rack.sync(trusting(h, "web1", keys["web1"]), trusting(h, "web2", keys["web2"])))(t)
	h.advance()
	if got := stageOf(boss.status("user")); got != "trusted" {
		t.Fatalf("stage %s", got)
	}
	if string(h.ca.UserCA().Marshal()) != string(old.Marshal()) {
		t.Error("the new key signs before anybody decided so")
	}
	if _, err := alice.connect("web1", "deploy"); err != nil {
		t.Fatal(err)
	}
	if res, err = boss.rotate(&apiv1.RotateCARequest{Name: "user", From: "trusted"}); err != nil || res.State != "issuing" {
		t.Fatalf("got %v, %v", res, err)
	}
	if string(h.ca.UserCA().Marshal()) == string(old.Marshal()) || !h.ca.Trusts(ca.UserCA, old) {
		t.Error("the new key does not sign, or the old one is not trusted any more")
	}
	if _, err := alice.connect("web1", "deploy"); err != nil {
		t.Fatal(err)
	}
	h.advance()
	if got := stageOf(boss.status("user")); got != "retiring" {
		t.Errorf("stage %s while a certificate of the old key is valid", got)
	}
	wantCode(t, "a second rotation", second(boss.rotate(&apiv1.RotateCARequest{Name: "user"})), connect.CodeFailedPrecondition)
	h.pass(3 * time.Minute)
	h.advance()
	if got := stageOf(boss.status("user")); got != "issuing" {
		t.Errorf("stage %s", got)
	}
	if h.ca.Trusts(ca.UserCA, old) {
		t.Error("a retired key is trusted")
	}
	if ev := h.events(sekisho.EventCAKey); len(ev) != 4 || ev[0].Actor != "control" || ev[0].Detail["state"] != "retired" || ev[1].Actor != "boss@example.com" || ev[2].Actor != "control" {
		t.Errorf("noted %d events: %+v", len(ev), ev)
	}
	kept := must(h.db.CAs(t.Context()))(t)
	if len(kept) == 0 || !slices.ContainsFunc(kept, func(c *sekisho.CA) bool { return c.Name == "user" && len(c.Keys) == 2 }) {
		t.Errorf("kept %v", kept)
	}
}

// The host CA's old key is retired when no host shows a certificate of it.
func TestRotateHost(t *testing.T) {
	h := newHouse(t)
	boss, rack := h.signIn("boss@example.com", "ca-admins"), h.device()
	if _, err := rack.join(h.invite(false, "web1"), "rack"); err != nil {
		t.Fatal(err)
	}
	key, old := h.hostKey(), must(h.ca.CA("host"))(t).Keys[0].Fingerprint
	first := must(rack.sync(trusting(h, "web1", key)))(t).Targets[0].HostCertificate
	must(boss.rotate(&apiv1.RotateCARequest{Name: "host"}))(t)
	h.advance()
	if got := must(rack.sync(trusting(h, "web1", key)))(t).Targets[0].HostCertificate; got != first {
		t.Error("a new certificate before the new key signs")
	}
	must(boss.rotate(&apiv1.RotateCARequest{Name: "host", From: "trusted"}))(t)
	shows := func(print string) *apiv1.HostReport {
		r := trusting(h, "web1", key)
		r.CertificateCa = print
		return r
	}
	// While the host does not prove its key, it keeps the certificate that it has.
	h.shown.Store("web1", h.hostKey())
	state := must(rack.syncOnly(shows(old)))(t)
	if state.Targets[0].HostCertificate != first {
		t.Error("a host lost its certificate")
	}
	h.shown.Store("web1", key)
	if got := must(rack.syncOnly(shows(old)))(t).Targets[0].HostCertificate; got == first || got == "" {
		t.Error("no new certificate")
	}
	h.advance()

	c := boss.status("host")
	if stageOf(c) != "retiring" || len(c.Keys[0].Lagging) != 1 || !strings.Contains(c.Keys[0].Lagging[0].Why, "shows a certificate") {
		t.Errorf("status %v", c)
	}
	unsure := shows("")
	unsure.Error = "sshd refuses"
	must(rack.syncOnly(unsure))(t)
	h.advance()
	if stageOf(boss.status("host")) != "retiring" {
		t.Error("a host that cannot say what it shows shows nothing")
	}
	must(rack.syncOnly(shows(must(h.ca.CA("host"))(t).Keys[1].Fingerprint)))(t)
	h.advance()
	if got := stageOf(boss.status("host")); got != "issuing" {
		t.Errorf("stage %s", got)
	}
}

// mallory cannot move a CA, neither without the right, nor by the word of a connector, nor by being fast.
func TestRotateRefused(t *testing.T) {
	h := newHouse(t)
	boss, mallory, rack := h.signIn("boss@example.com", "ca-admins"), h.signIn("mallory@example.com", "ops"), h.device()
	wantCode(t, "no right", second(mallory.rotate(&apiv1.RotateCARequest{Name: "user"})), connect.CodePermissionDenied)
	_, err := mallory.CA.Create(t.Context(), connect.NewRequest(&apiv1.CreateCARequest{Name: "mine", Type: "user"}))
	wantCode(t, "create", err, connect.CodePermissionDenied)
	for name, m := range map[string]*apiv1.RotateCARequest{
		"no reason":    {Name: "user", Force: true},
		"blank reason": {Name: "user", Force: true, Reason: "  "},
		"long reason":  {Name: "user", Force: true, Reason: strings.Repeat("a", 201)},
		"reason":       {Name: "user", Force: true, Reason: "a\nb"},
		"from":         {Name: "user", From: "retired"},
		"kind":         {Name: "user", Kind: "dsa"},
	} {
		wantCode(t, name, second(boss.rotate(m)), connect.CodeInvalidArgument)
	}
	wantCode(t, "no such CA", second(boss.rotate(&apiv1.RotateCARequest{Name: "nowhere"})), connect.CodeNotFound)
	for _, name := range []string{"", "A", "../x", "a b", strings.Repeat("a", 33)} {
		_, err := boss.CA.Create(t.Context(), connect.NewRequest(&apiv1.CreateCARequest{Name: name, Type: "user"}))
		wantCode(t, "name "+name, err, connect.CodeInvalidArgument)
	}
	wantCode(t, "stale", second(boss.rotate(&apiv1.RotateCARequest{Name: "user", From: "trusted"})), connect.CodeAborted)

	// A connector speaks for its own targets only.
	if _, err := rack.join(h.invite(false, "web2"), "mallory"); err != nil {
		t.Fatal(err)
	}
	must(boss.rotate(&apiv1.RotateCARequest{Name: "gateway"}))(t)
	var all []*apiv1.HostReport
	for _, name := range []string{"web1", "web2", "db1"} {
		all = append(all, trusting(h, name, h.hostKey()))
	}
	must(rack.sync(all...))(t)
	h.advance()
	if c := boss.status("gateway"); stageOf(c) != "announced" || len(c.Keys[1].Lagging) != 2 {
		t.Errorf("mallory's word counts: %v", c)
	}
	if ev := h.events(sekisho.EventConnectorRefused); len(ev) != 1 {
		t.Errorf("noted %d times", len(ev))
	}

	// Of many who see the same step, one takes it.
	var took, told atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := boss.CA.Rotate(context.Background(), connect.NewRequest(&apiv1.RotateCARequest{Name: "gateway", Force: true, Reason: "all at once", From: "announced"}))
			switch {
			case err == nil:
				took.Add(1)
			case connect.CodeOf(err) == connect.CodeAborted:
				told.Add(1)
			}
		})
	}
	wg.Wait()
	if took.Load() != 1 || told.Load() != 7 {
		t.Errorf("%d took it, %d were told", took.Load(), told.Load())
	}
	ev := h.events(sekisho.EventCAKey)
	if len(ev) != 2 || ev[0].Detail["forced"] != "yes" || ev[0].Detail["lagging"] != "2" || ev[0].Detail["reason"] != "all at once" || ev[0].SignIn == "" {
		t.Errorf("noted %+v", ev[0])
	}
}

func TestCreateCA(t *testing.T) {
	h := newHouse(t)
	boss := h.signIn("boss@example.com", "ca-admins")
	make := func() error {
		_, err := boss.CA.Create(t.Context(), connect.NewRequest(&apiv1.CreateCARequest{Name: "robots", Type: "user"}))
		return err
	}
	if err := make(); err != nil {
		t.Fatal(err)
	}
	wantCode(t, "twice", make(), connect.CodeAlreadyExists)
	// Nobody reports on who trusts it: somebody has to vouch.
	must(boss.rotate(&apiv1.RotateCARequest{Name: "robots"}))(t)
	h.advance()
	wantCode(t, "unknown", second(boss.rotate(&apiv1.RotateCARequest{Name: "robots"})), connect.CodeFailedPrecondition)
	must(boss.rotate(&apiv1.RotateCARequest{Name: "robots", Force: true, Reason: "installed"}))(t)
	must(boss.rotate(&apiv1.RotateCARequest{Name: "robots"}))(t)
	h.pass(time.Second)
	h.advance() // nothing was ever signed by the old one
	c := boss.status("robots")
	if stageOf(c) != "issuing" || len(c.Keys) != 2 || c.Keys[1].State != "retired" {
		t.Errorf("status %v", c)
	}

	for path, want := range map[string]string{
		"/v1/ca/robots.pub":                        c.Keys[0].PublicKey + " sekisho-robots-ca\n",
		"/v1/ca/known_hosts":                       "@cert-authority *.example.internal " + h.ca.Lines().Host[0] + " sekisho-host-ca\n",
		"/v1/ca/known_hosts?hosts=*.a,%5B*%5D:22":  "@cert-authority *.a,[*]:22 " + h.ca.Lines().Host[0] + " sekisho-host-ca\n",
		"/v1/ca/nowhere.pub":                       "",
		"/v1/ca/robots":                            "",
		"/v1/ca/known_hosts?hosts=a%20ssh-ed25519": "",
		"/v1/ca/known_hosts?hosts=a%0Ab":           "",
	} {
		res, err := h.http.Get(h.url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if (res.StatusCode == http.StatusOK) != (want != "") || want != "" && string(body) != want {
			t.Errorf("%s: %d %q", path, res.StatusCode, body)
		}
	}
}

// A host key that nobody proved is not certified, and one that cannot be asked for now is tried again soon.
func TestHostKeyMustBeProved(t *testing.T) {
	h := newHouse(t)
	rack := h.device()
	if _, err := rack.join(h.invite(false, "web1", "web2"), "rack"); err != nil {
		t.Fatal(err)
	}
	key := h.hostKey()
	h.shown.Store("web1", h.hostKey())
	state := must(rack.syncOnly(&apiv1.HostReport{Name: "web1", HostKey: key}))(t)
	if state.Targets[0].HostCertificate != "" || state.IntervalSeconds != 60 {
		t.Errorf("certified a key that another server proved: %v", state)
	}
	state = must(rack.syncOnly(&apiv1.HostReport{Name: "web2", HostKey: key}))(t)
	if state.Targets[1].HostCertificate != "" || state.IntervalSeconds != 5 {
		t.Errorf("certified a key that nobody proved: %v", state)
	}
	if n := len(h.events(sekisho.EventCertificate)); n != 0 {
		t.Errorf("%d certificates", n)
	}
	if target := must(h.db.Target(t.Context(), "web1"))(t); target.HostKey != "" {
		t.Error("a key that nobody proved was learned")
	}
	if !strings.Contains(h.logged.String(), "its connector reports the key") {
		t.Error("not logged")
	}
	h.shown.Store("web1", key)
	if must(rack.syncOnly(&apiv1.HostReport{Name: "web1", HostKey: key}))(t).Targets[0].HostCertificate == "" {
		t.Error("a proved key gets no certificate")
	}
}
