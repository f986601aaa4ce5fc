package control_test

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/login"
)

func TestPages(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/":                                      {200, "sekisho login " + h.url},
		"/device":                                {200, "The code that your terminal shows"},
		"/style.css":                             {200, "prefers-color-scheme"},
		"/healthz":                               {200, "ok"},
		"/login":                                 {403, "not complete"},
		"/login?request=x":                       {403, "not complete"},
		"/login/callback?state=x":                {403, "expired or was used"},
		"/device?code=BBBB-BBBB":                 {403, "not known"},
		"/nowhere":                               {404, "no such page"},
		"/device/confirm":                        {404, "no such page"},
		"/login?request=" + sekisho.NewID("req"): {403, "expired or was used"},
	} {
		got := b.get(h.url + path)
		if got.StatusCode != want.status || !strings.Contains(got.body, want.text) {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
		if path == "/healthz" {
			continue
		}
		if csp := got.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if strings.Contains(got.body, "<script") || strings.Contains(got.body, " style=") {
			t.Errorf("%s: script or inline style", path)
		}
	}
}

// begin starts a device sign-in and gives its device and user code.
func (h *house) begin(name string) (*device, *apiv1.BeginResponse) {
	h.t.Helper()
	d := h.device()
	res, err := d.open.SignIn.Begin(h.t.Context(), connect.NewRequest(&apiv1.BeginRequest{CodeChallenge: challenge(), Device: name}))
	if err != nil {
		h.t.Fatal(err)
	}
	return d, res.Msg
}

var hidden = regexp.MustCompile(`name="(ticket|form)" value="([^"]+)"`)

func formOf(p page) url.Values {
	form := url.Values{}
	for _, m := range hidden.FindAllStringSubmatch(p.body, -1) {
		form.Set(m[1], m[2])
	}
	return form
}

func TestDeviceSignIn(t *testing.T) {
	h := newHouse(t)
	h.idp.next = sekisho.Identity{Subject: "alice@example.com", Issuer: "i", IssuerSubject: "s"}
	d, begun := h.begin(`<img src=x onerror=alert(1)>"'`)
	finish := func() (*connect.Response[apiv1.FinishResponse], error) {
		return d.open.SignIn.Finish(t.Context(), connect.NewRequest(&apiv1.FinishRequest{Request: begun.Request, CodeVerifier: verifier}))
	}
	if res, err := finish(); err != nil || !res.Msg.Pending {
		t.Fatalf("before: %v, %v", res, err)
	}

	b := h.browser()
	asked := b.get(begun.Url)
	if !strings.Contains(asked.body, begun.UserCode) || strings.Contains(asked.body, "<img") || !strings.Contains(asked.body, "&lt;img src=x") {
		t.Fatalf("page: %s", asked.body)
	}
	form := formOf(asked)
	left := b.post(h.url+"/device/confirm", form)
	m := regexp.MustCompile(`href="(https://idp\.example\.com/authorize\?[^"]*)"`).FindStringSubmatch(left.body)
	if left.StatusCode != 200 || m == nil || strings.Contains(left.body, "<script>") {
		t.Fatalf("confirmed: %d %s", left.StatusCode, left.body)
	}
	if !strings.Contains(left.body, `http-equiv="refresh" content="0;url=https://idp.example.com/authorize?state=`) {
		t.Errorf("the page does not go on by itself: %s", left.body)
	}
	state := must(url.Parse(strings.ReplaceAll(m[1], "&amp;", "&")))(t).Query().Get("state")
	done := b.get(h.url + login.PathCallback + "?code=c&state=" + url.QueryEscape(state))
	if done.StatusCode != 200 || !strings.Contains(done.body, "alice@example.com") {
		t.Fatalf("done: %d %s", done.StatusCode, done.body)
	}
	if len(b.cookies) > 1 {
		t.Errorf("cookies left: %v", b.cookies)
	}
	res, err := finish()
	if err != nil || res.Msg.SignIn.GetSubject() != "alice@example.com" {
		t.Fatalf("finish: %v, %v", res, err)
	}
	if _, err := finish(); err == nil {
		t.Error("finished twice")
	}

	// The token opens calls for this key, until it is ended.
	d.token = res.Msg.Token
	status, err := d.SignIn.Status(t.Context(), connect.NewRequest(&apiv1.StatusRequest{}))
	if err != nil || len(status.Msg.SignIns) != 1 || !status.Msg.SignIns[0].Current {
		t.Fatalf("status: %v, %v", status, err)
	}
	if ended, err := d.SignIn.End(t.Context(), connect.NewRequest(&apiv1.EndRequest{})); err != nil || ended.Msg.Ended != 1 {
		t.Fatalf("end: %v, %v", ended, err)
	}
	_, err = d.SignIn.Status(t.Context(), connect.NewRequest(&apiv1.StatusRequest{}))
	wantCode(t, "after the end", err, connect.CodeUnauthenticated)
}

