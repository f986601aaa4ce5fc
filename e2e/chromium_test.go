package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// The pages in a real browser: what a person sees when they sign in, here and on a machine without a browser.
func TestChromium(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is missing: apt-get install chromium")
	}
	// A profile of its own; nothing but loopback is looked up. The demo's certificate is its own CA's.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.UserDataDir(t.TempDir()),
		chromedp.IgnoreCertErrors, chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, 5*patience)
	defer cancel()

	t.Run("here", func(t *testing.T) {
		login := startLogin(t, "--no-browser")
		visit(t, ctx, login.page)
		fillIn(t, ctx, "mei")
		see(t, ctx, "close this tab", "here")
		login.ends(t, "Signed in as mei@example.com")
	})
	t.Run("from a phone", func(t *testing.T) {
		login := startLogin(t, "--device")
		visit(t, ctx, login.page)
		see(t, ctx, "Is this your terminal?", "device")
		see(t, ctx, login.page[strings.LastIndex(login.page, "=")+1:], "")
		press(t, ctx)
		fillIn(t, ctx, "hana")
		see(t, ctx, "You are hana@example.com", "done")
		login.ends(t, "Signed in as hana@example.com")
	})
	t.Run("for one connection", func(t *testing.T) {
		ssh := startEnded(t)
		visit(t, ctx, ssh.page)
		see(t, ctx, "Is this your connection?", "prove")
		see(t, ctx, ssh.code, "")
		see(t, ctx, "ssh to "+shared.Login+"@db1", "")
		press(t, ctx)
		fillIn(t, ctx, "mei")
		see(t, ctx, "Your connection to "+shared.Login+"@db1 goes on", "proved")
		ssh.ends(t, "worth waiting for")
	})
	t.Run("wrong password", func(t *testing.T) {
		login := startLogin(t, "--no-browser")
		visit(t, ctx, login.page)
		typeInto(t, ctx, "#login", "mei@example.com")
		typeInto(t, ctx, "#password", "guessed\r")
		see(t, ctx, "Invalid", "")
		login.cmd.Process.Kill()
		if login.cmd.Wait() == nil {
			t.Error("signed in with a wrong password")
		}
	})
}

// waiting is a program that waits for its page to be visited.
type waiting struct {
	cmd        *exec.Cmd
	page, code string
	out        *strings.Builder
}

func startLogin(t *testing.T, how string) *waiting {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(shared.Bin, "sekisho"), "login", how, shared.URL, "--ca-file", shared.CAFile)
	cmd.Env = append(os.Environ(), "SEKISHO_HOME="+filepath.Join(t.TempDir(), "home"))
	return start(t, cmd)
}

// startEnded starts ssh to db1 at the SSH port, with a certificate of mei's whose sign-in has ended.
func startEnded(t *testing.T) *waiting {
	t.Helper()
	p := &traveller{name: "mei", home: t.TempDir(), house: shared}
	sekisho := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(shared.Bin, "sekisho"), args...)
		cmd.Env = append(os.Environ(), "SEKISHO_HOME="+p.sekisho(), "SEKISHO_BROWSER="+shared.People["mei"].Browser)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("sekisho %v: %v\n%s", args, err, out)
		}
	}
	sekisho("login", shared.URL, "--ca-file", shared.CAFile)
	door := filepath.Join(p.home, "door")
	if err := enter(p, []string{door}); err != nil {
		t.Fatal(err)
	}
	sekisho("logout")
	return start(t, exec.CommandContext(t.Context(), "ssh", "-F", "none", "-o", "StrictHostKeyChecking=no",
		"-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-i", door, "-p", strconv.Itoa(shared.SSHPort),
		shared.Login+"%db1@127.0.0.1", "echo worth waiting for"))
}

// start starts a program and reads the page that it shows on stderr, and the code that may follow.
func start(t *testing.T, cmd *exec.Cmd) *waiting {
	t.Helper()
	w := &waiting{cmd: cmd, out: &strings.Builder{}}
	w.cmd.Stdout = w.out
	terminal, err := w.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(terminal)
	for (w.page == "" || strings.Contains(w.page, "/prove/") && w.code == "") && lines.Scan() {
		word := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(word, shared.URL) {
			w.page = word
		} else if code, ok := strings.CutPrefix(word, "Code: "); ok {
			w.code = code
		}
	}
	if w.page == "" {
		t.Fatal("no address on stderr")
	}
	go io.Copy(io.Discard, terminal)
	return w
}

func (w *waiting) ends(t *testing.T, saying string) {
	t.Helper()
	if err := w.cmd.Wait(); err != nil || !strings.Contains(w.out.String(), saying) {
		t.Errorf("%s: %v, said %q", w.cmd, err, w.out)
	}
}

func visit(t *testing.T, ctx context.Context, page string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(page)); err != nil {
		t.Fatal(err)
	}
}

// press presses the page's button.
func press(t *testing.T, ctx context.Context) {
	t.Helper()
	typeInto(t, ctx, "button", "\r")
}

// fillIn fills in the IdP's form.
func fillIn(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	p := shared.People[name]
	typeInto(t, ctx, "#login", p.Email)
	typeInto(t, ctx, "#password", p.Password+"\r")
}

// typeInto types into what the selector finds. What was found a moment ago may be gone where the page has just been laid
// out anew.
func typeInto(t *testing.T, ctx context.Context, selector, keys string) {
	t.Helper()
	for begun := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := chromedp.Do(ctx, chromedp.SendKeys(chromedp.CSS(selector), keys))
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "Could not find node") || time.Since(begun) > patience {
			t.Fatal(err)
		}
	}
}

// see waits for a text on the page. With E2E_SHOTS set, the page is kept there as a picture under that name.
func see(t *testing.T, ctx context.Context, text, shot string) {
	t.Helper()
	var page string
	for begun := time.Now(); !strings.Contains(page, text); time.Sleep(50 * time.Millisecond) {
		var err error
		page, err = chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
		if time.Since(begun) > patience {
			t.Fatalf("%q is not on the page: %v\n%s", text, err, page)
		}
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	dir := os.Getenv("E2E_SHOTS")
	if dir == "" || shot == "" {
		return
	}
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, shot+".png"), picture, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}
