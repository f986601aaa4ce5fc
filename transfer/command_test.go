package transfer_test

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sekisho/sekisho/transfer"
)

func TestParseCommand(t *testing.T) {
	scp := func(sender bool, options []string, paths ...string) *transfer.Command {
		return &transfer.Command{Protocol: "scp", Sender: sender, Options: options, Paths: paths}
	}
	rsync := func(sender bool, options []string, paths ...string) *transfer.Command {
		return &transfer.Command{Protocol: "rsync", Sender: sender, Options: options, Paths: paths}
	}
	sftp := func(options ...string) *transfer.Command {
		return &transfer.Command{Protocol: "sftp", Options: options}
	}
	for command, want := range map[string]*transfer.Command{
		"scp -t dir":                                scp(false, []string{"-t"}, "dir"),
		"scp -f a b":                                scp(true, []string{"-f"}, "a", "b"),
		"scp -v -r -p -d -t .":                      scp(false, []string{"-v", "-r", "-p", "-d", "-t"}, "."),
		"scp -rpf x":                                scp(true, []string{"-rpf"}, "x"),
		"/usr/bin/scp -q -t -- -x":                  scp(false, []string{"-q", "-t"}, "-x"),
		"  scp\t-t   x  ":                           scp(false, []string{"-t"}, "x"),
		`scp -r -d -t "C:\\a b/\"q\" \$"`:           scp(false, []string{"-r", "-d", "-t"}, `C:\a b/"q" $`),
		`scp -f 'a b'\''c'"d"\ e`:                   scp(true, []string{"-f"}, "a b'cd e"),
		"scp -f 'a\nb'":                             scp(true, []string{"-f"}, "a\nb"),
		"scp -f *.txt ~/x{1,2} [a-c]?":              scp(true, []string{"-f"}, "*.txt", "~/x{1,2}", "[a-c]?"),
		"scp -f ''":                                 scp(true, []string{"-f"}, ""),
		"scp -f größe\xff":                          scp(true, []string{"-f"}, "größe\xff"),
		"scp -f a#b=c%d,e+f@g:h":                    scp(true, []string{"-f"}, "a#b=c%d,e+f@g:h"),
		"sudo scp -f /etc/shadow":                   scp(true, []string{"-f"}, "/etc/shadow"),
		"rsync --server -vlogDtprze.iLsfxCIvu . /a": rsync(false, []string{"-vlogDtprze.iLsfxCIvu"}, "/a"),
		`rsync --server --sender -re.iLs --timeout=3 . a\ b c\*d *.e`:            rsync(true, []string{"-re.iLs", "--timeout=3"}, "a b", "c*d", "*.e"),
		"rsync --server -e.Lf --backup-dir . --suffix=.x . dest/":                rsync(false, []string{"-e.Lf", "--backup-dir", ".", "--suffix=.x"}, "dest/"),
		"rsync --server -vvlre.iLs -B700 --log-format=%i --delete-during . .":    rsync(false, []string{"-vvlre.iLs", "-B700", "--log-format=%i", "--delete-during"}, "."),
		"rsync --server -logDtpr .":                                              rsync(false, []string{"-logDtpr"}, "."),
		"rsync --server --sender -sve.LsfxCIvu":                                  rsync(true, []string{"-sve.LsfxCIvu"}),
		"sudo -n -u backup -- /usr/bin/rsync --server --sender -logDtpre.iL . /": rsync(true, []string{"-logDtpre.iL"}, "/"),
		"/usr/lib/openssh/sftp-server":                                           sftp(),
		"sudo /usr/lib/openssh/sftp-server":                                      sftp(),
		"sudo -n /usr/libexec/openssh/sftp-server -l INFO -f AUTH -e":            sftp("-l", "INFO", "-f", "AUTH", "-e"),
		"sftp-server -d /srv -u 027 -P posix-rename,symlink -R":                  sftp("-d", "/srv", "-u", "027", "-P", "posix-rename,symlink", "-R"),
	} {
		got, ok := transfer.ParseCommand(command)
		if !ok {
			t.Errorf("%q is not recognised", command)
		} else if diff := cmp.Diff(*want, got); diff != "" {
			t.Errorf("%q: %s", command, diff)
		}
	}
}

