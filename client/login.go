package client

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"time"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// LoginOptions say how the person is brought to the IdP. Without Device and NoBrowser the browser of this machine
// is opened; on a machine that has none the device flow is used.
type LoginOptions struct {
	// Device shows a URL and a code for a browser anywhere.
	Device bool
	// NoBrowser waits on this machine but opens nothing.
	NoBrowser bool
	// Fresh has the person prove themselves anew, even if the IdP still knows the browser.
	Fresh bool
	// Out is where URL and code are shown; never ssh's stream.
	Out io.Writer
	// Terminal says that Out is one, so that a QR code can be shown on it.
	Terminal bool
}

// signInSlack is how much longer a sign-in must last to be used: a connection needs it for a few calls.
const signInSlack = 15 * time.Second

// Setup remembers the control at address in home, trusting the PEM certificates in ca or the one certificate whose
// SHA-256 is pin ("sha256:HEX"), or the system's if both are empty. An empty address means the one known already.
// What was known before is kept if control does not answer.
func Setup(ctx context.Context, home, address, ca, pin string) (*Client, error) {
	h, err := OpenHome(home)
	if err != nil {
		return nil, err
	}
	config, err := h.Config()
	if address != "" {
		config, err = Config{}, nil
		config.URL, err = cleanURL(address)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case ca != "":
		config.CA = ca
	case pin != "":
		if config.CA, err = pinnedCA(ctx, config.URL, pin); err != nil {
			return nil, err
		}
	default:
		if before, err := h.Config(); err == nil && before.URL == config.URL {
			config.CA = before.CA // logging in again needs no pin again
		}
	}
	c, err := newClient(h, config)
	if err != nil {
		return nil, err
	}
	if err := c.describe(ctx); err != nil {
		return nil, err
	}
	before, err := h.Config()
	if err == nil && before.URL != c.config.URL {
		if err := h.remove(signInFile); err != nil {
			return nil, fmt.Errorf("forget the sign-in of %s: %w", before.URL, err)
		}
	}
	return c, nil
}

// describe asks control what this client needs to know, and remembers it.
func (c *Client) describe(ctx context.Context) error {
	res, err := c.open.Access.Describe(ctx, connect.NewRequest(&apiv1.DescribeRequest{}))
	if err != nil {
		return err
	}
	config := c.config
	config.Name, config.AuditKey, config.RecordingKeys = res.Msg.Name, res.Msg.AuditKey, res.Msg.RecordingKeys
	config.SSHGateway = gatewayAddress(res.Msg.SshGateway)
	config.Recipients = labels(res.Msg.Recipients)
	config.Hosts = nil
	for _, p := range res.Msg.SshHosts {
		if CheckPattern(p) == nil && selective(p) {
			config.Hosts = append(config.Hosts, p)
		}
	}
	if err := c.trustHosts(res.Msg.HostCa, &config); err != nil {
		return err
	}
	return c.remember(config)
}

func (c *Client) remember(config Config) error {
	c.config = config
	return c.home.writeJSON(configFile, config)
}

// Login signs the person in, whatever sign-in there was before, and gives the new one.
func (c *Client) Login(ctx context.Context, o LoginOptions) (SignIn, error) {
	unlock, err := c.home.lockContext(ctx, "login")
	if err != nil {
		return SignIn{}, err
	}
	defer unlock()
	return c.login(ctx, o)
}

// EnsureSignIn gives the sign-in at hand, or waits until the person has signed in. Of any number of processes that
// find none, one opens a browser and the others wait for it. A token that control no longer takes is given as
// stale; anything but that one is good then.
func (c *Client) EnsureSignIn(ctx context.Context, stale string, o *LoginOptions) (SignIn, error) {
	s, err := c.live(stale)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if o == nil {
		return s, errNotSignedIn()
	}
	unlock, err := c.home.lockContext(ctx, "login")
	if err != nil {
		return s, err
	}
	defer unlock()
	s, err = c.live(stale)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	return c.login(ctx, *o)
}

// live is the sign-in at hand if it is neither stale nor about to end, else fs.ErrNotExist.
func (c *Client) live(stale string) (SignIn, error) {
	s, err := c.home.SignIn()
	if err == nil && (s.Token == stale || !c.Now().Add(signInSlack).Before(s.Expires)) {
		err = fs.ErrNotExist
	}
	return s, err
}

