package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// traveller is a person who takes the journey, with everything their commands need.
type traveller struct {
	*house
	*person
	name string
}

// journey takes every step that the README promises, without a person, and says what it saw.
func (h *house) journey(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	mei := &traveller{h, h.People["mei"], "mei"}
	ken := &traveller{h, h.People["ken"], "ken"}
	begun := time.Now()
	for _, step := range []struct {
		what string
		take func(context.Context) error
	}{
		{"mei signs in with the browser", mei.signIn},
		{"mei prints her ssh_config", mei.configure},
		{"ssh web1, passed through", func(ctx context.Context) error { return mei.runs(ctx, "web1") }},
		{"ssh db1, through the audit door", func(ctx context.Context) error { return mei.runs(ctx, "db1") }},
		{"exit codes arrive", mei.exits},
		{"scp, sftp and rsync to both", mei.copies},
		{"no SSH private key is on disk", mei.keyless},
		{"nobody gets to db1's sshd around the gateway", mei.aroundTheGateway},
		{"the recording is listed, verified, played, exported", mei.replays},
		{"nobody reads it without the private key", mei.sealed},
		{"ken signs in on a machine without a browser", ken.signInByDevice},
		{"ken is told why db1 is closed to him", ken.refused},
		{"the audit log tells it all and is proved", mei.audits},
		{"an edited copy of the log is found out", mei.edits},
		{"mei signs out, and is out", mei.signsOut},
	} {
		fmt.Fprintf(os.Stderr, "  %-55s", step.what)
		start := time.Now()
		if err := step.take(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "FAILED")
			return fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Fprintf(os.Stderr, "ok  %5.0f ms\n", float64(time.Since(start).Microseconds())/1000)
	}
	fmt.Fprintf(os.Stderr, "the whole journey: %.1f s\n", time.Since(begun).Seconds())
	return nil
}

// run runs a command as this person and gives stdout and stderr together with the error.
func (t *traveller) run(ctx context.Context, name string, args ...string) (string, string, error) {
	if name == "sekisho" {
		name = filepath.Join(t.Bin, name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "SEKISHO_HOME="+t.Home, "SEKISHO_BROWSER="+t.Browser, "PATH="+t.Bin+":"+os.Getenv("PATH"))
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return out.String(), errOut.String(), fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, &out, &errOut)
	}
	return out.String(), errOut.String(), nil
}

func (t *traveller) ssh(ctx context.Context, args ...string) (string, error) {
	out, _, err := t.run(ctx, "ssh", append([]string{"-F", t.SSHConfig}, args...)...)
	return out, err
}

func (t *traveller) signIn(ctx context.Context) error {
	if _, errOut, err := t.run(ctx, "sekisho", "login", t.URL, "--ca-file", t.CAFile); err != nil || !strings.Contains(errOut, t.URL) {
		return errors.Join(err, want("the URL on stderr", t.URL, errOut))
	}
	out, _, err := t.run(ctx, "sekisho", "status")
	return errors.Join(err, want("status", t.Email, out))
}

// signInByDevice reads the address off the terminal, as a person with a phone would, and opens it elsewhere.
func (t *traveller) signInByDevice(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, filepath.Join(t.Bin, "sekisho"), "login", "--device", t.URL, "--ca-file", t.CAFile)
	cmd.Env = append(os.Environ(), "SEKISHO_HOME="+t.Home)
	terminal, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var page string
	lines := bufio.NewScanner(terminal)
	for page == "" && lines.Scan() {
		if word := strings.TrimSpace(lines.Text()); strings.HasPrefix(word, t.URL) {
			page = word
		}
	}
	go io.Copy(io.Discard, terminal)
	if err := fillForms(ctx, filepath.Join(t.Dir, "demo.json"), t.name, page); err != nil {
		cmd.Process.Kill()
		return errors.Join(err, cmd.Wait())
	}
	if err := cmd.Wait(); err != nil {
		return err
	}
	return t.configure(ctx)
}

func (t *traveller) configure(ctx context.Context) error {
	out, _, err := t.run(ctx, "sekisho", "ssh-config")
	if err != nil {
		return err
	}
	return os.WriteFile(t.SSHConfig, []byte(out), 0o600)
}

func (t *traveller) runs(ctx context.Context, target string) error {
	out, err := t.ssh(ctx, target, "echo the word is sesame; exit 0")
	return errors.Join(err, want("output", "the word is sesame", out))
}

func (t *traveller) exits(ctx context.Context) error {
	for target, status := range map[string]int{"web1": 3, "db1": 42} {
		_, err := t.ssh(ctx, target, fmt.Sprintf("exit %d", status))
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != status {
			return fmt.Errorf("%s: got %v, want exit status %d", target, err, status)
		}
	}
	return nil
}

func (t *traveller) copies(ctx context.Context) error {
	source := filepath.Join(t.Dir, "copy-source")
	if err := os.WriteFile(source, bytes.Repeat([]byte("a line to carry over\n"), 100_000), 0o600); err != nil {
		return err
	}
	for _, target := range []string{"web1", "db1"} {
		there, back := filepath.Join(t.Dir, "copy-there"), filepath.Join(t.Dir, "copy-back")
		for _, c := range [][]string{
			{"scp", "-q", "-F", t.SSHConfig, source, target + ":" + there},
			{"scp", "-q", "-O", "-F", t.SSHConfig, target + ":" + there, back},
			{"rsync", "-e", "ssh -F " + t.SSHConfig, source, target + ":" + there + ".rsync"},
			{"sh", "-c", fmt.Sprintf("echo get '%s' '%s' | sftp -q -b - -F '%s' %s", there, back+".sftp", t.SSHConfig, target)},
		} {
			if _, _, err := t.run(ctx, c[0], c[1:]...); err != nil {
				return err
			}
		}
		for _, copied := range []string{there, back, there + ".rsync", back + ".sftp"} {
			if err := command(ctx, "cmp", source, copied); err != nil {
				return err
			}
			os.Remove(copied)
		}
	}
	return os.Remove(source)
}