// What a shell could make anything else of is not recognised.
func TestParseCommandRefuses(t *testing.T) {
	for _, command := range []string{
		"", " ", "ls", "bash", "scp", "scp a b", "scp -t", "scp -t a b", "scp -t -f a", "scp -ft a", "scp -tt a", "scp -f", "scp --", "scp - -t x",
		"scp -S /tmp/x -f a", "scp -o ProxyCommand=x -t a", "scp -fS x a", "scp a:b c:d", "scp -f -x y",
		"scp -t x; sh", "scp -t x & sh", "scp -t x | sh", "scp -t $(sh)", "scp -t `sh`", "scp -t $HOME", "scp -t \"$HOME\"", "scp -t \"`sh`\"",
		"scp -t x > y", "scp -t x < y", "scp -t x\nsh", "scp -t x\\\nsh", "scp -t x\rsh", "(scp -t x)", "{ scp -t x; }", "scp -t x #y", "#scp -t x",
		"scp -t x && sh", "scp -t 'x", "scp -t \"x", "scp -t x\\", "a=b scp -t x", "scp -t !x", "scp -t \"!x\"", "scp -t ^x", "scp -t =sh",
		"scp -t 'a\\' 'b; sh #'", "scp -t \"a\\b\"", "scp -t \\n", "scp -t x\x00", "scp -t 'x\x00'", "scp -t \x1bx", "s* -t x", "~/scp -t x", "scp -[t] x", "scp * x",
		"exec scp -t x", "env scp -t x", "sudo -i scp -t x", "sudo -s scp -t x", "sudo -S scp -t x", "sudo A=b scp -t x", "sudo", "sudo -u", "sudo -n",
		"sudo sudo scp -t x", "sudo su -c scp",
		"rsync a b", "rsync --server", "rsync --server --daemon .", "rsync --server -logDtpr . a b", "rsync --server --sender -r . --sender a",
		"rsync --server --sender -r . -e a", "rsync --server --config=x .", "rsync --server -r --rsh=sh . x", "rsync --server -M--daemon . x",
		"rsync --server -r --unknown . x", "rsync --server -r --backup-dir", "rsync --server -r * x", "rsync --server -s . x", "rsync --sender --server -r . x",
		"rsync --server -r -f . x", "rsync --server . -r x", "rsync --server -V . x", "rsync --server - . x", "rsync --server -rB", "rsync --server --read-batch=x . y",
		"sftp-server -Q requests", "sftp-server -h", "sftp-server x", "sftp-server -f", "sftp-server -d *", "sftp host",
		"scp -t " + strings.Repeat("x", 70<<10), "scp -f " + strings.Repeat("x ", 5000),
	} {
		if got, ok := transfer.ParseCommand(command); ok {
			t.Errorf("%.80q is recognised as %+v", command, got)
		}
	}
}

// wordPool are pieces that commands in the next tests are made of.
var wordPool = []string{"a", "b c", " ", "'", `"`, `\`, `\\`, `\ `, "x y", "'a b'", `"a b"`, `"\$"`, `\'`, `\"`, `'"'`, `"'"`, "-r", "--", "é", "#", "=", "%", "/", ".", "*",
	"~", "$", ";", "`", "\n", "\t", "&", "|", "(", "<", "!", "{x,y}", "''", `""`, "[a]"}

func randomCommand(pick func(int) int) string {
	programs := []string{"scp -f ", "scp -t ", "scp -r -f -- ", "rsync --server -re.iLs . ", "rsync --server --sender -logDtpre.iLs . "}
	command := programs[pick(len(programs))]
	for range 1 + pick(8) {
		command += wordPool[pick(len(wordPool))]
	}
	return command
}

// Shells that are here give a program the words that are told.
func TestParseCommandAsShells(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"scp", "rsync"} {
		script := "#!/bin/sh\necho; for word; do printf '%s\\0' \"$word\"; done\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for seed := range uint64(8000) {
		command := randomCommand(rand.New(rand.NewPCG(seed, 1)).IntN)
		cmd, ok := transfer.ParseCommand(command)
		if !ok || strings.ContainsAny(command, "*~[{") || strings.HasSuffix(strings.TrimRight(command, " \t"), " .") {
			continue // patterns, and rsync's path when there is none
		}
		if seen++; seen > 150 {
			break
		}
		want := "\n" + strings.Join(allWords(cmd), "\x00") + "\x00"
		for _, shell := range []string{"dash", "bash"} {
			run := exec.Command(shell, "-c", command)
			run.Env, run.Dir = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}, dir
			if got, err := run.CombinedOutput(); err != nil || strings.ReplaceAll(string(got), "--\x00", "") != strings.ReplaceAll(want, "--\x00", "") {
				t.Errorf("%s: %q: %q, not %q: %v", shell, command, got, want, err)
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d commands", seen)
	}
}

// allWords are the words that a command's program got, but for a "--".
func allWords(c transfer.Command) (words []string) {
	if c.Protocol == transfer.Rsync {
		words = append(words, "--server")
		if c.Sender {
			words = append(words, "--sender")
		}
		return append(append(append(words, c.Options...), "."), c.Paths...)
	}
	return append(append(words, c.Options...), c.Paths...)
}

// quoted gives a word in quotes, if it can be quoted for every shell.
func quoted(word string) (string, bool) {
	if strings.ContainsAny(word, "!\x00") {
		return "'" + word + "'", !strings.ContainsAny(word, "\\'\x00")
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(word) + `"`, true
}

// respelled gives a command that says the same with every word in quotes, if there is one.
func respelled(c transfer.Command) (command string, ok bool) {
	command = c.Protocol
	words := allWords(c)
	if c.Protocol == transfer.SCP {
		words = append(append(append(words[:0:0], c.Options...), "--"), c.Paths...)
	}
	for _, word := range words {
		q, ok := quoted(word)
		if !ok {
			return "", false
		}
		command += " " + q
	}
	return command, len(c.Paths) > 0
}

func FuzzCommand(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(randomCommand(rand.New(rand.NewPCG(seed, 2)).IntN))
	}
	f.Add("sudo -n /usr/lib/openssh/sftp-server -l INFO")
	f.Fuzz(func(t *testing.T, command string) {
		c, ok := transfer.ParseCommand(command)
		if !ok {
			return
		}
		again, ok := respelled(c)
		if !ok {
			return
		}
		got, ok := transfer.ParseCommand(again)
		if diff := cmp.Diff(c, got); !ok || diff != "" {
			t.Errorf("%q, then %q: %s", command, again, diff)
		}
	})
}
