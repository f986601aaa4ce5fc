package control_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/control"
)

func (h *house) invite(replace bool, targets ...string) string {
	h.t.Helper()
	p := control.JoinParams{Replace: replace, Actor: "control", Now: h.now()}
	for _, name := range targets {
		t := sekisho.Target{Name: name, Logins: []string{"deploy"}}
		if old, err := h.db.Target(h.t.Context(), name); err == nil {
			t = *old
		}
		p.Targets = append(p.Targets, t)
	}
	return must(control.NewJoinToken(h.t.Context(), h.db, h.log.Append, p))(h.t)
}

func (d *device) csr() []byte {
	return must(x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, d.key))(d.house.t)
}

func (d *device) join(token, name string) (*apiv1.JoinResponse, error) {
	res, err := d.open.Connector.Join(d.house.t.Context(), connect.NewRequest(&apiv1.JoinRequest{Token: token, Name: name, Csr: d.csr()}))
	if err != nil {
		return nil, err
	}
	d.token = res.Msg.Token
	return res.Msg, nil
}

// sync reports on targets whose SSH servers prove what is reported.
func (d *device) sync(reports ...*apiv1.HostReport) (*apiv1.SyncResponse, error) {
	for _, r := range reports {
		d.house.shown.Store(r.Name, r.HostKey)
	}
	return d.syncOnly(reports...)
}

func (d *device) syncOnly(reports ...*apiv1.HostReport) (*apiv1.SyncResponse, error) {
	res, err := d.Connector.Sync(d.house.t.Context(), connect.NewRequest(&apiv1.SyncRequest{Targets: reports}))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func (h *house) hostKey() string {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	return ca.Line(must(ssh.NewPublicKey(public))(h.t))
}

func TestJoinAndSync(t *testing.T) {
	h := newHouse(t)
	token := h.invite(false, "web1", "db1")
	rack := h.device()
	joined, err := rack.join(token, "Rack-7")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"web1", "db1"}, joined.Targets); diff != "" {
		t.Error(diff)
	}
	link := must(x509.ParseCertificate(joined.LinkCertificate))(t)
	if id, ok := ca.LinkConnector(link); !ok || id != joined.Connector {
		t.Errorf("the link certificate names %q", id)
	}
	if ev := h.events(sekisho.EventConnectorJoined); len(ev) != 2 || ev[0].Actor != "connector:rack-7" || ev[0].ClientAddress != "127.0.0.1" {
		t.Errorf("noted %+v", ev)
	}

	key := h.hostKey()
	state, err := rack.sync(&apiv1.HostReport{Name: "web1", HostKey: key})
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Targets) != 2 || state.IntervalSeconds <= 0 {
		t.Fatalf("got %v", state)
	}
	db, web := state.Targets[0], state.Targets[1]
	if !cmp.Equal(db.TrustedUserCa, h.ca.Lines().Gateway) {
		t.Errorf("an audited target trusts %v", db.TrustedUserCa)
	}
	if !cmp.Equal(web.TrustedUserCa, slices.Concat(h.ca.Lines().User, h.ca.Lines().Gateway)) {
		t.Errorf("a target trusts %v", web.TrustedUserCa)
	}
	if got := web.Principals["deploy"].GetPrincipals(); !cmp.Equal(got, []string{"deploy:web1"}) || len(web.Principals) != 2 {
		t.Errorf("principals %v", web.Principals)
	}
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(web.HostCertificate))
	if err != nil {
		t.Fatal(err)
	}
	if cert := parsed.(*ssh.Certificate); cert.CertType != ssh.HostCert || ca.Line(cert.Key) != key || !cmp.Equal(cert.ValidPrincipals, []string{"web1", "web1.example.internal"}) {
		t.Errorf("host certificate for %v", cert.ValidPrincipals)
	}
	if learned, _ := h.db.Target(t.Context(), "web1"); learned.HostKey != key {
		t.Errorf("host key is %q", learned.HostKey)
	}

	// It is kept until a third of its time is left, then replaced; another key gets another one at once.
	certificate := func(key string) string {
		t.Helper()
		state, err := rack.sync(&apiv1.HostReport{Name: "web1", HostKey: key})
		if err != nil {
			t.Fatal(err)
		}
		return state.Targets[1].HostCertificate
	}
	h.pass(19 * 24 * time.Hour)
	if certificate(key) != web.HostCertificate {
		t.Error("a new host certificate too early")
	}
	h.pass(2 * 24 * time.Hour)
	if certificate(key) == web.HostCertificate {
		t.Error("the host certificate is not renewed")
	}
	other := h.hostKey()
	certificate(other)
	ev := h.events(sekisho.EventTargetHostKey)
	if len(ev) != 2 || ev[0].Detail["before"] == "" || ev[0].Actor != "connector:rack-7" {
		t.Errorf("a changed host key is noted as %+v", ev)
	}
}

