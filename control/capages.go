package control

import (
	"io"
	"net/http"
	"regexp"
	"strings"

	"github.com/sekisho/sekisho/ca"
)

// mountCAs serves the public keys of CAs to machines that know no API. They are public: nobody is asked who they are.
func (d *door) mountCAs(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/ca/{file}", d.caKeys)
	mux.HandleFunc("GET /v1/ca/known_hosts", d.knownHosts)
}

// caKeys gives the public keys of a CA that are in force, a line each: what sshd's TrustedUserCAKeys takes.
func (d *door) caKeys(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutSuffix(r.PathValue("file"), ".pub")
	if !ok || ca.CheckName(name) != nil {
		http.NotFound(w, r)
		return
	}
	c, err := d.Rotation.CA.CA(name)
	if err != nil {
		http.NotFound(w, r)
		return
	}
	var lines strings.Builder
	for _, k := range c.Keys {
		if k.State.InForce() {
			lines.WriteString(k.Line + " sekisho-" + name + "-ca\n")
		}
	}
	plainPage(w, lines.String())
}

const maxPatterns = 2048 // bytes

// hostPattern is one pattern of known_hosts, or several with commas between them (sshd(8)); none is negated.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9.*?_:\[\]-]+(,[A-Za-z0-9.*?_:\[\]-]+)*$`)

// knownHosts gives the @cert-authority lines of the host CA, for the patterns that ?hosts= names, else for those of people's
// ssh_config, else for all hosts.
func (d *door) knownHosts(w http.ResponseWriter, r *http.Request) {
	hosts := r.URL.Query().Get("hosts")
	if hosts == "" {
		hosts = strings.Join(d.SSHHosts, ",")
	}
	if hosts == "" {
		hosts = "*"
	}
	if len(hosts) > maxPatterns || !hostPattern.MatchString(hosts) {
		http.Error(w, "hosts: want host patterns with commas between them, such as *.example.com", http.StatusBadRequest)
		return
	}
	var lines strings.Builder
	for _, line := range d.CA.Lines().Host {
		lines.WriteString("@cert-authority " + hosts + " " + line + " sekisho-host-ca\n")
	}
	plainPage(w, lines.String())
}

func plainPage(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	io.WriteString(w, text)
}
