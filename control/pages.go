package control

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/login"
)

//go:embed pages
var pageFiles embed.FS

const (
	pathConfirm = login.PathDevice + "/confirm"
	pathStyle   = "/style.css"
	// cookieLife is as long as a sign-in may take to be finished.
	cookieLife = 10 * time.Minute
	maxForm    = 4 << 10 // bytes
)

// The pages load one style sheet of ours and nothing else: no script, no frame, no image.
const contentPolicy = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// pages are what a browser sees while a person signs in.
type pages struct {
	*door
	templates *template.Template
	style     []byte
	// prefix binds cookies to this host alone where the browser can do that (RFC 6265bis: __Host-).
	prefix string
	secure bool
}

func newPages(d *door) http.Handler {
	p := &pages{door: d, secure: strings.HasPrefix(d.origin, "https://")}
	if p.secure {
		p.prefix = "__Host-"
	}
	p.templates = template.Must(template.ParseFS(pageFiles, "pages/*.html"))
	p.style, _ = pageFiles.ReadFile("pages/style.css") // embedded: TestPages reads it
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.home)
	mux.HandleFunc("GET "+pathStyle, p.css)
	mux.HandleFunc("GET "+login.PathVisit, p.visit)
	mux.HandleFunc("GET "+login.PathCallback, p.callback)
	mux.HandleFunc("GET "+login.PathDevice, p.device)
	mux.HandleFunc("POST "+pathConfirm, p.confirm)
	mux.HandleFunc("GET "+login.PathProve+"/{question}", p.prove)
	mux.HandleFunc("POST "+login.PathProve+"/{question}", p.proveMe)
	mux.HandleFunc("/", p.missing)
	return p.guarded(mux)
}

// guarded sets what every page has in common.
func (p *pages) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		// Not no-referrer: with that, browsers send "Origin: null" with our own form.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if p.secure {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// view is what the templates are given. They escape all of it for where it stands.
type view struct {
	Title, Name string
	URL         string
	// Refusal
	Sentence, Next string
	// Device page, and the page of a question
	Code, Device, Address, Ticket, Form string
	Connection, Browser, Since          string
	// After sign-in
	Subject string
	To      string
}

func (p *pages) show(w http.ResponseWriter, status int, page string, v view) {
	v.Name, v.URL = p.Name, p.URL
	var out bytes.Buffer
	if err := p.templates.ExecuteTemplate(&out, page, v); err != nil {
		p.Log.Error("show page", "page", page, "error", err)
		http.Error(w, "Something went wrong on our side.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(out.Bytes()) // the browser may have gone
}

func (p *pages) home(w http.ResponseWriter, _ *http.Request) {
	p.show(w, http.StatusOK, "home.html", view{Title: "Sekisho"})
}

func (p *pages) css(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Write(p.style)
}

func (p *pages) missing(w http.ResponseWriter, _ *http.Request) {
	p.show(w, http.StatusNotFound, "error.html", view{
		Title: "Not found", Sentence: "There is no such page here.", Next: "Check the address.",
	})
}

func (p *pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	p.failAs(w, r, "Not signed in", err)
}

// failAs shows a refusal, or a general sentence where the fault is ours.
func (p *pages) failAs(w http.ResponseWriter, r *http.Request, title string, err error) {
	id := p.log(r.Context(), r.Pattern, r.RemoteAddr, err) // not the path, which may hold a link that is meant for one
	v := view{Title: title}
	status := http.StatusForbidden
	var refused *sekisho.Refusal
	switch {
	case errors.Is(err, login.ErrSlowDown):
		status = http.StatusTooManyRequests
	case errors.Is(err, login.ErrUnreachable):
		status = http.StatusBadGateway
	}
	if errors.As(err, &refused) {
		v.Sentence, v.Next = refused.Sentence, refused.Next
	} else {
		status = http.StatusInternalServerError
		v.Sentence, v.Next = sekisho.Say(err), "Its request ID is "+id+"."
	}
	p.show(w, status, "error.html", v)
}

// visit takes the browser that a client opened to the IdP. Tickets of the device page are not taken here: they have
// their own form, so that a link cannot stand for the person's "yes".
func (p *pages) visit(w http.ResponseWriter, r *http.Request) {
	request := r.URL.Query().Get("request")
	if !sekisho.CheckID("req", request) {
		p.fail(w, r, &sekisho.Refusal{Sentence: "This link is not complete.", Next: "Run: sekisho login"})
		return
	}
	to, err := p.leave(w, func() (string, string, error) { return p.Desk.Visit(r.Context(), request) })
	if err != nil {
		p.fail(w, r, err)
		return
	}
	http.Redirect(w, r, to, http.StatusFound)
}

// leave prepares the browser's way to the IdP and sets the cookie by which it is known again. Each visit has a cookie
// of its own name, so that several terminals can sign in through one browser at once.
func (p *pages) leave(w http.ResponseWriter, visit func() (authorizeURL, cookie string, err error)) (string, error) {
	to, cookie, err := visit()
	if err != nil {
		return "", err
	}
	u, err := url.Parse(to)
	if err != nil {
		return "", fmt.Errorf("read authorize URL: %w", err)
	}
	p.setCookie(w, p.visitCookie(u.Query().Get("state")), cookie, http.SameSiteLaxMode)
	return to, nil
}

func (p *pages) visitCookie(state string) string { return p.cookieOf("visit", state) }

// cookieOf names a cookie for one thing of its kind.
func (p *pages) cookieOf(kind, thing string) string {
	sum := sha256.Sum256([]byte(thing))
	return p.prefix + "sekisho-" + kind + "-" + hex.EncodeToString(sum[:8])
}

func (p *pages) setCookie(w http.ResponseWriter, name, value string, site http.SameSite) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(cookieLife.Seconds()), HttpOnly: true, Secure: p.secure, SameSite: site,
	})
}