func TestSyncRenewsLink(t *testing.T) {
	h := newHouse(t)
	rack := h.device()
	if _, err := rack.join(h.invite(false, "web1"), "rack"); err != nil {
		t.Fatal(err)
	}
	res, err := rack.Connector.Sync(t.Context(), connect.NewRequest(&apiv1.SyncRequest{Csr: rack.csr()}))
	if err != nil || len(res.Msg.LinkCertificate) == 0 {
		t.Fatalf("got %v, %v", res, err)
	}
	_, err = rack.Connector.Sync(t.Context(), connect.NewRequest(&apiv1.SyncRequest{Csr: h.device().csr()}))
	wantCode(t, "another's CSR", err, connect.CodeInvalidArgument)
}

func TestJoinRefused(t *testing.T) {
	h := newHouse(t)
	token := h.invite(false, "web1")
	mallory, rack := h.device(), h.device()
	_, err := mallory.open.Connector.Join(t.Context(), connect.NewRequest(&apiv1.JoinRequest{Token: token, Name: "m", Csr: rack.csr()}))
	wantCode(t, "another's CSR", err, connect.CodeInvalidArgument)
	for _, name := range []string{"", "a b", "x/../y", strings.Repeat("a", 200)} {
		_, err := rack.join(token, name)
		wantCode(t, "name "+name, err, connect.CodeInvalidArgument)
	}
	if _, err := rack.join(token, "rack"); err != nil {
		t.Fatalf("the token was spent by refusals: %v", err)
	}
	for name, token := range map[string]string{"used": token, "made up": sekisho.NewID("join"), "empty": "", "path": "join_../../x"} {
		_, err := mallory.join(token, "m")
		wantCode(t, name+" token", err, connect.CodeUnauthenticated)
	}
	late := h.invite(false, "web2")
	h.pass(control.JoinTokenTTL + time.Second)
	_, err = mallory.join(late, "m")
	wantCode(t, "expired token", err, connect.CodeUnauthenticated)

	// Another connector's target is not given away, unless the administrator says so.
	owner := must(h.db.Target(t.Context(), "web1"))(t).Connector
	second := h.device()
	_, err = second.join(h.invite(false, "web1"), "second")
	wantCode(t, "bound target", err, connect.CodeFailedPrecondition)
	if ev := h.events(sekisho.EventConnectorRefused); len(ev) != 1 || ev[0].Actor != "connector:second" {
		t.Errorf("noted %+v", ev)
	}
	if _, err := second.join(h.invite(true, "web1"), "second"); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(h.cut, []string{owner}) {
		t.Errorf("links cut: %q, want those of %s", h.cut, owner)
	}
	_, err = rack.sync()
	wantCode(t, "a replaced connector", err, connect.CodeUnauthenticated)
	if state, err := second.sync(); err != nil || len(state.Targets) != 1 {
		t.Errorf("the new one gets %v, %v", state, err)
	}
}

// mallory has a connector of her own and wants web1's, or has stolen its token.
func TestSyncOfAnothersTarget(t *testing.T) {
	h := newHouse(t)
	rack, mallory := h.device(), h.device()
	if _, err := rack.join(h.invite(false, "web1"), "rack"); err != nil {
		t.Fatal(err)
	}
	if _, err := mallory.join(h.invite(false, "web2"), "mallory"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		state, err := mallory.sync(&apiv1.HostReport{Name: "web1", HostKey: h.hostKey()}, &apiv1.HostReport{Name: "nowhere"})
		if err != nil {
			t.Fatal(err)
		}
		if len(state.Targets) != 1 || state.Targets[0].Name != "web2" {
			t.Errorf("mallory gets %v", state.Targets)
		}
	}
	if target, _ := h.db.Target(t.Context(), "web1"); target.HostKey != "" {
		t.Error("another connector's report was taken")
	}
	if n := len(h.events(sekisho.EventCertificate)); n != 0 {
		t.Error("a host certificate was made")
	}
	if ev := h.events(sekisho.EventConnectorRefused); len(ev) != 1 || ev[0].Actor != "connector:mallory" {
		t.Errorf("noted %d times", len(ev))
	}

	mallory.token = rack.token
	_, err := mallory.sync()
	wantCode(t, "a stolen token", err, connect.CodeUnauthenticated)
	if ev := h.events(sekisho.EventConnectorRefused); len(ev) != 2 || ev[0].Actor != "connector:rack" {
		t.Error("nobody will know that the token was stolen")
	}
	person := h.signIn("alice@example.com", "ops")
	_, err = person.sync()
	wantCode(t, "a person", err, connect.CodeUnauthenticated)
	rack.token = strings.Replace(rack.token, ".", ".x", 1)
	_, err = rack.sync()
	wantCode(t, "a wrong secret", err, connect.CodeUnauthenticated)
}