// mallory begins a device sign-in and wants alice's browser to confirm it.
func TestConfirmCannotBeForged(t *testing.T) {
	h := newHouse(t)
	_, begun := h.begin("mallory")
	mallory := h.browser()
	ticket := formOf(mallory.get(begun.Url))
	for name, try := range map[string]func(alice *browser) page{
		"without a cookie": func(alice *browser) page { return alice.post(h.url+"/device/confirm", ticket) },
		"with alice's own cookie": func(alice *browser) page {
			_, own := h.begin("alice")
			alice.get(own.Url)
			return alice.post(h.url+"/device/confirm", ticket)
		},
		"by a link":                func(alice *browser) page { return alice.get(h.url + "/login?request=" + ticket.Get("ticket")) },
		"by a link to the request": func(alice *browser) page { return alice.get(h.url + "/login?request=" + begun.Request) },
		"by a GET":                 func(alice *browser) page { return alice.get(h.url + "/device/confirm?" + ticket.Encode()) },
		"from another origin": func(alice *browser) page {
			alice.cookies = mallory.cookies
			alice.header.Set("Origin", "https://evil.example.com")
			return alice.post(h.url+"/device/confirm", ticket)
		},
		"from another site": func(alice *browser) page {
			alice.cookies = mallory.cookies
			alice.header.Set("Sec-Fetch-Site", "cross-site")
			return alice.post(h.url+"/device/confirm", ticket)
		},
		"in a frame": func(alice *browser) page {
			alice.header.Set("Sec-Fetch-Dest", "iframe")
			return alice.get(begun.Url)
		},
		"with an empty form": func(alice *browser) page {
			alice.cookies["__Host-sekisho-form"] = ""
			return alice.post(h.url+"/device/confirm", url.Values{"ticket": ticket["ticket"], "form": {""}})
		},
	} {
		got := try(h.browser())
		if got.StatusCode < 400 || strings.Contains(got.body, "idp.example.com") {
			t.Errorf("%s: %d %s", name, got.StatusCode, got.body)
		}
	}
}

func TestCallbackBelongsToItsBrowser(t *testing.T) {
	h := newHouse(t)
	h.idp.next = sekisho.Identity{Subject: "mallory@example.com", Issuer: "i", IssuerSubject: "s"}
	d := h.device()
	begin := func() (request string, b *browser, state string) {
		begun, err := d.open.SignIn.Begin(t.Context(), connect.NewRequest(&apiv1.BeginRequest{CodeChallenge: challenge(), RedirectUri: "http://127.0.0.1:9/x", State: "s"}))
		if err != nil {
			t.Fatal(err)
		}
		b = h.browser()
		to := b.get(begun.Msg.Url)
		if to.StatusCode != http.StatusFound {
			t.Fatalf("visit: %d %s", to.StatusCode, to.body)
		}
		return begun.Msg.Request, b, must(url.Parse(to.Header.Get("Location")))(t).Query().Get("state")
	}
	_, _, state := begin()
	alice := h.browser()
	if got := alice.get(h.url + login.PathCallback + "?code=c&state=" + state); got.StatusCode != http.StatusForbidden {
		t.Errorf("another browser: %d", got.StatusCode)
	}

	// One browser, two terminals: neither visit disturbs the other.
	_, one, first := begin()
	_, two, other := begin()
	for name, value := range two.cookies {
		one.cookies[name] = value
	}
	for _, state := range []string{first, other} {
		got := one.get(h.url + login.PathCallback + "?code=c&state=" + state)
		if !strings.HasPrefix(got.Header.Get("Location"), "http://127.0.0.1:9/x?") {
			t.Errorf("one of two visits: %d %s", got.StatusCode, got.body)
		}
	}

	// What the IdP refuses is said in the terminal.
	h.idp.fail = errors.New("<b>no</b>")
	_, b, state := begin()
	got := b.get(h.url + login.PathCallback + "?code=c&state=" + state)
	if to := must(url.Parse(got.Header.Get("Location")))(t); to.Host != "127.0.0.1:9" || to.Query().Get("error") == "" || to.Query().Get("code") != "" {
		t.Errorf("refused: %d %s", got.StatusCode, to)
	}
}

func TestNoOpenRedirect(t *testing.T) {
	h := newHouse(t)
	for _, uri := range []string{
		"https://evil.example.com/", "http://localhost:80/", "http://127.0.0.1.evil.example.com:80/", "http://127.0.0.1:80@evil.example.com/",
		"http://127.0.0.1/", "javascript:alert(1)", "//evil.example.com", "http://[::1]:1/#x", "http://127.0.0.1:1\\@evil.example.com/",
	} {
		_, err := h.device().open.SignIn.Begin(t.Context(), connect.NewRequest(&apiv1.BeginRequest{CodeChallenge: challenge(), RedirectUri: uri, State: "s"}))
		wantCode(t, uri, err, connect.CodeInvalidArgument)
	}
	b := h.browser()
	for _, path := range []string{"//evil.example.com/..", "/login?request=https://evil.example.com", "/%2f%2fevil.example.com/"} {
		if to := b.get(h.url + path).Header.Get("Location"); strings.Contains(to, "evil.example.com") && !strings.HasPrefix(to, "/evil") {
			t.Errorf("%s redirects to %s", path, to)
		}
	}
}
