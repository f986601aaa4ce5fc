package client

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
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

// SSHConfig says what the lines for ssh are to do.
type SSHConfig struct {
	// Program is this executable's path, "" if a bare "sekisho" finds it.
	Program string
	// Patterns are the hosts that are targets.
	Patterns []string
	// Gateway is HOST:PORT of the gateway's SSH port; with it there are lines for the gateway itself. May be empty.
	Gateway string
	// Jump reaches the targets through the gateway's SSH port, with the certificate in the person's own agent, instead of
	// by this client.
	Jump bool
}

// GatewayAlias is what the gateway's SSH port is called in ssh_config, beside its own name.
const GatewayAlias = "sekisho-gateway"

// SSHConfig gives the lines that make plain ssh use this client for the hosts that match the patterns.
//
// The lines beyond the three that connect are there so that nothing elsewhere in the person's configuration can turn
// them into a prompt, a hang or a weaker check:
//   - StrictHostKeyChecking yes, GlobalKnownHostsFile /dev/null, UpdateHostKeys no: only the host CA vouches for a
//     host. No question is asked, nothing is learned, and no line that a past life of the host has left interferes.
//   - RevokedHostKeys: a host whose key or certificate was revoked is refused, whatever the host CA has signed.
//   - IdentityFile none, IdentitiesOnly no: the agent's certificate is the one thing offered. Other keys would show
//     themselves to the gateway and use up the tries a server allows; a global IdentitiesOnly would hide ours.
//   - PreferredAuthentications publickey: a refusal ends in a message, not in a password prompt. At the gateway's own
//     SSH port, keyboard-interactive as well: by it the gateway asks for a proof in the browser.
func (h Home) SSHConfig(s SSHConfig) (string, error) {
	if len(s.Patterns) == 0 {
		return "", &sekisho.Refusal{Sentence: "No host patterns are known.", Next: "Name them: sekisho ssh-config '*.example.internal'"}
	}
	for _, p := range s.Patterns {
		if err := CheckPattern(p); err != nil {
			return "", err
		}
	}
	for _, path := range []string{h.dir, s.Program} {
		if strings.ContainsAny(path, "\n\r\x00\"'\\") {
			return "", &sekisho.Refusal{Sentence: fmt.Sprintf("The path %q cannot be written into ssh_config.", path), Next: "Use a folder without quotes in its name."}
		}
	}
	if s.Jump && s.Gateway == "" {
		return "", &sekisho.Refusal{Sentence: "The gateway's SSH port is closed.", Next: "Leave out --agent."}
	}
	var b strings.Builder
	if s.Gateway != "" {
		b.WriteString(h.GatewayBlock(s.Gateway) + "\n")
	}
	fmt.Fprintf(&b, "Host %s\n", strings.Join(slices.Concat(s.Patterns, s.except()), " "))
	if s.Jump {
		fmt.Fprintf(&b, "  ProxyJump %s\n", GatewayAlias)
		b.WriteString(h.trust("publickey,keyboard-interactive"))
		return b.String(), nil
	}
	// The quotes keep what somebody else has put into a host name, such as a repository's URL, from the shell.
	fmt.Fprintf(&b, "  ProxyCommand %s connect --login '%%r' '%%h' '%%p'\n", h.command(s.Program))
	fmt.Fprintf(&b, "  IdentityAgent %s\n", configWord(percent(h.Shown("run"))+"/%r@%h.sock"))
	b.WriteString(h.trust("publickey"))
	return b.String(), nil
}

// GatewayBlock gives the lines for the gateway's SSH port at HOST:PORT: ssh LOGIN%TARGET@sekisho-gateway.
func (h Home) GatewayBlock(gateway string) string {
	host, port, err := net.SplitHostPort(gateway)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("Host %s\n  HostName %s\n  Port %s\n", strings.Join(gatewayNames(host), " "), host, port) +
		h.trust("publickey,keyboard-interactive")
}

// gatewayNames are what people may type for the gateway. An address is not among them: other things may listen there.
func gatewayNames(host string) []string {
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" {
		return []string{GatewayAlias}
	}
	return []string{GatewayAlias, host}
}

// except are the gateway's names where the patterns would hold them: it is no target.
func (s SSHConfig) except() (names []string) {
	host, _, err := net.SplitHostPort(s.Gateway)
	if err != nil {
		return nil
	}
	for _, name := range gatewayNames(host) {
		if slices.ContainsFunc(s.Patterns, func(p string) bool { ok, err := path.Match(p, name); return ok && err == nil }) {
			names = append(names, "!"+name)
		}
	}
	return names
}

// gatewayAddress is the address of an SSH port as control names it, empty if it cannot be one.
func gatewayAddress(said string) string {
	host, port, err := net.SplitHostPort(said)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || n == 0 {
		return ""
	}
	if _, err := netip.ParseAddr(host); err != nil && sekisho.CheckTargetName(strings.ToLower(host)) != nil {
		return ""
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10))
}

func (h Home) command(program string) string {
	command := "sekisho"
	if program != "" {
		command = shellWord(program)
	}
	if !h.standard {
		command += " --home " + shellWord(h.dir)
	}
	return command
}

// trust gives the lines that say whom to believe and what to show them.
func (h Home) trust(methods string) string {
	return fmt.Sprintf("  UserKnownHostsFile %s\n", configWord(percent(h.Shown(knownHosts)))) +
		fmt.Sprintf("  RevokedHostKeys %s\n", configWord(percent(h.Shown(revokedHosts)))) +
		"  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n  UpdateHostKeys no\n" +
		"  IdentityFile none\n  IdentitiesOnly no\n  PreferredAuthentications " + methods + "\n"
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
