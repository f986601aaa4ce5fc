package control_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/policy"
)

const publishing = policies + `
@id("publishers") permit (principal in Group::"publishers", action == Action::"publishKeys", resource) when { context.login == "deploy" };
@id("web1-root") permit (principal in Group::"roots", action == Action::"publishKeys", resource == Target::"web1") when { context.login == "root" };
@id("recorded") @audit("strict") permit (principal in Group::"watched", action == Action::"connect", resource);
@id("watched-publish") permit (principal in Group::"watched", action == Action::"publishKeys", resource);
@id("home") permit (principal in Group::"home", action == Action::"publishKeys", resource) when { context has client_address && context.client_address.isInRange(ip("127.0.0.0/8")) };
@id("manager") permit (principal in Group::"managers", action == Action::"manageCA", resource);
`

// press is a house in which keys may be published, and a connector that serves web1 and web2.
func press(t *testing.T) (*house, *device) {
	h := newHouse(t)
	h.policies(publishing)
	rack := h.device()
	for _, name := range []string{"web1", "web2"} {
		target := must(h.db.Target(t.Context(), name))(t)
		target.Logins = []string{"deploy", "root"}
		if err := h.db.SaveTarget(t.Context(), target); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := rack.join(h.invite(false, "web1", "web2", "db1"), "rack"); err != nil {
		t.Fatal(err)
	}
	return h, rack
}

func (h *house) policies(text string) {
	h.set.Store(must(policy.Load([]policy.File{{Name: "test.cedar", Text: []byte(text)}}))(h.t))
}

func (d *device) publish(change func(*apiv1.PublishKeyRequest)) (*apiv1.PublishedKey, error) {
	m := &apiv1.PublishKeyRequest{PublicKey: d.house.hostKey(), Targets: []string{"web1"}, Login: "deploy", TtlSeconds: 3600, Reason: "a backup"}
	if change != nil {
		change(m)
	}
	res, err := d.PublishedKey.Publish(d.house.t.Context(), connect.NewRequest(m))
	if err != nil {
		return nil, err
	}
	return res.Msg.Key, nil
}

func (d *device) withdraw(id string) error {
	_, err := d.PublishedKey.Withdraw(d.house.t.Context(), connect.NewRequest(&apiv1.WithdrawKeyRequest{Id: id}))
	return err
}

func (d *device) publications(m *apiv1.ListPublishedKeysRequest) (ids []string, all []*apiv1.PublishedKey) {
	d.house.t.Helper()
	res := must(d.PublishedKey.List(d.house.t.Context(), connect.NewRequest(m)))(d.house.t)
	for _, k := range res.Msg.Keys {
		ids = append(ids, k.Id)
	}
	return ids, res.Msg.Keys
}

// served is what the connector is given, as "target/login/ID".
func (d *device) served() (all []string) {
	d.house.t.Helper()
	for _, s := range must(d.sync())(d.house.t).Targets {
		for login, keys := range s.Published {
			for _, k := range keys.Keys {
				all = append(all, s.Name+"/"+login+"/"+k.Id)
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestPublish(t *testing.T) {
	h, rack := press(t)
	pat := h.signIn("pat@example.com", "publishers")
	if got := rack.served(); got != nil {
		t.Errorf("served before anything: %v", got)
	}
	key := h.hostKey()
	k, err := pat.publish(func(m *apiv1.PublishKeyRequest) {
		m.PublicKey, m.Targets = key+" backup@nas", []string{"WEB1.example.internal", "web2", "web1"}
		m.From, m.Allow = []string{"192.0.2.7", "2001:db8::1/32"}, []string{"pty", "port-forwarding", "pty"}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !cmp.Equal(k.Targets, []string{"web1", "web2"}) || !cmp.Equal(k.Served, k.Targets) || k.By != "pat@example.com" || k.PublicKey != key ||
		!k.MayWithdraw || !k.Expires.AsTime().Equal(h.now().Add(time.Hour)) {
		t.Errorf("published %v", k)
	}
	if diff := cmp.Diff([]string{"web1/deploy/" + k.Id, "web2/deploy/" + k.Id}, rack.served()); diff != "" {
		t.Error(diff)
	}
	state := must(rack.sync())(t)
	line := state.Targets[1].Published["deploy"].Keys[0]
	if line.Key != key || !cmp.Equal(line.From, []string{"192.0.2.7/32", "2001:db8::/32"}) || !cmp.Equal(line.Allow, []string{"port-forwarding", "pty"}) {
		t.Errorf("line %v", line)
	}
	ev := h.events(sekisho.EventKeyPublished)
	if len(ev) != 1 || ev[0].Actor != "pat@example.com" || ev[0].Login != "deploy" || ev[0].Detail["targets"] != "web1 web2" ||
		ev[0].Detail["key"] != k.Fingerprint || ev[0].Detail["published"] != k.Id || ev[0].Detail["reason"] != "a backup" ||
		!cmp.Equal(ev[0].Decision.Policies, []string{"publishers"}) {
		t.Errorf("noted %+v", ev)
	}
	// The same key at the same place is refused, as another login and elsewhere it is not.
	_, err = pat.publish(func(m *apiv1.PublishKeyRequest) { m.PublicKey, m.Targets = key, []string{"web2"} })
	wantCode(t, "twice", err, connect.CodePermissionDenied)
	if !strings.Contains(err.Error(), k.Id) {
		t.Error(err)
	}
	root := h.signIn("root@example.com", "roots")
	if _, err := root.publish(func(m *apiv1.PublishKeyRequest) { m.PublicKey, m.Login = key, "root" }); err != nil {
		t.Error(err)
	}
	h.pass(time.Hour)
	if got := rack.served(); got != nil {
		t.Errorf("served after its time: %v", got)
	}
	if ids, _ := pat.publications(&apiv1.ListPublishedKeysRequest{}); len(ids) != 0 {
		t.Errorf("listed after its time: %v", ids)
	}
	ids, all := pat.publications(&apiv1.ListPublishedKeysRequest{All: true})
	if !cmp.Equal(ids, []string{k.Id}) || len(all[0].Served) != 0 || all[0].MayWithdraw {
		t.Errorf("all: %v", all)
	}
	wantCode(t, "withdrawing what has expired", pat.withdraw(k.Id), connect.CodeFailedPrecondition)
	if _, err := pat.publish(func(m *apiv1.PublishKeyRequest) { m.PublicKey = key }); err != nil {
		t.Errorf("anew: %v", err)
	}
}

// What mallory asks for.
func TestPublishRefused(t *testing.T) {
	h, rack := press(t)
	pat, mallory := h.signIn("pat@example.com", "publishers"), h.signIn("mallory@example.com", "ops")
	key := h.hostKey()
	small := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	weak := ca.Line(must(ssh.NewPublicKey(&small.PublicKey))(t))
	p224 := strings.Replace(ca.Line(must(ssh.NewPublicKey(&must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t).PublicKey))(t)), "nistp256", "nistp224", 1)
	for name, change := range map[string]func(*apiv1.PublishKeyRequest){
		"options":           func(m *apiv1.PublishKeyRequest) { m.PublicKey = `command="sh" ` + key },
		"expiry":            func(m *apiv1.PublishKeyRequest) { m.PublicKey = `expiry-time="99991231" ` + key },
		"CA marker":         func(m *apiv1.PublishKeyRequest) { m.PublicKey = "cert-authority " + key },
		"known_hosts":       func(m *apiv1.PublishKeyRequest) { m.PublicKey = "@cert-authority * " + key },
		"second key":        func(m *apiv1.PublishKeyRequest) { m.PublicKey = key + "\n" + h.hostKey() },
		"second line":       func(m *apiv1.PublishKeyRequest) { m.PublicKey = key + " x\nls" },
		"line before":       func(m *apiv1.PublishKeyRequest) { m.PublicKey = "# x\n" + key },
		"return":            func(m *apiv1.PublishKeyRequest) { m.PublicKey = key + " x\r" + key },
		"NUL":               func(m *apiv1.PublishKeyRequest) { m.PublicKey = key + " \x00" },
		"nothing":           func(m *apiv1.PublishKeyRequest) { m.PublicKey = "" },
		"long":              func(m *apiv1.PublishKeyRequest) { m.PublicKey = key + strings.Repeat(" x", 16<<10) },
		"P-224":             func(m *apiv1.PublishKeyRequest) { m.PublicKey = p224 },
		"no target":         func(m *apiv1.PublishKeyRequest) { m.Targets = nil },
		"101 targets":       func(m *apiv1.PublishKeyRequest) { m.Targets = slices.Repeat([]string{"web1"}, 101) },
		"target's path":     func(m *apiv1.PublishKeyRequest) { m.Targets = []string{"../web1"} },
		"Unicode target":    func(m *apiv1.PublishKeyRequest) { m.Targets = []string{"wеb1"} },
		"Unicode login":     func(m *apiv1.PublishKeyRequest) { m.Login = "dеploy" },
		"full-width login":  func(m *apiv1.PublishKeyRequest) { m.Login = "ｄeploy" },
		"login's wildcard":  func(m *apiv1.PublishKeyRequest) { m.Login = "*" },
		"login's line":      func(m *apiv1.PublishKeyRequest) { m.Login = "deploy\nroot" },
		"login's path":      func(m *apiv1.PublishKeyRequest) { m.Login = "../deploy" },
		"no login":          func(m *apiv1.PublishKeyRequest) { m.Login = "" },
		"31 days":           func(m *apiv1.PublishKeyRequest) { m.TtlSeconds = 31 * 24 * 3600 },
		"a second too long": func(m *apiv1.PublishKeyRequest) { m.TtlSeconds = 30*24*3600 + 1 },
		"for ever":          func(m *apiv1.PublishKeyRequest) { m.TtlSeconds = 1<<63 - 1 },
		"no time":           func(m *apiv1.PublishKeyRequest) { m.TtlSeconds = 0 },
		"time before now":   func(m *apiv1.PublishKeyRequest) { m.TtlSeconds = -1 },
		"no reason":         func(m *apiv1.PublishKeyRequest) { m.Reason = "" },
		"long reason":       func(m *apiv1.PublishKeyRequest) { m.Reason = strings.Repeat("x", 201) },
		"reason's line":     func(m *apiv1.PublishKeyRequest) { m.Reason = "a\nb" },
		"word":              func(m *apiv1.PublishKeyRequest) { m.Allow = []string{"user-rc"} },
		"word's rest":       func(m *apiv1.PublishKeyRequest) { m.Allow = []string{`pty,command="x"`} },
		"network":           func(m *apiv1.PublishKeyRequest) { m.From = []string{"*.example.com"} },
		"network's rest":    func(m *apiv1.PublishKeyRequest) { m.From = []string{`10.0.0.0/8",command="x`} },
		"network's zone":    func(m *apiv1.PublishKeyRequest) { m.From = []string{`fe80::1%"x`} },
		"17 networks":       func(m *apiv1.PublishKeyRequest) { m.From = slices.Repeat([]string{"10.0.0.0/8"}, 17) },
	} {
		_, err := pat.publish(change)
		wantCode(t, name, err, connect.CodeInvalidArgument)
	}
	if n := len(h.events(sekisho.EventDecision)); n != 0 {
		t.Errorf("%d decisions about what cannot be read", n)
	}
	watched := h.signIn("watched@example.com", "watched")
	for _, test := range []struct {
		name   string
		who    *device
		change func(*apiv1.PublishKeyRequest)
		want   string
	}{
		{"without a policy", mallory, nil, "No policy lets mallory@example.com"},
		{"another login", pat, func(m *apiv1.PublishKeyRequest) { m.Login = "root" }, "No policy lets pat@example.com"},
		{"one of two targets", h.signIn("root@example.com", "roots"), func(m *apiv1.PublishKeyRequest) { m.Login, m.Targets = "root", []string{"web1", "web2"} }, "on web2"},
		{"a login that is not there", pat, func(m *apiv1.PublishKeyRequest) { m.Targets = []string{"web1", "db1"} }, "db1 has no login deploy"},
		{"an audited target", watched, func(m *apiv1.PublishKeyRequest) { m.Targets, m.Login = []string{"db1"}, "postgres" }, "it is audited"},
		{"around one's own recording", watched, nil, "your sessions there are recorded"},
		{"no target of ours", pat, func(m *apiv1.PublishKeyRequest) { m.Targets = []string{"nowhere"} }, "no target called nowhere"},
		{"no target of hers", mallory, func(m *apiv1.PublishKeyRequest) { m.Targets = []string{"nowhere"} }, "No policy lets mallory@example.com"},
		{"a CA's key", pat, func(m *apiv1.PublishKeyRequest) { m.PublicKey = h.ca.Lines().User[0] }, "a CA's own key"},
		{"a weak key", pat, func(m *apiv1.PublishKeyRequest) { m.PublicKey = weak }, "3072"},
	} {
		_, err := test.who.publish(test.change)
		wantCode(t, test.name, err, connect.CodePermissionDenied)
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.name, err)
		}
		if ev := h.events(sekisho.EventDecision)[0]; ev.Decision.Effect != sekisho.Deny || ev.Detail["action"] != "publishKeys" || ev.Detail["key"] == "" {
			t.Errorf("%s: noted %+v", test.name, ev)
		}
	}
	_, err := mallory.open.PublishedKey.Publish(t.Context(), connect.NewRequest(&apiv1.PublishKeyRequest{}))
	wantCode(t, "nobody", err, connect.CodeUnauthenticated)
	if n, got := len(h.events(sekisho.EventKeyPublished)), rack.served(); n != 0 || got != nil {
		t.Errorf("%d published, served %v", n, got)
	}
}

// The policies, the person and the key are asked about again each time.
func TestPublishedWhileAllowed(t *testing.T) {
	h, rack := press(t)
	pat := h.signIn("pat@example.com", "publishers")
	k, err := pat.publish(nil)
	if err != nil {
		t.Fatal(err)
	}
	home, err := h.signIn("hal@example.com", "home").publish(func(m *apiv1.PublishKeyRequest) { m.Targets = []string{"web2"} })
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"web1/deploy/" + k.Id, "web2/deploy/" + home.Id}
	both := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, rack.served()); diff != "" {
			t.Error(what, diff)
		}
	}
	both("as published", want...)
	h.policies(policies)
	both("without the policy")
	if _, all := pat.publications(&apiv1.ListPublishedKeysRequest{}); len(all) != 1 || all[0].Served != nil {
		t.Errorf("listed %v", all)
	}
	h.policies(publishing + `@id("no") forbid (principal, action == Action::"publishKeys", resource == Target::"web1");`)
	both("with a forbid", want[1])
	h.policies(publishing + `@id("rec") @audit("strict") permit (principal == Person::"pat@example.com", action == Action::"connect", resource);`)
	both("since pat is recorded", want[1])
	h.policies(publishing)
	both("as before", want...)
	web := must(h.db.Target(t.Context(), "web1"))(t)
	for what, change := range map[string]func(*sekisho.Target){
		"audited now":   func(t *sekisho.Target) { t.Audited = true },
		"without login": func(t *sekisho.Target) { t.Logins = []string{"root"} },
	} {
		changed := *web
		change(&changed)
		if err := h.db.SaveTarget(t.Context(), &changed); err != nil {
			t.Fatal(err)
		}
		both(what, want[1])
	}
	if err := h.db.SaveTarget(t.Context(), web); err != nil {
		t.Fatal(err)
	}
	both("as before", want...)

	// Another connector's host does not get it, nor one that stole the name.
	other := h.device()
	h.db.SaveTarget(t.Context(), &sekisho.Target{Name: "web3", Logins: []string{"deploy"}})
	if _, err := other.join(h.invite(false, "web3"), "other"); err != nil {
		t.Fatal(err)
	}
	if state := must(other.sync(&apiv1.HostReport{Name: "web1"}))(t); len(state.Targets) != 1 || len(state.Targets[0].Published) != 0 {
		t.Errorf("another connector is given %v", state.Targets)
	}
}

func TestWithdraw(t *testing.T) {
	h, rack := press(t)
	pat, quinn := h.signIn("pat@example.com", "publishers"), h.signIn("quinn@example.com", "publishers")
	mallory, root := h.signIn("mallory@example.com", "ops"), h.signIn("root@example.com", "roots")
	manager, aud := h.signIn("boss@example.com", "managers"), h.signIn("aud@example.com", "auditors")
	var ids []string
	for range 3 {
		k, err := pat.publish(nil)
		if err != nil {
			t.Fatal(err)
		}
		h.pass(time.Second)
		ids = append(ids, k.Id)
	}
	for name, who := range map[string]*device{"mallory": mallory, "who publishes as root": root, "who reads": aud} {
		err := who.withdraw(ids[0])
		wantCode(t, name, err, connect.CodeNotFound)
		none := sekisho.NewID("pub") // of which is said the same
		if unknown := who.withdraw(none); strings.ReplaceAll(fmt.Sprint(unknown), none, ids[0]) != fmt.Sprint(err) {
			t.Errorf("%s: %v, of one that is not there %v", name, err, unknown)
		}
	}
	wantCode(t, "no ID", pat.withdraw("pub_x' OR 1=1 --"), connect.CodeInvalidArgument)
	if ev := h.events(sekisho.EventDecision); len(ev) != 3 || ev[0].Detail["published"] != ids[0] {
		t.Errorf("noted %+v", ev)
	}
	for i, who := range []*device{pat, quinn, manager} {
		if err := who.withdraw(ids[i]); err != nil {
			t.Errorf("%d: %v", i, err)
		}
		wantCode(t, "twice", who.withdraw(ids[i]), connect.CodeFailedPrecondition)
	}
	if got := rack.served(); got != nil {
		t.Errorf("still served: %v", got)
	}
	if ev := h.events(sekisho.EventKeyWithdrawn); len(ev) != 3 || ev[0].Actor != "boss@example.com" || ev[0].Target != "web1" || ev[0].Detail["published"] != ids[2] {
		t.Errorf("noted %+v", ev)
	}
	_, all := pat.publications(&apiv1.ListPublishedKeysRequest{All: true})
	if len(all) != 3 || all[0].WithdrawnBy != "boss@example.com" || all[0].Withdrawn == nil {
		t.Errorf("listed %v", all)
	}
}

func TestListPublishedKeys(t *testing.T) {
	h, _ := press(t)
	pat, root := h.signIn("pat@example.com", "publishers"), h.signIn("root@example.com", "roots")
	var ids []string
	for i := range 5 {
		who, login := pat, "deploy"
		if i%2 == 1 {
			who, login = root, "root"
		}
		k, err := who.publish(func(m *apiv1.PublishKeyRequest) { m.Login = login })
		if err != nil {
			t.Fatal(err)
		}
		h.pass(time.Second)
		ids = append([]string{k.Id}, ids...)
	}
	type q = apiv1.ListPublishedKeysRequest
	for _, test := range []struct {
		name string
		who  *device
		q    *q
		want []string
	}{
		{"own", pat, &q{}, []string{ids[0], ids[2], ids[4]}},
		{"who reads the log", h.signIn("aud@example.com", "auditors"), &q{}, ids},
		{"who manages", h.signIn("boss@example.com", "managers"), &q{}, ids},
		{"who may publish the same", h.signIn("r2@example.com", "roots"), &q{}, []string{ids[1], ids[3]}},
		{"mallory", h.signIn("mallory@example.com", "ops"), &q{All: true}, nil},
		{"first", pat, &q{Limit: 2}, []string{ids[0], ids[2]}},
		{"next", pat, &q{Limit: 2, Before: ids[2]}, []string{ids[4]}},
	} {
		got, _ := test.who.publications(test.q)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Error(test.name, diff)
		}
	}
	for _, bad := range []*q{{Limit: 1001}, {Limit: -1}, {Before: "x"}} {
		_, err := pat.PublishedKey.List(t.Context(), connect.NewRequest(bad))
		wantCode(t, fmt.Sprint(bad), err, connect.CodeInvalidArgument)
	}
}

