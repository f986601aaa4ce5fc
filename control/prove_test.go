package control_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/login"
)

// ask lets a connection to root@db1 wait for alice.
func (h *house) ask() *login.Challenge {
	h.t.Helper()
	return must(h.desk.Ask(h.t.Context(), login.Question{
		Subject: "alice@example.com", Why: "no certificate", Login: "root", Target: "db1", ClientAddress: "192.0.2.7",
	}))(h.t)
}

var refresh = regexp.MustCompile(`content="0;url=([^"]*)"`)

// press presses the button of a question's page and gives the IdP's state.
func (b *browser) press(link string, form url.Values) (state string, p page) {
	b.house.t.Helper()
	p = b.post(link, form)
	m := refresh.FindStringSubmatch(p.body)
	if m == nil {
		return "", p
	}
	to := must(url.Parse(strings.ReplaceAll(m[1], "&amp;", "&")))(b.house.t)
	if to.Query().Get("prompt") != "login" {
		b.house.t.Errorf("the IdP is not asked to have it proved again: %s", to)
	}
	return to.Query().Get("state"), p
}

func TestProve(t *testing.T) {
	h := newHouse(t)
	c := h.ask()
	h.pass(7 * time.Second)
	// A browser that has never been here, as on a phone.
	b := h.browser()
	shown := b.get(c.Link)
	for _, want := range []string{c.Code, "root@db1", "192.0.2.7", "this browser: 127.0.0.1", "7 s ago", "alice@example.com", "Did somebody send you this link"} {
		if !strings.Contains(shown.body, want) {
			t.Errorf("no %q on the page:\n%s", want, shown.body)
		}
	}
	if shown.StatusCode != http.StatusOK || strings.Contains(shown.body, "<script") || !strings.Contains(shown.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("page %d, policy %q", shown.StatusCode, shown.Header.Get("Content-Security-Policy"))
	}
	h.idp.next = sekisho.Identity{Subject: "alice@example.com", Issuer: "i", IssuerSubject: "s"}
	state, left := b.press(c.Link, formOf(shown))
	if left.StatusCode != http.StatusOK || state == "" {
		t.Fatalf("pressed: %d %s", left.StatusCode, left.body)
	}
	done := b.get(h.url + login.PathCallback + "?code=c&state=" + url.QueryEscape(state))
	if done.StatusCode != http.StatusOK || !strings.Contains(done.body, "Your connection to root@db1 goes on") || !strings.Contains(done.body, "alice@example.com") {
		t.Fatalf("done: %d %s", done.StatusCode, done.body)
	}
	s := must(c.Wait(t.Context()))(t)
	if s.Identity.Subject != "alice@example.com" || s.Device != "ssh to root@db1" {
		t.Errorf("sign-in %+v", s)
	}
	if got := b.get(c.Link); got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "used already") {
		t.Errorf("the link again: %d %s", got.StatusCode, got.body)
	}
	// A link is for one person: the log of what was refused does not hold it.
	if question := c.Link[strings.LastIndex(c.Link, "/")+1:]; strings.Contains(h.logged.String(), question) {
		t.Error("the link is in the log")
	}
}

// What looks at links before people do, answers nothing.
func TestProveByLinkDoesNothing(t *testing.T) {
	h := newHouse(t)
	c := h.ask()
	for range 50 {
		b := h.browser()
		if got := b.get(c.Link); got.StatusCode != http.StatusOK || strings.Contains(got.body, "idp.example.com") {
			t.Fatalf("%d %s", got.StatusCode, got.body)
		}
		b.do(http.MethodHead, c.Link, "")
	}
	if n := len(h.events("proof.")); n != 1 {
		t.Errorf("%d events", n)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s, err := c.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", s, err)
	}
}

// mallory's connection waits, and she wants alice's browser to press the button.
func TestProveCannotBeForged(t *testing.T) {
	h := newHouse(t)
	c := h.ask()
	mallory := h.browser()
	form := formOf(mallory.get(c.Link))
	for name, try := range map[string]func(alice *browser) page{
		"without a cookie": func(alice *browser) page { return alice.post(c.Link, form) },
		"with alice's own cookie": func(alice *browser) page {
			alice.get(c.Link)
			return alice.post(c.Link, form)
		},
		"with her own form for another connection": func(alice *browser) page {
			own := formOf(alice.get(h.ask().Link))
			return alice.post(c.Link, own)
		},
		"by a link to the sign-in": func(alice *browser) page {
			return alice.get(h.url + "/login?request=" + c.Link[strings.LastIndex(c.Link, "/")+1:])
		},
		"by the device page's form": func(alice *browser) page {
			own := formOf(alice.get(c.Link))
			own.Set("ticket", c.Link[strings.LastIndex(c.Link, "/")+1:])
			return alice.post(h.url+"/device/confirm", own)
		},
		"from another origin": func(alice *browser) page {
			alice.cookies = mallory.cookies
			alice.header.Set("Origin", "https://evil.example.com")
			return alice.post(c.Link, form)
		},
		"from another site": func(alice *browser) page {
			alice.cookies = mallory.cookies
			alice.header.Set("Sec-Fetch-Site", "cross-site")
			return alice.post(c.Link, form)
		},
		"in a frame": func(alice *browser) page {
			alice.header.Set("Sec-Fetch-Dest", "iframe")
			return alice.get(c.Link)
		},
		"with an empty form": func(alice *browser) page {
			alice.get(c.Link)
			for name := range alice.cookies {
				alice.cookies[name] = ""
			}
			return alice.post(c.Link, url.Values{"form": {""}})
		},
		"with a guessed link": func(alice *browser) page {
			return alice.get(h.url + login.PathProve + "/" + sekisho.NewID("prf"))
		},
		"with a malformed link": func(alice *browser) page { return alice.get(h.url + login.PathProve + "/..%2flogin") },
	} {
		got := try(h.browser())
		if got.StatusCode < 400 || strings.Contains(got.body, "idp.example.com") || strings.Contains(got.Header.Get("Location"), "idp.example.com") {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
}

// mallory opens alice's link and proves who she is: that is not alice.
func TestProveByAnother(t *testing.T) {
	h := newHouse(t)
	c := h.ask()
	h.idp.next = sekisho.Identity{Subject: "mallory@example.com", Issuer: "i", IssuerSubject: "m"}
	b := h.browser()
	state, _ := b.press(c.Link, formOf(b.get(c.Link)))
	got := b.get(h.url + login.PathCallback + "?code=c&state=" + url.QueryEscape(state))
	if got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "Not proved") || !strings.Contains(got.body, "belongs to somebody else") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if _, err := c.Wait(t.Context()); err == nil {
		t.Error("the connection goes on")
	}
	if ev := h.events(sekisho.EventProofRefused); len(ev) != 1 || ev[0].Actor != "mallory@example.com" {
		t.Errorf("noted %v", ev)
	}
}
