package control

import (
	"bytes"
	"context"
	"net/http"
	"strconv"

	"github.com/sekisho/sekisho/ca"
)

// Where the revocation lists are: OpenSSH KRLs, for everybody.
const (
	pathRevokedUsers = "/v1/ca/revoked-users.krl"
	pathRevokedHosts = "/v1/ca/revoked-hosts.krl"
)

// revokedUsers serves the list for RevokedKeys of sshd.
func (d *door) revokedUsers(w http.ResponseWriter, r *http.Request) {
	d.serveList(w, r, d.Revoked.Users)
}

// revokedHosts serves the list for RevokedHostKeys of ssh.
func (d *door) revokedHosts(w http.ResponseWriter, r *http.Request) {
	d.serveList(w, r, d.Revoked.Hosts)
}

// serveList answers with the newest list; its ETag is the list's number. If-Modified-Since is not looked at: two lists may be
// of the same second, and whoever asked by time would stay with the first.
func (d *door) serveList(w http.ResponseWriter, r *http.Request, list func(context.Context) (*ca.RevocationList, error)) {
	l, err := list(r.Context())
	if err != nil {
		id := d.log(r.Context(), r.URL.Path, r.RemoteAddr, err)
		http.Error(w, "The revocation list cannot be given. The request ID is "+id+".", http.StatusInternalServerError)
		return
	}
	r.Header.Del("If-Modified-Since")
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", `"`+strconv.FormatUint(l.Number, 10)+`"`)
	http.ServeContent(w, r, "", l.Generated, bytes.NewReader(l.KRL))
}
