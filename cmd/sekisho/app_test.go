package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// command runs one command line as main does.
func command(t *testing.T, home string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	a := &app{ctx: t.Context(), in: strings.NewReader(""), out: &o, err: &e}
	if home != "" {
		args = append([]string{"--home", home}, args...)
	}
	code = a.main(args)
	return code, o.String(), e.String()
}

func TestExitCodes(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"version", 0, "sekisho devel"},
		{"--help", 0, "Usage: sekisho <command>"},
		{"connect --help", 0, "ProxyCommand sekisho connect"},
		{"targets", 1, "sekisho: This machine does not know your Sekisho yet. Run: sekisho login URL"},
		{"connect --login ken web1 22", 1, "sekisho login URL"},
		{"login http://sekisho.example.com", 1, "Only https"},
		{"nonsense", 2, "unexpected argument"},
		{"connect web1 22", 2, "--login"},
		{"login --device --no-browser", 2, "can't be used together"},
		{"login --ca-file /does/not/exist", 2, "no such file"},
		{"login --agent", 1, "sekisho login URL"},
		{"login --help", 0, "--fresh"},
		{"completion tcsh", 2, "must be one of"},
	} {
		code, out, errs := command(t, home, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(out+errs, c.says) {
			t.Errorf("sekisho %s: %d, want %d and %q:\n%s%s", c.args, code, c.code, c.says, out, errs)
		}
		if code != 0 && (out != "" || !strings.HasPrefix(errs, "sekisho: ")) {
			t.Errorf("sekisho %s: stdout %q, stderr %q: want one sentence on stderr", c.args, out, errs)
		}
	}
}

// Every command explains itself and shows how it is used.
func TestHelp(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Name("sekisho"), kong.ExplicitGroups(groups))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range parser.Model.Leaves(true) {
		if n.Path() == "version" {
			continue
		}
		if n.Help == "" || !strings.Contains(n.Detail, "    sekisho "+n.Path()) && n.Path() != "connect" {
			t.Errorf("sekisho %s: help without an example of it:\n%s", n.Path(), n.Detail)
		}
	}
}

func TestTerminalIsNotSteered(t *testing.T) {
	var o bytes.Buffer
	a := &app{out: &o}
	if err := a.table([]string{"A", "B"}, [][]string{{"\x1b[2Jx", "y\u202e"}, {"日本", "z"}}); err != nil {
		t.Fatal(err)
	}
	if want := "A      B\n?[2Jx  y?\n日本     z\n"; o.String() != want {
		t.Errorf("%q, want %q", o.String(), want)
	}
}

func TestCompletion(t *testing.T) {
	_, script, _ := command(t, "", "completion", "bash")
	if _, err := exec.LookPath("bash"); err != nil {
		t.Fatal("no bash here: run dev/prepare.sh")
	}
	for _, c := range []struct{ typed, want, not string }{
		{"sekisho lo", "login\nlogout\n", "status"},
		{"sekisho login --ca", "--ca-file\n--ca-pin\n", "--json"},
		{"sekisho completion ", "bash\nzsh\nfish\n", "login"},
		{"sekisho --home /x audit ver", "verify\n", "list"},
		{"sekisho audit list --kind sign", "sign-in\nsign-in.refused\nsign-in.ended\n", "session"},
		{"sekisho recordings export --format ", "text\n", "--key"},
		{"sekisho keys generate --kem mlkem768-", "mlkem768-x25519\nmlkem768-p256\n", "--label"},
		{"sekisho recordings play --key ", "dpo\nspare\n", "--speed"},
		{"sekisho keys show sp", "spare\n", "dpo"},
		{"sekisho sessions watch ", "ses_live\n", "mei"},
		{"sekisho sessions end ses_", "ses_mine\n", "ses_live"},
		{"sekisho sessions end --p", "--person\n", "asked"},
		{"sekisho recordings show ", "asked\nses_kept\n", "ses_live"},
		{"sekisho recordings play x.rec --key ", "dpo\nspare\n", "asked"},
	} {
		words := strings.Split(c.typed, " ")
		run := "exec 3>&1\n" + script + offers + "\nCOMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _sekisho; printf '%s\\n' \"${COMPREPLY[@]}\""
		out, err := exec.Command("bash", append([]string{"-c", run, "bash"}, words...)...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) || strings.Contains(string(out), c.not) {
			t.Errorf("%q: %v, want %q and no %q:\n%s", c.typed, err, c.want, c.not, out)
		}
	}
}

// offers is a sekisho that only completes. To descriptor 3, where there is one, it tells when a server would be asked.
const offers = `
sekisho() {
  case "$*" in
  *" ids"*) { echo asked >&3; } 2>/dev/null ;;
  esac
  case "$*" in
  "keys names") printf 'dpo\nspare\n' ;;
  "sessions ids watch") printf 'ses_live\tmei on db1: idle\n' ;;
  "sessions ids end") printf 'ses_mine\tmei\n' ;;
  "recordings ids") printf 'ses_kept\tken as root\n' ;;
  esac
}
`

// The other shells at least take the scripts, where they are there to ask.
func TestCompletionSyntax(t *testing.T) {
	for _, shell := range []string{"zsh", "fish"} {
		code, script, _ := command(t, "", "completion", shell)
		if code != 0 || !strings.Contains(script, "recordings") {
			t.Errorf("%s: %d\n%s", shell, code, script)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(shell, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
}