// A connector whose host proves another key each time gets some certificates, and does not fill the audit log.
func TestHostKeysWithoutEnd(t *testing.T) {
	h := newHouse(t)
	rack := h.device()
	if _, err := rack.join(h.invite(false, "web1", "web2"), "rack"); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if _, err := rack.sync(&apiv1.HostReport{Name: "web1", HostKey: h.hostKey()}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(h.events(sekisho.EventCertificate)); n != 20 {
		t.Errorf("%d certificates were made, want 20", n)
	}
	if keys, refusals := len(h.events(sekisho.EventTargetHostKey)), len(h.events(sekisho.EventCertificateRefused)); keys != 20 || refusals != 1 {
		t.Errorf("noted: %d keys, %d refusals", keys, refusals)
	}
	// It is no other host's loss, and not for long.
	key := h.hostKey()
	state, err := rack.sync(&apiv1.HostReport{Name: "web2", HostKey: h.hostKey()})
	if err != nil || state.Targets[1].HostCertificate == "" {
		t.Errorf("web2: %v, %v", state, err)
	}
	h.pass(time.Minute)
	if state, err = rack.sync(&apiv1.HostReport{Name: "web1", HostKey: key}); err != nil || state.Targets[0].HostCertificate == "" {
		t.Errorf("a minute later: %v, %v", state, err)
	}
}

func TestOneBadHostKey(t *testing.T) {
	h := newHouse(t)
	rack := h.device()
	if _, err := rack.join(h.invite(false, "web1", "web2"), "rack"); err != nil {
		t.Fatal(err)
	}
	state, err := rack.sync(&apiv1.HostReport{Name: "web1", HostKey: h.ca.Lines().User[0]}, &apiv1.HostReport{Name: "web2", HostKey: h.hostKey()})
	if err != nil {
		t.Fatal(err)
	}
	if state.Targets[0].HostCertificate != "" || state.Targets[1].HostCertificate == "" {
		t.Errorf("got %v", state.Targets)
	}
}

func TestNewJoinToken(t *testing.T) {
	h := newHouse(t)
	for name, p := range map[string]control.JoinParams{
		"nothing":    {},
		"name":       {Targets: []sekisho.Target{{Name: "Web 1", Logins: []string{"root"}}}},
		"no login":   {Targets: []sekisho.Target{{Name: "web9"}}},
		"login":      {Targets: []sekisho.Target{{Name: "web9", Logins: []string{"root:web1"}}}},
		"label":      {Targets: []sekisho.Target{{Name: "web9", Logins: []string{"root"}, Labels: []string{"prod"}}}},
		"class":      {Targets: []sekisho.Target{{Name: "web9", Logins: []string{"root"}, Class: "p i i"}}},
		"twice":      {Targets: []sekisho.Target{{Name: "web9", Logins: []string{"root"}}, {Name: "web9", Logins: []string{"root"}}}},
		"connector":  {Name: "a b", Targets: []sekisho.Target{{Name: "web9", Logins: []string{"root"}}}},
		"address":    {Targets: []sekisho.Target{{Name: "web9", Logins: []string{"root"}, Addresses: []string{"10.0.0.1/8"}}}},
		"class form": {Targets: []sekisho.Target{{Name: "web9", Logins: []string{"root"}, Class: "a:b"}}},
	} {
		p.Now = h.now()
		if _, err := control.NewJoinToken(t.Context(), h.db, h.log.Append, p); err == nil {
			t.Errorf("%s: got a token", name)
		}
	}
	if _, err := h.db.Target(t.Context(), "web9"); err == nil {
		t.Error("a refused target was saved")
	}
	token := h.invite(false, "web1")
	if rack := h.device(); second(rack.join(token, "rack")) != nil {
		t.Fatal("cannot join")
	}
	before, _ := h.db.Target(t.Context(), "web1")
	h.invite(true, "web1")
	if after, _ := h.db.Target(t.Context(), "web1"); after.Connector == "" || after.Connector != before.Connector {
		t.Error("a new token unbinds a target before it is used")
	}
	if ev := h.events(sekisho.EventTargetAdded); len(ev) != 2 || ev[0].Detail["logins"] != "deploy root" || ev[0].Detail["audited"] != "false" {
		t.Errorf("noted %+v", ev)
	}
}

func TestTargetsAddresses(t *testing.T) {
	h := newHouse(t)
	add := func(name string, addresses ...string) error {
		_, err := control.NewJoinToken(t.Context(), h.db, h.log.Append, control.JoinParams{Now: h.now(),
			Targets: []sekisho.Target{{Name: name, Logins: []string{"root"}, Addresses: addresses}}})
		return err
	}
	if err := add("near", "2001:DB8::7", "192.0.2.0/24", "192.0.2.1/32", "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	near, err := h.db.Target(t.Context(), "near")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"192.0.2.0/24", "192.0.2.1", "2001:db8::7"}, near.Addresses); diff != "" {
		t.Error(diff)
	}
	noted := h.events(sekisho.EventTargetAdded)
	if got := noted[0].Detail["addresses"]; got != "192.0.2.0/24 192.0.2.1 2001:db8::7" {
		t.Errorf("noted %q", got)
	}
	if err := add("far", "198.51.100.1", "2001:db8::7/128"); !errors.Is(err, sekisho.ErrTaken) || !strings.Contains(err.Error(), "near") {
		t.Errorf("another's address: %v", err)
	}
	if len(h.events(sekisho.EventTargetAdded)) != len(noted) {
		t.Error("a refused target was noted")
	}
	if err := add("near", "2001:db8::8"); err != nil {
		t.Fatal(err)
	}
	if err := add("far", "2001:db8::7"); err != nil {
		t.Errorf("an address that was given up: %v", err)
	}
}
