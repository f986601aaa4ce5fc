package control_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/audit"
	"github.com/sekisho/sekisho/ca"
)

// wish asks an issuer for a new key, as a client does.
func (d *device) wish(issuer string) *apiv1.SignRequest {
	d.house.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		d.house.t.Fatal(err)
	}
	signer := must(ssh.NewSignerFromSigner(key))(d.house.t)
	now := d.house.now().Unix()
	text := ca.SignText(fmt.Sprintf("%x", sha256.Sum256([]byte(d.token))), issuer, now)
	sig := must(signer.Sign(rand.Reader, text))(d.house.t)
	return &apiv1.SignRequest{Issuer: issuer, PublicKey: ca.Line(signer.PublicKey()), KeyProof: ssh.Marshal(sig), ProofTime: now}
}

func (d *device) sign(r *apiv1.SignRequest) (*apiv1.SignResponse, error) {
	res, err := d.Certificate.Sign(d.house.t.Context(), connect.NewRequest(r))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func TestSign(t *testing.T) {
	h := newHouse(t)
	ken := h.signIn("Ken@example.com", "dev")
	r := ken.wish("git")
	r.TtlSeconds = 600
	got := must(ken.sign(r))(t)
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(got.Certificate))
	if err != nil {
		t.Fatal(err)
	}
	cert := parsed.(*ssh.Certificate)
	if !cmp.Equal(cert.ValidPrincipals, []string{"ken"}) || !cmp.Equal(cert.Extensions, map[string]string{"login@github.com": "ken"}) {
		t.Errorf("principals %v, extensions %v", cert.ValidPrincipals, cert.Extensions)
	}
	if cert.Serial != got.Serial || cert.KeyId != got.KeyId || got.Expires.AsTime().Unix() != int64(cert.ValidBefore) || got.Expires.AsTime().Sub(h.now()) > 10*time.Minute {
		t.Errorf("%v for %v", got, cert)
	}
	ev := h.events(sekisho.EventCertificate)[0]
	decision := h.events(sekisho.EventDecision)[0]
	if ev.Seq != int64(got.Serial) || decision.Seq != ev.Seq-1 || decision.Detail["issuer"] != "git" || decision.Decision.Policies[0] != "git" {
		t.Errorf("noted %+v and %+v", decision, ev)
	}
	if err := audit.CheckCertificate(cert, ev); err != nil {
		t.Error(err)
	}
	_, err = ken.sign(r)
	wantCode(t, "a replay", err, connect.CodeAborted)
}