// mallory may publish, and publishes without end, many at once.
func TestPublicationsAreBounded(t *testing.T) {
	h, rack := press(t)
	pat := h.signIn("pat@example.com", "publishers")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 30 {
				pat.publish(nil)
			}
		})
	}
	wg.Wait()
	if n := len(rack.served()); n != 100 {
		t.Errorf("%d published, want 100", n)
	}
	_, err := pat.publish(func(m *apiv1.PublishKeyRequest) { m.Targets = []string{"web2"} })
	wantCode(t, "of one person", err, connect.CodePermissionDenied)
	quinn := h.signIn("quinn@example.com", "publishers")
	_, err = quinn.publish(nil)
	wantCode(t, "at one target", err, connect.CodePermissionDenied)
	if _, err := quinn.publish(func(m *apiv1.PublishKeyRequest) { m.Targets = []string{"web2"} }); err != nil {
		t.Errorf("elsewhere: %v", err)
	}
}

// One key published twice at once is published once.
func TestPublishedOnceAtATime(t *testing.T) {
	h, rack := press(t)
	pat, key := h.signIn("pat@example.com", "publishers"), h.hostKey()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { pat.publish(func(m *apiv1.PublishKeyRequest) { m.PublicKey = key }) })
	}
	wg.Wait()
	if got := rack.served(); len(got) != 1 {
		t.Errorf("served %v", got)
	}
}