// keyless: the only private key of a person's home is the one that proves the sign-in, which no sshd knows.
func (t *traveller) keyless(context.Context) error {
	return filepath.WalkDir(t.Home, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || entry.Name() == "device.key" {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && bytes.Contains(text, []byte("PRIVATE KEY")) {
			return fmt.Errorf("%s holds a private key", path)
		}
		return err
	})
}

func (t *traveller) aroundTheGateway(ctx context.Context) error {
	key := filepath.Join(t.Dir, "mallory")
	if err := command(ctx, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key); err != nil {
		return err
	}
	defer os.Remove(key)
	defer os.Remove(key + ".pub")
	_, errOut, err := t.run(ctx, "ssh", "-F", "none", "-i", key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-p", fmt.Sprint(t.Targets["db1"].Port), t.Login+"@127.0.0.1", "true")
	if err == nil {
		return errors.New("let in")
	}
	return want("refusal", "Permission denied", errOut)
}

// last is the newest closed recording.
func (t *traveller) last(ctx context.Context) (string, error) {
	out, _, err := t.run(ctx, "sekisho", "recordings", "list", "--limit", "1")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if err != nil || len(lines) != 2 {
		return "", errors.Join(err, fmt.Errorf("no recording in:\n%s", out))
	}
	return strings.Fields(lines[1])[0], nil
}

func (t *traveller) replays(ctx context.Context) error {
	if err := t.runs(ctx, "db1"); err != nil {
		return err
	}
	session, err := t.last(ctx)
	if err != nil {
		return err
	}
	for _, c := range []struct{ want, args string }{
		{"Valid and complete", "verify " + session + " --key " + t.Auditor.PrivateKey},
		{"the word is sesame", "play " + session + " --speed 1000 --key " + t.Auditor.PrivateKey},
		{`"version":2`, "export " + session + " --format asciicast --key " + t.Auditor.PrivateKey},
	} {
		out, errOut, err := t.run(ctx, "sekisho", append([]string{"recordings"}, strings.Fields(c.args)...)...)
		if err := errors.Join(err, want(c.args, c.want, out+errOut)); err != nil {
			return err
		}
	}
	return nil
}

func (t *traveller) sealed(ctx context.Context) error {
	session, err := t.last(ctx)
	if err != nil {
		return err
	}
	file := filepath.Join(t.Dir, session+".rec")
	if _, _, err := t.run(ctx, "sekisho", "recordings", "download", session, "-o", file); err != nil {
		return err
	}
	defer os.Remove(file)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if bytes.Contains(text, []byte("sesame")) || bytes.Contains(text, []byte(t.Email)) {
		return errors.New("the sealed file shows what was said")
	}
	other := filepath.Join(t.Dir, "other.key")
	defer os.Remove(other)
	defer os.Remove(other + ".pub")
	if _, _, err := t.run(ctx, "sekisho", "keys", "generate", "--no-passphrase", "-o", other); err != nil {
		return err
	}
	if _, _, err := t.run(ctx, "sekisho", "recordings", "play", file, "--key", other); err == nil {
		return errors.New("another key opens it")
	}
	return nil
}

func (t *traveller) refused(ctx context.Context) error {
	_, errOut, err := t.run(ctx, "ssh", "-F", t.SSHConfig, "db1", "true")
	if err == nil {
		return errors.New("let in")
	}
	return errors.Join(want("which policy", "sre-prod", errOut), want("what to do", "Ask an administrator", errOut))
}

func (t *traveller) audits(ctx context.Context) error {
	out, _, err := t.run(ctx, "sekisho", "audit", "list", "--limit", "1000", "--json")
	if err != nil {
		return err
	}
	for _, kind := range []string{"sign-in", "decision", "certificate", "session.started", "session.ended", "recording.opened", "recording.closed"} {
		if err := want("events", fmt.Sprintf(`"kind":%q`, kind), strings.ReplaceAll(out, `": "`, `":"`)); err != nil {
			return err
		}
	}
	_, _, err = t.run(ctx, "sekisho", "audit", "verify")
	return err
}

func (t *traveller) edits(ctx context.Context) error {
	file := filepath.Join(t.Dir, "audit.export")
	defer os.Remove(file)
	if _, _, err := t.run(ctx, "sekisho", "audit", "export", "-o", file); err != nil {
		return err
	}
	if _, _, err := t.run(ctx, "sekisho", "audit", "verify", file); err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	at := bytes.Index(text, []byte("ken@example.com"))
	if at < 0 {
		return errors.New("ken is not in the log")
	}
	text[at] = 'b'
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	if _, _, err := t.run(ctx, "sekisho", "audit", "verify", file); err == nil {
		return errors.New("not found out")
	}
	return nil
}

func (t *traveller) signsOut(ctx context.Context) error {
	if _, _, err := t.run(ctx, "sekisho", "logout"); err != nil {
		return err
	}
	_, errOut, err := t.run(ctx, "sekisho", "recordings", "list")
	if err == nil {
		return errors.New("still in")
	}
	return want("what to do", "sekisho login", errOut)
}

func want(what, part, whole string) error {
	if strings.Contains(whole, part) {
		return nil
	}
	return fmt.Errorf("%s: %q is not in:\n%s", what, part, whole)
}
