package client

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sekisho/sekisho"
)

const sshConfigFile = "ssh_config"

var hostPattern = regexp.MustCompile(`^!?[A-Za-z0-9*?][A-Za-z0-9*?._-]{0,254}$`)

// CheckPattern reports why a host pattern cannot go into ssh_config.
func CheckPattern(p string) error {
	if !hostPattern.MatchString(p) {
		return &sekisho.Refusal{Sentence: fmt.Sprintf("%.100q is not a host pattern.", p), Next: "Host patterns look like web1 or *.example.internal."}
	}
	return nil
}

// selective says whether a pattern names anything: control may not claim every host that the person uses.
func selective(p string) bool { return strings.Trim(p, "*?.!") != "" }

// SSHConfig gives the lines that make plain ssh use this client for the hosts that match the patterns. program is
// this executable's path, "" if a bare "sekisho" finds it.
//
// The lines beyond the three that connect are there so that nothing elsewhere in the person's configuration can turn
// them into a prompt, a hang or a weaker check:
//   - StrictHostKeyChecking yes, GlobalKnownHostsFile /dev/null, UpdateHostKeys no: only the host CA vouches for a
//     host. No question is asked, nothing is learned, and no line that a past life of the host has left interferes.
//   - IdentityFile none, IdentitiesOnly no: the agent's certificate is the one thing offered. Other keys would show
//     themselves to the gateway and use up the tries a server allows; a global IdentitiesOnly would hide ours.
//   - PreferredAuthentications publickey: a refusal ends in a message, not in a password prompt.
func (h Home) SSHConfig(program string, patterns []string) (string, error) {
	if len(patterns) == 0 {
		return "", &sekisho.Refusal{Sentence: "No host patterns are known.", Next: "Name them: sekisho ssh-config '*.example.internal'"}
	}
	for _, p := range patterns {
		if err := CheckPattern(p); err != nil {
			return "", err
		}
	}
	for _, path := range []string{h.dir, program} {
		if strings.ContainsAny(path, "\n\r\x00\"'\\") {
			return "", &sekisho.Refusal{Sentence: fmt.Sprintf("The path %q cannot be written into ssh_config.", path), Next: "Use a folder without quotes in its name."}
		}
	}
	command := "sekisho"
	if program != "" {
		command = shellWord(program)
	}
	if !h.standard {
		command += " --home " + shellWord(h.dir)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Host %s\n", strings.Join(patterns, " "))
	// The quotes keep what somebody else has put into a host name, such as a repository's URL, from the shell.
	fmt.Fprintf(&b, "  ProxyCommand %s connect --login '%%r' '%%h' '%%p'\n", command)
	fmt.Fprintf(&b, "  IdentityAgent %s\n", configWord(percent(h.Shown("run"))+"/%r@%h_%p.sock"))
	fmt.Fprintf(&b, "  UserKnownHostsFile %s\n", configWord(percent(h.Shown(knownHosts))))
	b.WriteString("  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  UpdateHostKeys no\n")
	b.WriteString("  IdentityFile none\n  IdentitiesOnly no\n  PreferredAuthentications publickey\n")
	return b.String(), nil
}

// percent keeps a path's own percent signs from being taken for tokens.
func percent(path string) string { return strings.ReplaceAll(path, "%", "%%") }

// configWord quotes a value of ssh_config if it has to be.
func configWord(s string) string {
	if strings.ContainsAny(s, " \t#=") {
		return `"` + s + `"`
	}
	return s
}

// shellWord quotes a path for the shell that runs the ProxyCommand, which ssh expands first.
func shellWord(path string) string {
	if regexp.MustCompile(`^[A-Za-z0-9/._+-]+$`).MatchString(path) {
		return path
	}
	return "'" + percent(path) + "'"
}

// InstallSSHConfig writes the block to ssh_config in the home folder and has the person's own configuration in sshDir
// ("~/.ssh") include it, above everything else because ssh takes the first value it finds. It reports whether
// anything was changed.
func (h Home) InstallSSHConfig(block, sshDir string) (changed bool, err error) {
	old, err := h.read(sshConfigFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err != nil || string(old) != block {
		if err := h.write(sshConfigFile, []byte(block)); err != nil {
			return false, err
		}
		changed = true
	}
	included, err := include(filepath.Join(sshDir, "config"), "Include "+configWord(h.Shown(sshConfigFile)))
	return changed || included, err
}

// include puts line at the top of the file unless it stands before the first Host or Match already; all else in it
// and its mode stay.
func include(path, line string) (changed bool, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return false, fmt.Errorf("make the folder: %w", err)
	}
	mode := fs.FileMode(0o600)
	var text []byte
	switch info, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, fmt.Errorf("look at ssh's configuration: %w", err)
	case !info.Mode().IsRegular():
		// A link usually means that some other program keeps the file: renaming over it would cut it off.
		return false, &sekisho.Refusal{
			Sentence: fmt.Sprintf("%s is not a plain file, so it is left as it is.", path),
			Next:     "Put this at its top yourself: " + line,
		}
	default:
		mode = info.Mode().Perm()
		if text, err = os.ReadFile(path); err != nil {
			return false, fmt.Errorf("read ssh's configuration: %w", err)
		}
	}
	if includes(string(text), line) {
		return false, nil
	}
	next := line + "\n"
	if len(text) > 0 {
		next += "\n" + string(text)
	}
	return true, writeAtomic(path, []byte(next), mode)
}

func includes(text, line string) bool {
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		if l == line {
			return true
		}
		word, _, _ := strings.Cut(strings.ReplaceAll(l, "=", " "), " ")
		if strings.EqualFold(word, "Host") || strings.EqualFold(word, "Match") {
			return false
		}
	}
	return false
}
