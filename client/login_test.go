package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/client"
)

func testKey(t *testing.T) *ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key
}

// said is the refusal in err, as the person hears it.
func said(t *testing.T, err error) string {
	t.Helper()
	var refusal *sekisho.Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("%v, want a refusal", err)
	}
	return sekisho.Say(err)
}

func TestTrust(t *testing.T) {
	h := newHouse(t)
	wrong := "sha256:" + strings.Repeat("ab", 32)
	for _, c := range []struct{ name, ca, pin, want string }{
		{"file", h.ca(), "", ""},
		{"pin", "", h.pin(), ""},
		{"pin with colons and capitals", "", strings.ToUpper(h.pin()[:9]) + ":" + h.pin()[9:], ""},
		{"wrong pin", "", wrong, "does not show the certificate"},
		{"short pin", "", "sha256:ab", "not sha256:"},
		{"nothing", "", "", "not one this machine trusts"},
		{"no certificate", "hello", "", "no PEM certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPerson(t, h)
			set, err := client.Setup(t.Context(), p.home, h.server.URL, c.ca, c.pin)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if known := set.Config().Recipients; len(known) != 1 || known["rk_1"] != "dpo" {
					t.Errorf("labels of recipients: %v", known)
				}
				if _, err := client.Setup(t.Context(), p.home, "", "", ""); err != nil {
					t.Errorf("again without a word: %v", err)
				}
				return
			}
			if got := said(t, err); !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
			if _, err := os.Stat(filepath.Join(p.home, "config.json")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("a control that is not trusted is remembered: %v", err)
			}
		})
	}
}

func TestSetupFiltersPatterns(t *testing.T) {
	h := newHouse(t)
	c := newPerson(t, h).setup()
	if got := strings.Join(c.Config().Hosts, " "); got != "web1 *.test.internal" {
		t.Errorf("hosts %q: control must not claim all hosts or write lines", got)
	}
}

func TestLoginFiles(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	p.login()
	for name, mode := range map[string]fs.FileMode{
		"": 0o700, "run": 0o700, "config.json": 0o600, "signin.json": 0o600, "device.key": 0o600, "known_hosts": 0o600,
	} {
		info, err := os.Stat(filepath.Join(p.home, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want %v", name, info, err, mode)
		}
	}
	known, err := os.ReadFile(filepath.Join(p.home, "known_hosts"))
	if err != nil || !regexp.MustCompile(`^@cert-authority \*,\[\*\]:2222 ssh-ed25519 \S+\n$`).Match(known) {
		t.Errorf("known_hosts: %v\n%s", err, known)
	}
	s, err := mustHome(t, p.home).SignIn()
	if err != nil || s.Subject != "ken" || !s.Expires.After(time.Now()) {
		t.Errorf("sign-in %+v: %v", s.Subject, err)
	}
}

func mustHome(t *testing.T, dir string) client.Home {
	t.Helper()
	h, err := client.OpenHome(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDevice(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	c := p.setup()
	var shown bytes.Buffer
	r, w := io.Pipe()
	go func() { // the person, on another machine
		buf := make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			if err != nil {
				return
			}
			shown.Write(buf[:n])
			if page := regexp.MustCompile(`https://\S+`).FindString(string(buf[:n])); page != "" {
				h.server.Client().Get(page)
			}
		}
	}()
	s, err := c.Login(t.Context(), client.LoginOptions{Device: true, Out: w, Terminal: true})
	w.Close()
	if err != nil || s.Subject != "ken" {
		t.Fatalf("%v %v", s.Subject, err)
	}
	if p.browsers() != 0 {
		t.Error("a browser was opened here")
	}
	if !c.Config().Device {
		t.Error("the next sign-in would not use the device flow again")
	}
}

// Any page can send the browser to the loopback listener; only the answer with the state counts.
func TestLoopback(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	c := p.setup()
	type outcome struct {
		s   client.SignIn
		err error
	}
	r, w := io.Pipe()
	done := make(chan outcome, 1)
	go func() {
		s, err := c.Login(t.Context(), client.LoginOptions{NoBrowser: true, Out: w})
		done <- outcome{s, err}
	}()
	buf := make([]byte, 4096)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, r)
	page := regexp.MustCompile(`https://\S+`).FindString(string(buf[:n]))

	browser := h.server.Client()
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := browser.Get(page)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	back := res.Header.Get("Location")
	base, query, _ := strings.Cut(back, "?")
	for _, attack := range []string{base, base + "?code=evil&state=guess", base + "?code=evil", strings.Replace(back, "/callback", "/x", 1)} {
		res, err := http.Get(attack)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode < 400 {
			t.Errorf("%s: %s", attack, res.Status)
		}
	}
	req, _ := http.NewRequest("GET", base+"?"+query, nil)
	req.Host = "rebound.example"
	if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusNotFound {
		t.Errorf("another Host: %v %v", res, err)
	}

	res, err = http.Get(back)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	res.Body.Close()
	if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy %q", csp)
	}
	if !strings.Contains(string(text), "You can close this tab") || !strings.Contains(string(text), "Test &lt;b&gt;") {
		t.Errorf("page:\n%s", text)
	}
	if got := <-done; got.err != nil || got.s.Subject != "ken" {
		t.Errorf("login: %v %v", got.s.Subject, got.err)
	}
}

func TestLoginEnds(t *testing.T) {
	h := newHouse(t)
	c := newPerson(t, h).setup()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	go func() { r.Read(make([]byte, 4096)); cancel(); io.Copy(io.Discard, r) }()
	if _, err := c.Login(ctx, client.LoginOptions{NoBrowser: true, Out: w}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
}

func TestNoLogin(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	c := p.setup()
	o := client.ConnectOptions{Login: "ken", Host: "web1", Port: "22"}
	if got := said(t, c.Connect(t.Context(), o)); got != "You are not signed in. Run: sekisho login" {
		t.Error(got)
	}
	h.expires.Store(5) // too short to be used
	c = p.login()
	if got := said(t, c.Connect(t.Context(), o)); got != "You are not signed in. Run: sekisho login" {
		t.Error(got)
	}
}

func TestLogout(t *testing.T) {
	h := newHouse(t)
	p := newPerson(t, h)
	c := p.login()
	if n, err := c.Logout(t.Context(), false); err != nil || n != 1 {
		t.Errorf("%d %v", n, err)
	}
	for _, name := range []string{"signin.json", "device.key"} {
		if _, err := os.Stat(filepath.Join(p.home, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if _, err := c.Logout(t.Context(), false); said(t, err) != "You are not signed in. Run: sekisho login" {
		t.Error(err)
	}
	p.login()
	h.server.Close()
	again, err := client.Open(p.home)
	if err != nil {
		t.Fatal(err)
	}
	_, err = again.Logout(t.Context(), false)
	if got := said(t, err); !strings.Contains(got, "could not be told") {
		t.Error(got)
	}
}
