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
	Recordings []string `arg:"" name:"session|file" suggest:"recorded" help:"Session IDs, or downloaded files."`
	Key        string   `suggest:"keys" placeholder:"KEY" help:"Private key (a file, a name in the key folder, or a pkcs11: URI); opens every frame, too."`
	Signer     []string `sep:"none" placeholder:"LINE" help:"Public key line of a gateway to trust, instead of those learned at login."`
	Chain      string   `placeholder:"HEX" help:"Of a file: the chain that the audit log has for it, in recording.closed or recording.interrupted."`
	JSON       bool     `name:"json" help:"Print JSON, one object a line."`
}

func (*recordingsVerifyCmd) Help() string {
	return `Checks that a recording was made by a gateway you trust and that nothing was changed, left out, moved or cut off. It needs no private key; with one, every frame is opened as well. A session's recording is fetched from the server and also compared with what the server noted when it was closed, or when it found it interrupted.

Which gateways to trust is learned at login. A file is checked without asking anyone. One without its signed end is genuine as far as it goes, but only the audit log tells how far that was: give its chain with --chain.

With --json there is an object for each recording, whatever is found. Its verdict is

    valid        whole and genuine; of a session, also as the server noted it
    running      in order up to now; the session still runs
    interrupted  in order, without a signed end, and as long as the audit log says
    cut          in order as far as it goes; how much is missing is not known
    invalid      changed, incomplete inside, of another session, or no recording
    untrusted    signed by no gateway that you trust
    unchecked    it could not be read, or not be opened with the key

"problem" says in words what is wrong, and "offset" after how many bytes of the file, where that has a place. "frames", "segments", "bytes" and "chain" are of what is in order before it, "open_ended" says that there is no signed end, and "signer" is the fingerprint of the gateway's key.

Exits with 0 if all are valid, with 1 if one is not, and with 2 if the command line makes no sense.

Examples:

    sekisho recordings verify ses_k5xqz7...
    sekisho recordings verify ses_k5xqz7....rec --key auditor.key
    sekisho recordings verify copy.rec --signer "ssh-ed25519 AAAA..."
    sekisho recordings verify copy.rec --chain 5f1c...
    sekisho recordings verify *.rec --json | jq -r 'select(.verdict != "valid") | .file'
`
}

func (cmd *recordingsVerifyCmd) Run(a *app) error {
	if cmd.Chain != "" && (len(cmd.Recordings) > 1 || isSession(cmd.Recordings[0])) {
		return &usageError{"--chain is for one file; of a session the server is asked"}
	}
	signers, err := cmd.signers(a)
	if err != nil {
		return err
	}
	failed := 0
	for _, name := range cmd.Recordings {
		v := &verification{cmd: cmd, name: name, opts: recording.VerifyOptions{Signers: signers}}
		v.err = v.check(a)
		if a.ctx.Err() != nil {
			return a.ctx.Err()
		}
		if err := v.tell(a); err != nil {
			return err
		}
		if v.err != nil {
			failed, err = failed+1, v.err
		}
	}
	if failed > 0 && len(cmd.Recordings) > 1 {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("Not valid and complete: %d of %s.", failed, count(len(cmd.Recordings), "recording")),
			Next:     "See above.",
		}
	}
	return err
}

// signers are the gateways that are trusted.
func (cmd *recordingsVerifyCmd) signers(a *app) ([]ed25519.PublicKey, error) {
	signers, err := a.trusted(cmd.Signer)
	if err == nil && len(signers) == 0 {
		err = &sekisho.Refusal{
			Sentence: "No gateway's key is known here, so nothing can be said about who made this recording.",
			Next:     "Run sekisho login first, or give the key with --signer.",
		}
	}
	return signers, err
}

// verification is one recording being verified.
type verification struct {
	cmd    *recordingsVerifyCmd
	name   string
	opts   recording.VerifyOptions
	report recording.Report
	state  verdict
	err    error // what is wrong, in words for the person
}

// check finds the verdict; its error says what is wrong.
func (v *verification) check(a *app) error {
	v.state = unchecked
	if err := v.note(a); err != nil {
		return err
	}
	src, err := a.openRecording(v.name)
	if err != nil {
		return err
	}
	defer src.close()
	if err := v.key(a, src); err != nil {
		return err
	}
	v.report, err = recording.Verify(src, v.opts)
	if err == nil || errors.Is(err, recording.ErrCut) {
		if wrong := v.cmd.held(&v.report); wrong != nil {
			err = wrong
		}
	}
	v.state = judged(&v.report, src.open, err)
	switch {
	case v.state == untrustedSigner:
		return untrusted(v.report.Header)
	case v.report.Noted:
		return interrupted(v.report, err)
	}
	return src.bad(a.wrongKey(err))
}

// key opens the key, for a recording of which that makes sense; of others Verify says what is wrong.
func (v *verification) key(a *app, src *source) error {
	if v.cmd.Key == "" {
		return nil
	}
	h, err := src.peek()
	if err != nil || src.genuine(h, v.opts.Signers) != nil {
		return nil
	}
	v.opts.Key, err = a.keyFor(h, v.cmd.Key)
	return err
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

// note takes in what the server noted of a session's recording.
func (v *verification) note(a *app) error {
	if !isSession(v.name) {
		return nil
	}
	known, err := a.recordingOf(v.name)
	if err != nil {
		return err
	}
	v.opts.Session = v.name
	switch {
	case known.State == sekisho.RecordingClosed && known.Chain == "":
		return errors.New("the server says that the recording is closed, but not with which chain")
	case known.State == sekisho.RecordingInterrupted && known.Chain == "":
		return &sekisho.Refusal{
			Sentence: "The server says that the recording was interrupted, but not yet how far it goes, so nobody can say whether more is missing.",
			Next:     "It finds out when it starts again; or download the recording, and verify the file.",
		}
	case known.State == sekisho.RecordingInterrupted:
		v.opts.Cut = known.Chain
	default:
		v.opts.Chain = known.Chain
	}
	return nil
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
