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

// explain prints what to type next, in no more lines than a small terminal has.
func (h *house) explain(w io.Writer) {
	mei, ken, hana := h.People["mei"], h.People["ken"], h.People["hana"]
	fmt.Fprintf(w, `
The house stands on %s; all about it is in %s/demo.json.

  people (password, group)  mei@example.com (%s, %s), ken@example.com (%s, %s), hana@example.com (%s, %s)
  targets                   web1 (env:dev, passed through), db1 (env:prod, through the audit door, recorded)

Be mei, in another terminal:
  export PATH=%s:$PATH SEKISHO_HOME=%s
  export SEKISHO_BROWSER=%s   # or your own, which warns of the demo's certificate
  cd %s
  sekisho login %s --ca-file ../sekishod/data/tls/ca.pem
  sekisho ssh-config > mei.ssh_config
  ssh -F mei.ssh_config web1
  ssh -F mei.ssh_config db1 uname -a
  sekisho recordings list; sekisho recordings play SESSION --key ../auditor.key
  sekisho recordings commands SESSION --key ../auditor.key; sekisho recordings search uname --key ../auditor.key
  echo 'get /etc/hostname hostname' | sftp -F mei.ssh_config db1
  sekisho audit list; sekisho audit verify
By the gateway's SSH port, %d, with your own ssh-agent (eval "$(ssh-agent)" starts one):
  sekisho login --agent; ssh -F mei.ssh_config %s%%db1@sekisho-gateway
By a forward, once @forward("127.0.0.1:*") stands below @audit("strict") in ../sekishod/policies/demo.cedar:
  ssh -F mei.ssh_config -L 8000:127.0.0.1:%d db1   # then curl http://127.0.0.1:8000/healthz
Live, once Action::"watchSessions" stands beside Action::"readAudit" of sre-look in the same file:
  sekisho sessions list; sekisho sessions watch SESSION --key ../auditor.key; sekisho sessions end SESSION

Ctrl-C ends everything. DEMO_DIR=FOLDER make demo keeps its state in that folder; otherwise it is deleted.
`, h.URL, h.Dir, mei.Password, mei.Group, ken.Password, ken.Group, hana.Password, hana.Group,
		h.Bin, mei.Home, mei.Browser, filepath.Dir(mei.Home), h.URL, h.SSHPort, h.Login, h.IdPPort)
}
