package control_test

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// Every example of docs/api.md works as it stands there: the page's blocks run one after the other in a shell, with a real curl,
// jq and ssh-keygen. Only making the token is done for it.
func TestAPIPage(t *testing.T) {
	for _, program := range []string{"curl", "jq", "ssh-keygen", "bash"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("no %s here: run dev/prepare.sh", program)
		}
	}
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	kay := h.signIn("kay@example.com", "ca-admins")
	var script strings.Builder
	script.WriteString("set -eu -o pipefail\n")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	for _, b := range blocks {
		script.WriteString("echo '---'\n" + b[1])
	}
	dir := t.TempDir()
	token := must(kay.mint(&apiv1.CreateTokenRequest{
		Name: "builds", TtlSeconds: int64(24 * time.Hour / time.Second), From: []string{"127.0.0.0/8"},
		Scopes: []string{"ca.manage", "certificates.read", "certificates.revoke", "certificates.sign/builds"},
	}))(t).Token
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("sekisho", "#!/bin/sh\necho '"+token+"'\n")
	certificate := write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw})))
	cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.ReplaceAll(script.String(), "https://sekisho.example.com", h.url))
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "CURL_CA_BUNDLE=" + certificate, "LC_ALL=C", "NO_PROXY=*"}
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	parts := strings.Split(string(said), "---\n")[1:]
	for i, want := range []string{
		"",
		"",
		`(?s)"name": ?"builds".*issuing SHA256:.*\nssh-ed25519 AAAA`,
		"^announced\ntrusted\nissuing\n$",
		`(?s)Key ID: "token.*builds/.*Principals: \n +deploy:web1`,
		`"issuer": "builds"`,
		`(?s)"found": "certificate".*"doubt": null`,
		`(?s)"kind": ?"certificate".*REVOKED.*it is revoked\nrev_.* runner 7 was taken over`,
		`(?s)"code":"invalid_argument".*curl ends with 22`,
	} {
		if i >= len(parts) || !regexp.MustCompile(want).MatchString(parts[i]) {
			t.Errorf("block %d says, want %s:\n%s", i, want, said)
			break
		}
	}
	if len(parts) != len(blocks) || strings.Contains(string(said)+h.logged.String(), strings.Split(token, ".")[1]) {
		t.Errorf("%d of %d blocks ran, or the token is said:\n%s", len(parts), len(blocks), said)
	}
}

// What a program sends that is no call is answered as a refused call is.
func TestPlainCalls(t *testing.T) {
	h := newHouse(t)
	for what, c := range map[string]struct {
		method, path, kind string
		status             int
		says               string
	}{
		"a form":     {"POST", "CAService/List", "application/x-www-form-urlencoded", 415, "Content-Type: application/json"},
		"no type":    {"POST", "CAService/List", "", 415, "Content-Type: application/json"},
		"GET":        {"GET", "CAService/List", "", 405, "POST"},
		"no method":  {"POST", "CAService/Lst", "application/json", 404, "no such call"},
		"no service": {"POST", "CAS/List", "application/json", 404, "no such call"},
		"nothing":    {"POST", "", "application/json", 404, "no such call"},
		"no body":    {"POST", "CAService/List", "application/json", 400, "{} at least"},
		"charset":    {"POST", "CAService/List", "application/json; charset=utf-8", 400, "{} at least"},
	} {
		res, text := h.fetch(c.method, "/sekisho.v1."+c.path, "Content-Type", c.kind)
		if res.StatusCode != c.status || !strings.Contains(string(text), `"message":`) || !strings.Contains(string(text), c.says) {
			t.Errorf("%s: %d %s", what, res.StatusCode, text)
		}
	}
}

// A misspelt field is refused by its name, and does nothing.
func TestMisspeltField(t *testing.T) {
	h := newHouse(t)
	kay := h.signIn("kay@example.com", "ca-admins")
	token := must(kay.mint(&apiv1.CreateTokenRequest{Scopes: []string{"certificates.revoke"}}))(t).Token
	status, code, says := h.call(token, "CertificateService/Revoke", `{"kind": "key-id", "value": "x/people/-/-/1", "reason": "r", "untill": "2030-01-01T00:00:00Z"}`)
	if status != 400 || code != "invalid_argument" || !strings.Contains(says, "untill") {
		t.Errorf("%d %s %s", status, code, says)
	}
	if n := len(h.events("revoked")); n != 0 {
		t.Errorf("%d things are revoked", n)
	}
}