func TestSignRefused(t *testing.T) {
	h := newHouse(t)
	ken, mallory := h.signIn("ken@example.com", "dev"), h.signIn("mallory@example.com", "ops")
	for name, tt := range map[string]struct {
		who    *device
		issuer string
		change func(*apiv1.SignRequest)
		code   connect.Code
		says   string
	}{
		"not by policy":       {mallory, "git", nil, connect.CodePermissionDenied, "No policy lets mallory@example.com (groups: ops) get certificates from issuer git; policy git lets group dev do so."},
		"people":              {ken, "people", nil, connect.CodeNotFound, `There is no issuer "people" to ask.`},
		"no such issuer":      {ken, "nope", nil, connect.CodeNotFound, `There is no issuer "nope" to ask.`},
		"a person as program": {ken, "deploys", nil, connect.CodePermissionDenied, "it is for programs with an API token"},
		"nameless":            {ken, "git", func(r *apiv1.SignRequest) { r.Issuer = "" }, connect.CodeInvalidArgument, "it names no issuer"},
		"another's proof":     {ken, "git", func(r *apiv1.SignRequest) { r.KeyProof = mallory.wish("git").KeyProof }, connect.CodePermissionDenied, "The issuer git refuses this (rule proof)"},
		"for another issuer":  {ken, "git", func(r *apiv1.SignRequest) { *r = *ken.wish("deploys"); r.Issuer = "git" }, connect.CodePermissionDenied, "(rule proof)"},
		"too long":            {ken, "git", func(r *apiv1.SignRequest) { r.TtlSeconds = 86401 }, connect.CodeInvalidArgument, "The issuer git refuses this (rule ttl): 24h0m1s is longer than 24h"},
		"another's principal": {ken, "git", func(r *apiv1.SignRequest) { r.Principals = []string{"mei"} }, connect.CodeInvalidArgument, "(rule principals)"},
		"negative":            {ken, "git", func(r *apiv1.SignRequest) { r.TtlSeconds = -1 }, connect.CodeInvalidArgument, "malformed"},
		"an age":              {ken, "git", func(r *apiv1.SignRequest) { r.TtlSeconds = 1 << 62 }, connect.CodeInvalidArgument, "malformed"},
		"many principals":     {ken, "git", func(r *apiv1.SignRequest) { r.Principals = make([]string, 17) }, connect.CodeInvalidArgument, "malformed"},
		"options with key":    {ken, "git", func(r *apiv1.SignRequest) { r.PublicKey = `command="id" ` + r.PublicKey }, connect.CodeInvalidArgument, "malformed"},
		"newline in command":  {ken, "git", func(r *apiv1.SignRequest) { r.ForceCommand = "a\nb" }, connect.CodeInvalidArgument, "(rule options)"},
	} {
		r := tt.who.wish(tt.issuer)
		if tt.change != nil {
			tt.change(r)
		}
		_, err := tt.who.sign(r)
		wantCode(t, name, err, tt.code)
		if err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: says %q, want %q in it", name, err, tt.says)
		}
	}
	if n := len(h.events(sekisho.EventCertificate)); n != 0 {
		t.Errorf("%d certificates", n)
	}
	open := h.device()
	_, err := open.Certificate.Sign(t.Context(), connect.NewRequest(ken.wish("git")))
	wantCode(t, "nobody", err, connect.CodeUnauthenticated)
	_, err = open.Certificate.Issuers(t.Context(), connect.NewRequest(&apiv1.IssuersRequest{}))
	wantCode(t, "nobody's list", err, connect.CodeUnauthenticated)
}

func TestIssuers(t *testing.T) {
	h := newHouse(t)
	for group, may := range map[string]bool{"dev": true, "ops": false} {
		d := h.signIn("ken@example.com", group)
		res := must(d.Certificate.Issuers(t.Context(), connect.NewRequest(&apiv1.IssuersRequest{})))(t)
		names := []string{}
		for _, i := range res.Msg.Issuers {
			names = append(names, i.Name)
			if i.Name == "git" && (i.May != may || i.Ca != "git" || i.TtlSeconds != 8*3600 || i.MaxTtlSeconds != 24*3600 || i.Rate != "60/m, burst 20" ||
				!cmp.Equal(i.Extensions, []string{"login@github.com={account}"})) {
				t.Errorf("%s: %v", group, i)
			}
		}
		if diff := cmp.Diff([]string{"gateways", "hosts", "people", "builds", "deploys", "git", "orphan"}, names); diff != "" {
			t.Error(diff)
		}
	}
}

// The example for programs in the documentation, run as it stands.
func TestSignByCurl(t *testing.T) {
	page := must(os.ReadFile("../docs/certificates.md"))(t)
	m := regexp.MustCompile("(?s)```\n(NOW=.*?)```").FindStringSubmatch(string(page))
	if m == nil {
		t.Fatal("docs/certificates.md has no example")
	}
	h := newHouse(t)
	kay := h.signIn("kay@example.com", "ca-admins")
	dir := t.TempDir()
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), roots, 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(token string) (string, error) {
		script := "set -euo pipefail\nrm -f key* text*\nssh-keygen -q -t ed25519 -N '' -f key\n" + strings.ReplaceAll(m[1], "https://sekisho.example.com", h.url)
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "TOKEN="+token, "CURL_CA_BUNDLE=ca.pem")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	other := must(kay.mint(&apiv1.CreateTokenRequest{Name: "other", Scopes: []string{"certificates.sign/git"}}))(t).Token
	if out, err := run(other); err == nil {
		t.Errorf("a token for another issuer: %s", out)
	}
	token := must(kay.mint(&apiv1.CreateTokenRequest{Name: "ci", Scopes: []string{"certificates.sign/deploys"}}))(t)
	if out, err := run(token.Token); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "ssh-keygen", "-L", "-f", filepath.Join(dir, "key-cert.pub")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "deploy-web") || !strings.Contains(string(out), `"token:ci/deploys/-/`+token.Info.Id) {
		t.Errorf("%v: %s", err, out)
	}
}
