package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// awaitLink waits until the target's connector has linked and its sshd trusts what it should.
func (h *house) awaitLink(ctx context.Context, t *target) error {
	return await(ctx, "the connector does not link (see log/connector-"+t.Name+".log)", func() error {
		log, err := os.ReadFile(h.Processes["connector-"+t.Name].Log)
		if err != nil {
			return err
		}
		if !strings.Contains(string(log), "linked") {
			return fmt.Errorf("not linked yet")
		}
		if _, err := os.Stat(filepath.Join(t.Dir, "sekisho", "principals", t.Login)); err != nil {
			return err
		}
		return nil
	})
}

// explain prints what to type next.
func (h *house) explain(w io.Writer) {
	mei := h.People["mei"]
	fmt.Fprintf(w, `
The house stands on %s; everything about it is in %s/demo.json.

  people (password)  mei@example.com (%s, group sre), ken@example.com (%s, group dev), hana@example.com (%s, group leads)
  targets            web1 (env:dev, passed through), db1 (env:prod, through the audit door, recorded)

Be mei, in another terminal:

  export PATH=%s:$PATH SEKISHO_HOME=%s
  sekisho login %s --ca-file %s
      (your browser warns of the demo's own certificate; or: export SEKISHO_BROWSER=%s)
  sekisho ssh-config > %s
  ssh -F %s web1
  ssh -F %s db1 uname -a
  sekisho recordings list
  sekisho recordings play SESSION --key %s
  sekisho audit list
  sekisho audit verify

Ctrl-C ends everything.
`, h.URL, h.Dir, mei.Password, h.People["ken"].Password, h.People["hana"].Password,
		h.Bin, mei.Home, h.URL, h.CAFile, mei.Browser, mei.SSHConfig, mei.SSHConfig, mei.SSHConfig, h.Auditor.PrivateKey)
}
