package client

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"time"

	"github.com/sekisho/sekisho"
)

// loopback is the one-page web server that the browser is sent back to. It takes one answer that carries its
// state; all else gets an error page and changes nothing, because any web page can send a browser here.
type loopback struct {
	state    string
	name     string
	listener net.Listener
	server   *http.Server
	answer   chan callback
}

type callback struct {
	code string
	err  error
}

func listenLoopback(name string) (*loopback, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the browser: %w", err)
	}
	b := &loopback{state: rand.Text(), name: name, listener: l, answer: make(chan callback, 1)}
	b.server = &http.Server{Handler: b, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10}
	go b.server.Serve(l)
	return b, nil
}

func (b *loopback) uri() string { return "http://" + b.listener.Addr().String() + "/callback" }

// close lets a page that is being sent arrive first.
func (b *loopback) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if b.server.Shutdown(ctx) != nil {
		b.server.Close()
	}
}

func (b *loopback) wait(ctx context.Context) (code string, err error) {
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case got := <-b.answer:
		return got.code, got.err
	}
}

func (b *loopback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	q := r.URL.Query()
	switch {
	// The Host check keeps out names that somebody has pointed at 127.0.0.1.
	case r.Method != http.MethodGet || r.URL.Path != "/callback" || r.Host != b.listener.Addr().String():
		b.page(w, http.StatusNotFound, "There is nothing here.")
	case subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(b.state)) != 1:
		b.page(w, http.StatusBadRequest, "This is not the sign-in that was started on this machine.")
	case q.Get("code") == "":
		b.page(w, http.StatusOK, "You are not signed in. You can close this tab.")
		b.give(callback{err: notSignedIn(q.Get("error_description"))})
	default:
		b.page(w, http.StatusOK, "You are signed in. You can close this tab.")
		b.give(callback{code: q.Get("code")})
	}
}

func (b *loopback) give(c callback) {
	select {
	case b.answer <- c:
	default: // a reload of the page: the first answer counts
	}
}

func notSignedIn(why string) error {
	r := &sekisho.Refusal{Sentence: "The sign-in was not completed.", Next: "Run: sekisho login"}
	if why != "" {
		r.Sentence, r.Next = fmt.Sprintf("The sign-in was not completed: %.300s", why), "" // why says what to do
	}
	return r
}

// The page looks like control's own, but loads nothing: its style is in it, and named in the policy by its digest.
const pageStyle = `:root{color-scheme:light dark;--accent:#a23020;--line:#d9d5cc}
body{font:1.05rem/1.6 system-ui,sans-serif;max-width:34rem;margin:2.5rem auto;padding:0 1.25rem}
h1{font-size:1rem;font-weight:400;border-bottom:1px solid var(--line);padding-bottom:1rem}
p{font-size:1.5rem;font-weight:600;border-left:4px solid var(--accent);padding-left:1rem}`

var pagePolicy = func() string {
	digest := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(digest[:]) +
		"'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}()

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sekisho</title><style>` + pageStyle + `</style><h1>{{.Name}}</h1><p>{{.Sentence}}</p></html>
`))

func (b *loopback) page(w http.ResponseWriter, status int, sentence string) {
	name := b.name
	if name == "" {
		name = "Sekisho"
	}
	w.WriteHeader(status)
	// A browser that hangs up early has seen what it wanted to see.
	_ = pageTemplate.Execute(w, struct{ Name, Sentence string }{name, sentence})
}