// What is revoked is out at the next sync, and cannot be published.
func TestPublishedKeyRevoked(t *testing.T) {
	h, rack := press(t)
	pat, alice := h.signIn("pat@example.com", "publishers"), h.signIn("alice@example.com", "ca-admins")
	key := h.hostKey()
	k, err := pat.publish(func(m *apiv1.PublishKeyRequest) { m.PublicKey = key })
	if err != nil {
		t.Fatal(err)
	}
	for kind, value := range map[string]string{"key": k.Fingerprint, "person": "pat@example.com"} {
		if len(rack.served()) != 1 {
			t.Fatalf("not served before %s is revoked", kind)
		}
		res, err := alice.revoke(kind, value)
		if err != nil {
			t.Fatal(err)
		}
		if got := rack.served(); got != nil {
			t.Errorf("%s revoked, and still served: %v", kind, got)
		}
		if kind == "key" {
			_, err := pat.publish(func(m *apiv1.PublishKeyRequest) { m.PublicKey, m.Targets = key, []string{"web2"} })
			if said := wantCode(t, "a revoked key", err, connect.CodePermissionDenied); !strings.Contains(said, "This SSH key is revoked") {
				t.Errorf("pat hears %q", said)
			}
		}
		if _, err := alice.Certificate.Lift(t.Context(), connect.NewRequest(&apiv1.LiftRequest{Id: res.Revocation.Id, Reason: "over"})); err != nil {
			t.Fatal(err)
		}
		if kind == "person" { // their sign-ins are over
			pat = h.signIn("pat@example.com", "publishers")
		}
	}
	if len(rack.served()) != 1 {
		t.Error("not served after the revocations were lifted")
	}
}

