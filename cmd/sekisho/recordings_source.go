package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

// source is a recording to be read: a file here, or the download of one.
type source struct {
	io.Reader
	session string // its session, when the server was asked for that
	total   int64  // bytes, 0 when not known yet
	open    bool   // the session still runs, says the server
	opened  *recording.Reader
	close   func() error
}

// openRecording opens what a person named: a session's recording on the server, or a file.
func (a *app) openRecording(name string) (*source, error) {
	if isSession(name) {
		return a.download(name)
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("There is no file %s, and it is no session's ID either.", name),
			Next:     "sekisho recordings list shows the sessions.", Cause: err,
		}
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &source{Reader: f, total: info.Size(), close: f.Close}, nil
}

func (a *app) download(session string) (*source, error) {
	c, err := a.signedIn()
	if err != nil {
		return nil, err
	}
	stream, err := c.Recordings().Download(a.ctx, connect.NewRequest(&apiv1.DownloadRequest{Session: session}))
	if err != nil {
		return nil, err
	}
	d := &downloading{stream: stream}
	if err := d.receive(); err != nil {
		return nil, errors.Join(err, stream.Close())
	}
	return &source{Reader: d, session: session, total: d.total, open: d.open, close: stream.Close}, nil
}

// downloading makes a Reader of a stream of messages.
type downloading struct {
	stream     *connect.ServerStreamForClient[apiv1.DownloadResponse]
	rest       []byte
	got, total int64
	begun      bool
	open       bool
}

