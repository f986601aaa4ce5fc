package control

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/login"
)

// prove shows for which connection somebody is to prove themselves. It changes nothing, so that whatever follows links
// before people do is harmless.
func (p *pages) prove(w http.ResponseWriter, r *http.Request) {
	// Only a page of its own can be read by a person with the address above it.
	if dest := r.Header.Get("Sec-Fetch-Dest"); dest != "" && dest != "document" {
		http.Error(w, "This page cannot be embedded.", http.StatusForbidden)
		return
	}
	q, err := p.Desk.Asked(r.Context(), r.PathValue("question"))
	if err != nil {
		p.failAs(w, r, notProvedTitle, err)
		return
	}
	form := rand.Text() // with a cookie of its own, because several connections may wait at once
	p.setCookie(w, p.cookieOf("prove", r.PathValue("question")), form, http.SameSiteStrictMode)
	p.show(w, http.StatusOK, "prove.html", view{
		Title: "Is this your connection?", Code: q.Code, Connection: q.Connection(), Address: q.ClientAddress,
		Browser: text(addressOf(r.RemoteAddr)), Since: since(q.Begun, p.Now()), Subject: q.Subject, Form: form,
	})
}

const notProvedTitle = "Not proved"

// since says when something began, in words that need no time zone.
func since(begun, now time.Time) string {
	seconds := max(0, int(now.Sub(begun).Seconds()))
	return fmt.Sprintf("%d s ago (%s UTC)", seconds, begun.UTC().Format("15:04:05"))
}

// proveMe is the person's "yes, that is my connection", which another site cannot say for them.
func (p *pages) proveMe(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := p.checkForm(r, p.cookieOf("prove", r.PathValue("question"))); err != nil {
		p.failAs(w, r, notProvedTitle, &sekisho.Refusal{
			Sentence: "This form has expired or did not come from our page.", Next: "Open the link in your terminal again.", Cause: err,
		})
		return
	}
	to, err := p.leave(w, func() (string, string, error) { return p.Desk.Confirm(r.Context(), r.PathValue("question")) })
	if err != nil {
		p.failAs(w, r, notProvedTitle, err)
		return
	}
	p.show(w, http.StatusOK, "leave.html", view{Title: "Sign in", To: to})
}

// proved is the page after the way back from the IdP.
func (p *pages) proved(w http.ResponseWriter, out login.Outcome) {
	p.show(w, http.StatusOK, "proved.html", view{Title: "Proved", Subject: out.Identity.Subject, Connection: out.Connection})
}