// callback takes the browser back from the IdP.
func (p *pages) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	state := q.Get("state")
	name, cookie := p.visitCookie(state), ""
	if c, err := r.Cookie(name); err == nil {
		cookie = c.Value
		http.SetCookie(w, &http.Cookie{Name: name, Path: "/", MaxAge: -1, HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode})
	}
	out, err := p.Desk.Callback(r.Context(), state, q.Get("code"), cookie, q.Get("error"))
	switch {
	case err != nil && out.RedirectTo != "": // the waiting terminal says it
		p.log(r.Context(), r.URL.Path, r.RemoteAddr, err)
		http.Redirect(w, r, out.RedirectTo, http.StatusFound)
	case err != nil && out.Connection != "":
		p.failAs(w, r, notProvedTitle, err)
	case err != nil:
		p.fail(w, r, err)
	case out.RedirectTo != "":
		http.Redirect(w, r, out.RedirectTo, http.StatusFound)
	case out.Connection != "":
		p.proved(w, out)
	default:
		p.show(w, http.StatusOK, "done.html", view{Title: "Signed in", Subject: out.Identity.Subject})
	}
}

// device asks for the code in the person's terminal, and then whether what asks is really theirs.
func (p *pages) device(w http.ResponseWriter, r *http.Request) {
	code := r.URL.Query().Get("code")
	if code == "" {
		p.show(w, http.StatusOK, "code.html", view{Title: "Sign in a terminal"})
		return
	}
	// Only a person's own click may spend guesses of their address: no image or frame on another's page.
	if dest := r.Header.Get("Sec-Fetch-Dest"); dest != "" && dest != "document" {
		http.Error(w, "This page cannot be embedded.", http.StatusForbidden)
		return
	}
	asked, err := p.Desk.LookUp(r.Context(), code, text(addressOf(r.RemoteAddr)))
	if err != nil {
		p.fail(w, r, err)
		return
	}
	form := rand.Text()
	p.setCookie(w, p.prefix+"sekisho-form", form, http.SameSiteStrictMode)
	p.show(w, http.StatusOK, "device.html", view{
		Title: "Is this your terminal?", Code: asked.UserCode, Device: asked.Device, Address: asked.ClientAddress,
		Ticket: asked.Request, Form: form,
	})
}

// confirm is the person's "yes, that is my terminal". Another site cannot say it for them: it can read neither the
// form's value nor set the cookie that must equal it.
func (p *pages) confirm(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := p.checkForm(r, p.prefix+"sekisho-form"); err != nil {
		p.fail(w, r, &sekisho.Refusal{
			Sentence: "This form has expired or did not come from our page.", Next: "Type the code again at " + p.URL + login.PathDevice + ".",
			Cause: err,
		})
		return
	}
	ticket := r.PostForm.Get("ticket")
	if !sekisho.CheckID("tkt", ticket) {
		p.fail(w, r, &sekisho.Refusal{Sentence: "This form is not complete.", Next: "Type the code again at " + p.URL + login.PathDevice + "."})
		return
	}
	to, err := p.leave(w, func() (string, string, error) { return p.Desk.Visit(r.Context(), ticket) })
	if err != nil {
		p.fail(w, r, err)
		return
	}
	// A page and not a redirect: form-action 'self' would stop a redirect of a form to the IdP.
	p.show(w, http.StatusOK, "leave.html", view{Title: "Sign in", To: to})
}

// checkForm says whether a form is one that we have shown to this browser, with that cookie.
func (p *pages) checkForm(r *http.Request, cookie string) error {
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" {
		return fmt.Errorf("sent from %.20q", site)
	}
	if origin := r.Header.Get("Origin"); origin != "" && origin != p.origin {
		return fmt.Errorf("sent from origin %.80q", origin)
	}
	if err := r.ParseForm(); err != nil {
		return fmt.Errorf("read form: %w", err)
	}
	c, err := r.Cookie(cookie)
	if err != nil {
		return fmt.Errorf("read cookie: %w", err)
	}
	if form := r.PostForm.Get("form"); form == "" || subtle.ConstantTimeCompare([]byte(form), []byte(c.Value)) != 1 {
		return errors.New("form and cookie differ")
	}
	return nil
}