func (d *downloading) Read(p []byte) (int, error) {
	for len(d.rest) == 0 {
		if err := d.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func (d *downloading) receive() error {
	if !d.stream.Receive() {
		if err := d.stream.Err(); err != nil {
			return err
		}
		if !d.begun || d.got < d.total {
			return fmt.Errorf("the download stopped after %d of %d bytes", d.got, d.total)
		}
		return io.EOF
	}
	m := d.stream.Msg()
	if !d.begun {
		d.begun, d.total, d.open = true, m.Total, m.Open
	}
	d.rest = m.Data
	if d.got += int64(len(m.Data)); d.got > d.total {
		return fmt.Errorf("the server sends more than the %d bytes that it told of", d.total)
	}
	return nil
}

// reader opens the recording with a key (keyFor), after a check that a trusted gateway signed its header: nobody types a
// passphrase for one that is not genuine. Where nobody has said which gateways to trust, the person is told that this was not
// checked.
func (a *app) reader(s *source, keyName string, signers []string) (*recording.Reader, error) {
	trusted, err := a.trusted(signers)
	if err != nil {
		return nil, err
	}
	if len(trusted) == 0 {
		a.tellUnchecked()
	}
	h, err := s.peek()
	if err != nil {
		return nil, bad(err)
	}
	if err := s.genuine(h, trusted); err != nil {
		return nil, err
	}
	key, err := a.keyFor(h, keyName)
	if err != nil {
		return nil, err
	}
	s.opened, err = recording.NewReader(s, key)
	return s.opened, bad(a.wrongKey(err))
}

func (a *app) tellUnchecked() {
	fmt.Fprintln(a.err, "Not checked: who made this recording. Sign in, or give the gateway's key with --signer.")
}

// unseal opens the recording with a key, and checks that it is genuine.
func (s *source) unseal(key *recording.PrivateKey, trusted []ed25519.PublicKey) (*recording.Reader, error) {
	r, err := recording.NewReader(s, key)
	if err != nil {
		return nil, err
	}
	s.opened = r
	return r, s.genuine(r.Header(), trusted)
}

// genuine says what is wrong unless one of the trusted gateways, if there are any, signed the header, and it is of the session
// that was asked for.
func (s *source) genuine(h recording.Header, trusted []ed25519.PublicKey) error {
	if s.session != "" && s.session != h.Session.ID {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("Not valid: it is of session %s, not %s.", h.Session.ID, s.session),
			Next:     "Do not rely on it, and tell those who look after security.",
		}
	}
	if len(trusted) > 0 && !slices.ContainsFunc(trusted, func(k ed25519.PublicKey) bool { return k.Equal(h.Signer) }) {
		return untrusted(h)
	}
	return nil
}

// trusted gives the gateways' recording keys: those on the command line, or else those that the last login has
// learned. There may be none.
func (a *app) trusted(lines []string) ([]ed25519.PublicKey, error) {
	given := len(lines) > 0
	if !given {
		c, err := a.client()
		if err != nil {
			return nil, nil // nobody has logged in here: files can still be read
		}
		lines = c.Config().RecordingKeys
	}
	var keys []ed25519.PublicKey
	for _, line := range lines {
		key, err := signerKey(line)
		if err != nil && given {
			return nil, &usageError{fmt.Sprintf("--signer: %v", err)}
		}
		if err != nil {
			return nil, fmt.Errorf("recording key learned at login: %w", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// signerKey reads a public key line such as "ssh-ed25519 AAAA…".
func signerKey(line string) (ed25519.PublicKey, error) {
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return nil, errors.New(`want a line such as "ssh-ed25519 AAAA..."`)
	}
	if c, ok := parsed.(ssh.CryptoPublicKey); ok {
		if key, ok := c.CryptoPublicKey().(ed25519.PublicKey); ok {
			return key, nil
		}
	}
	return nil, fmt.Errorf("key is of type %s, not ssh-ed25519", parsed.Type())
}

func fingerprint(key ed25519.PublicKey) string {
	public, err := ssh.NewPublicKey(key)
	if err != nil {
		return "an unknown key"
	}
	return ssh.FingerprintSHA256(public)
}

func untrusted(h recording.Header) error {
	return &sekisho.Refusal{
		Sentence: fmt.Sprintf("This recording is not genuine: it is signed by %s, which is no gateway you trust.", fingerprint(h.Signer)),
		Next:     "If the gateway has a new key, run sekisho login again, or give the key with --signer.",
	}
}

// bad is the func bad for what was read from s. Of a recording without an end it says up to when that goes; the end of what
// there is of a live session is nothing odd.
func (s *source) bad(err error) error {
	var refusal *sekisho.Refusal
	if !errors.Is(err, recording.ErrCut) || errors.As(err, &refusal) || s.opened == nil && !s.open {
		return bad(err)
	}
	if s.open {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("The session still runs, says the server: this is its recording up to now%s, and what is there is in order.", s.reached(" (%s, %s)")),
			Next:     "sekisho sessions watch " + s.session + " shows it as it goes on.", Cause: err,
		}
	}
	return badCut(err, s.reached(", at %s of the session (%s)"))
}

// reached says by a form how far what was opened goes: a time within the session, and that by the clock.
func (s *source) reached(form string) string {
	if s.opened == nil {
		return ""
	}
	_, at, _ := s.opened.End()
	return fmt.Sprintf(form, replay.Clock(at), local(s.opened.Header().Session.Started.Add(at)))
}

// badCut is what is said of a recording that has no end.
func badCut(err error, reached string) error {
	what := found(err)
	if reached != "" {
		what = strings.TrimSuffix(what, ": "+recording.ErrCut.Error()) + reached
	}
	return &sekisho.Refusal{
		Sentence: fmt.Sprintf("The recording is cut: %s. What comes before is in order.", what),
		Next:     "If the session still runs, try again when it has ended; if not, the audit log tells whether the gateway died.",
		Cause:    err,
	}
}

// found is what was found to be wrong, without what was being done.
func found(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "read recording: "), "verify recording: ")
}

// bad turns what is wrong with a recording into words for the person, and leaves other errors as they are.
func bad(err error) error {
	var wrong *recording.WrongKeyError
	var refusal *sekisho.Refusal
	if err == nil || errors.As(err, &refusal) {
		return err
	}
	var missing *replay.NoChannelError
	what := found(err)
	switch {
	case errors.As(err, &missing):
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("The recording has no channel %d.", missing.Channel),
			Next:     "sekisho recordings export --format json shows those it has.", Cause: err,
		}
	case errors.Is(err, replay.ErrInexpressible):
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("%s.", strings.ToUpper(what[:1])+what[1:]),
			Next:     "Use --format json, which holds all of a recording, or another --channel.", Cause: err,
		}
	case errors.As(err, &wrong):
		return &sekisho.Refusal{Sentence: fmt.Sprintf("Wrong key: %v.", wrong), Next: "Give --key one of those.", Cause: err}
	case errors.Is(err, recording.ErrCut) && strings.Contains(what, "inside its header"):
		return &sekisho.Refusal{Sentence: "This is no recording, or only the first bytes of one.",
			Next: "Fetch it again with sekisho recordings download.", Cause: err}
	case errors.Is(err, recording.ErrCut):
		return badCut(err, "")
	case errors.Is(err, recording.ErrVersion):
		return &sekisho.Refusal{Sentence: fmt.Sprintf("This recording cannot be read: %s.", what), Next: "Use a newer sekisho.", Cause: err}
	case errors.Is(err, recording.ErrOld):
		return &sekisho.Refusal{Sentence: fmt.Sprintf("This recording cannot be read: %s.", what), Next: "Use the sekisho of its time.", Cause: err}
	case errors.Is(err, recording.ErrInvalid):
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("Not valid: %s.", what),
			Next:     "Do not rely on this copy; fetch another with sekisho recordings download.", Cause: err,
		}
	}
	return err
}