// login walks through one sign-in: begin, be in the browser, finish, remember.
func (c *Client) login(ctx context.Context, o LoginOptions) (SignIn, error) {
	device := o.Device || !o.NoBrowser && (c.config.Device || noBrowserHere())
	verifier := rand.Text() + rand.Text() // 52 of the characters RFC 7636 allows, 256 bits
	var finished *apiv1.FinishResponse
	var err error
	if device {
		finished, err = c.loginElsewhere(ctx, o, verifier)
	} else {
		finished, err = c.loginHere(ctx, o, verifier)
	}
	if err != nil {
		return SignIn{}, err
	}
	who := finished.SignIn
	if finished.Token == "" || who == nil {
		return SignIn{}, unreachable(c.config.URL, errors.New("the sign-in came without a token"))
	}
	s := SignIn{
		Token: finished.Token, ID: who.Id, Subject: who.Subject, Name: who.Name, Groups: who.Groups,
		Expires: who.Expires.AsTime(),
	}
	if err := c.home.writeJSON(signInFile, s); err != nil {
		return SignIn{}, err
	}
	if c.config.Device != o.Device {
		config := c.config
		config.Device = o.Device
		err = c.remember(config)
	}
	return s, err
}

// userCode is what goes to the terminal as it came.
var userCode = regexp.MustCompile(`^[A-Za-z0-9-]{0,32}$`)

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (c *Client) begin(ctx context.Context, req *apiv1.BeginRequest) (*apiv1.BeginResponse, error) {
	req.Device, _ = os.Hostname()
	res, err := c.open.SignIn.Begin(ctx, connect.NewRequest(req))
	if err != nil {
		return nil, err
	}
	if err := checkOpenable(res.Msg.Url); err != nil {
		return nil, unreachable(c.config.URL, err)
	}
	if !userCode.MatchString(res.Msg.UserCode) {
		return nil, unreachable(c.config.URL, errors.New("the code to compare is no code"))
	}
	return res.Msg, nil
}

// loginHere uses a browser on this machine, which comes back to a listener on loopback (RFC 8252).
func (c *Client) loginHere(ctx context.Context, o LoginOptions, verifier string) (*apiv1.FinishResponse, error) {
	back, err := listenLoopback(c.config.Name)
	if err != nil {
		return nil, err
	}
	defer back.close()
	begun, err := c.begin(ctx, &apiv1.BeginRequest{
		CodeChallenge: challenge(verifier), RedirectUri: back.uri(), State: back.state, Fresh: o.Fresh,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := c.untilExpires(ctx, begun)
	defer cancel()
	fmt.Fprintf(o.Out, "To sign in, open this page in a browser on this machine:\n\n  %s\n\n", begun.Url)
	if !o.NoBrowser {
		if err := openBrowser(begun.Url); err != nil {
			fmt.Fprintf(o.Out, "(It cannot be opened from here: %v.)\n", err)
		}
	}
	code, err := back.wait(ctx)
	if err != nil {
		return nil, tooLate(ctx, err)
	}
	res, err := c.open.SignIn.Finish(ctx, connect.NewRequest(&apiv1.FinishRequest{
		Request: begun.Request, CodeVerifier: verifier, Code: code,
	}))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// untilExpires bounds a sign-in by the end that control has set for it, at most an hour.
func (c *Client) untilExpires(ctx context.Context, begun *apiv1.BeginResponse) (context.Context, context.CancelFunc) {
	left := time.Hour
	if begun.Expires != nil {
		left = min(left, max(time.Second, begun.Expires.AsTime().Sub(c.Now())))
	}
	return context.WithTimeout(ctx, left)
}

// tooLate gives the end of time its sentence.
func tooLate(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &sekisho.Refusal{Sentence: "Nobody signed in in time.", Next: "Run: sekisho login", Cause: err}
	}
	return err
}

// noBrowserHere says that there is no screen on which a browser could open.
func noBrowserHere() bool {
	if browserCommand() != nil || runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		return false
	}
	return os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == ""
}

// labels are the labels of recipients by ID, as far as they have any.
func labels(recipients []*apiv1.Recipient) map[string]string {
	known := map[string]string{}
	for _, r := range recipients {
		if r.Label != "" {
			known[r.Id] = r.Label
		}
	}
	return known
}
