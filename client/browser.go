package client

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// checkOpenable refuses what a browser command could take for anything but a web page.
func checkOpenable(page string) error {
	u, err := url.Parse(page)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(page) > 8192 ||
		strings.ContainsFunc(page, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"'<>\^|`+"`", r) }) {
		return errors.New("the sign-in page's address is no web address")
	}
	return nil
}

// browserCommand is the command that the person has chosen (SEKISHO_BROWSER, BROWSER), nil if none.
func browserCommand() []string {
	for _, name := range []string{"SEKISHO_BROWSER", "BROWSER"} {
		value := os.Getenv(name)
		if value == "" {
			continue
		}
		if _, err := os.Stat(value); err == nil { // a path, perhaps with spaces
			return []string{value}
		}
		if first, _, _ := strings.Cut(value, ":"); name == "BROWSER" && first != "" {
			value = first
		}
		if argv := strings.Fields(value); len(argv) > 0 {
			return argv
		}
	}
	return nil
}

// openBrowser starts a browser on a page that checkOpenable has passed. No shell sees the address.
func openBrowser(page string) error {
	argv := browserCommand()
	if argv == nil {
		switch runtime.GOOS {
		case "windows":
			argv = []string{"rundll32", "url.dll,FileProtocolHandler"}
		case "darwin":
			argv = []string{"open"}
		default:
			argv = []string{"xdg-open"}
		}
	}
	// No stdin, stdout, stderr: under ssh those carry the connection and the person's terminal.
	cmd := exec.Command(argv[0], append(argv[1:], page)...)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", argv[0], err)
	}
	go cmd.Wait()
	return nil
}
