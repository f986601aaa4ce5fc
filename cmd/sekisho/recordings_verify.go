package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

type recordingsVerifyCmd struct {
	Recording string   `arg:"" name:"session|file" suggest:"recorded" help:"Session ID, or a downloaded file."`
	Key       string   `suggest:"keys" placeholder:"KEY" help:"Private key (a file, a name in the key folder, or a pkcs11: URI); opens every frame, too."`
	Signer    []string `sep:"none" placeholder:"LINE" help:"Public key line of a gateway to trust, instead of those learned at login."`
	Chain     string   `placeholder:"HEX" help:"Of a file: the chain that the audit log has for it, in recording.closed or recording.interrupted."`
}

func (*recordingsVerifyCmd) Help() string {
	return `Checks that a recording was made by a gateway you trust and that nothing was changed, left out, moved or cut off. It needs no private key; with one, every frame is opened as well. A session's recording is fetched from the server and also compared with what the server noted when it was closed, or when it found it interrupted.

Which gateways to trust is learned at login. A file is checked without asking anyone. One without its signed end is genuine as far as it goes, but only the audit log tells how far that was: give its chain with --chain.

Exits with 0 if all is well, and with 1 if not.

Examples:

    sekisho recordings verify ses_k5xqz7...
    sekisho recordings verify ses_k5xqz7....rec --key auditor.key
    sekisho recordings verify copy.rec --signer "ssh-ed25519 AAAA..."
    sekisho recordings verify copy.rec --chain 5f1c...
`
}

func (cmd *recordingsVerifyCmd) Run(a *app) error {
	opts, err := cmd.options(a)
	if err != nil {
		return err
	}
	src, err := a.openRecording(cmd.Recording)
	if err != nil {
		return err
	}
	defer src.close()
	if cmd.Key != "" {
		if opts.Key, err = a.verifierKey(src, cmd.Key, opts.Signers); err != nil {
			return err
		}
	}
	report, err := recording.Verify(src, opts)
	if err != nil && report.Header.Signer != nil && !report.Trusted {
		return untrusted(report.Header)
	}
	if err == nil || errors.Is(err, recording.ErrCut) {
		if wrong := cmd.held(&report); wrong != nil {
			err = wrong
		}
	}
	if report.Noted {
		return interrupted(report, err)
	}
	if err != nil {
		return src.bad(a.wrongKey(err))
	}
	_, err = fmt.Fprintln(a.out, valid(report, opts, cmd.Chain != ""))
	return err
}

// verifierKey opens the key for a recording that one of the signers made.
func (a *app) verifierKey(s *source, name string, signers []ed25519.PublicKey) (*recording.PrivateKey, error) {
	h, err := s.peek()
	if err != nil {
		return nil, bad(err)
	}
	if err := s.genuine(h, signers); err != nil {
		return nil, err
	}
	return a.keyFor(h, name)
}

// held holds a file against the chain that was given for it: where it has its signed end, and where it stops without one.
func (cmd *recordingsVerifyCmd) held(report *recording.Report) error {
	if cmd.Chain == "" {
		return nil
	}
	if !strings.EqualFold(cmd.Chain, report.Chain) {
		return fmt.Errorf("verify recording: it goes up to chain %s, not %s: %w", report.Chain, plain(cmd.Chain), recording.ErrInvalid)
	}
	report.Noted = !report.Complete
	return nil
}

// interrupted is said of a recording without a signed end that goes as far as the audit log says.
func interrupted(r recording.Report, cause error) error {
	return &sekisho.Refusal{
		Sentence: fmt.Sprintf("The recording is cut: session %s was interrupted after %d frames (%s), chain %s. That is as far as it was noted: what there is is in order, and no more was cut off.",
			r.Header.Session.ID, r.Frames, size(r.Bytes), r.Chain),
		Next: "The event recording.interrupted in the audit log says why it has no end.", Cause: cause,
	}
}

// options collects what the recording is held against.
func (cmd *recordingsVerifyCmd) options(a *app) (recording.VerifyOptions, error) {
	var opts recording.VerifyOptions
	var err error
	if opts.Signers, err = a.trusted(cmd.Signer); err != nil {
		return opts, err
	}
	if len(opts.Signers) == 0 {
		return opts, &sekisho.Refusal{
			Sentence: "No gateway's key is known here, so nothing can be said about who made this recording.",
			Next:     "Run sekisho login first, or give the key with --signer.",
		}
	}
	if !isSession(cmd.Recording) {
		return opts, nil
	}
	if cmd.Chain != "" {
		return opts, &usageError{"--chain is for files; of a session the server is asked"}
	}
	known, err := a.recordingOf(cmd.Recording)
	if err != nil {
		return opts, err
	}
	opts.Session = cmd.Recording
	switch {
	case known.State == sekisho.RecordingClosed && known.Chain == "":
		return opts, errors.New("the server says that the recording is closed, but not with which chain")
	case known.State == sekisho.RecordingInterrupted && known.Chain == "":
		return opts, &sekisho.Refusal{
			Sentence: "The server says that the recording was interrupted, but not yet how far it goes, so nobody can say whether more is missing.",
			Next:     "It finds out when it starts again; or download the recording, and verify the file.",
		}
	case known.State == sekisho.RecordingInterrupted:
		opts.Cut = known.Chain
	default:
		opts.Chain = known.Chain
	}
	return opts, nil
}

// valid is the one line about a recording in which nothing is wrong.
func valid(r recording.Report, opts recording.VerifyOptions, given bool) string {
	facts := []string{
		fmt.Sprintf("signed by gateway %s", fingerprint(r.Header.Signer)),
		fmt.Sprintf("%d frames, %s, chain %s", r.Frames, size(r.Bytes), r.Chain),
	}
	switch {
	case given:
		facts = append(facts, "as was given")
	case opts.Chain != "":
		facts = append(facts, "as the server noted it")
	}
	if r.Opened {
		s := r.Header.Session
		facts = append(facts, fmt.Sprintf("every frame opens: %s as %s on %s, %d entries, %s, ended: %s",
			s.Identity.Subject, s.Login, s.Target, r.Entries, r.Length, r.End))
	}
	return plain(fmt.Sprintf("Valid and complete: session %s; %s.", r.Header.Session.ID, strings.Join(facts, "; ")))
}