// A line of sshd's log that names a published key leads to who published it, for those who may know.
func TestExplainPublishedKey(t *testing.T) {
	h, _ := press(t)
	pat, aud, mallory := h.signIn("pat@example.com", "publishers"), h.signIn("aud@example.com", "auditors"), h.signIn("mallory@example.com", "ops")
	k, err := pat.publish(nil)
	if err != nil {
		t.Fatal(err)
	}
	line := "Nov 22 18:00:00 web1 sshd[4711]: Accepted publickey for deploy from 192.0.2.7 port 40000 ssh2: ED25519 " + k.Fingerprint
	for name, test := range map[string]struct {
		who  *device
		line string
		want int
	}{
		"who published it":   {pat, line, 1},
		"who reads the log":  {aud, line, 1},
		"mallory":            {mallory, line, 0},
		"another key's line": {aud, strings.ReplaceAll(line, k.Fingerprint, "SHA256:"+strings.Repeat("A", 43)), 0},
	} {
		res, err := test.who.Certificate.Explain(t.Context(), connect.NewRequest(&apiv1.ExplainRequest{Text: test.line}))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(res.Msg.Published) != test.want || (res.Msg.Doubt == "") != (test.want == 1) || res.Msg.Certificate != nil {
			t.Errorf("%s: %v", name, res.Msg)
		}
		if test.want == 1 && (res.Msg.Published[0].Id != k.Id || res.Msg.Published[0].By != "pat@example.com") {
			t.Errorf("%s: %v", name, res.Msg.Published)
		}
	}
}
