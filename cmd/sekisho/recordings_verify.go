package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

type recordingsVerifyCmd struct {
	Recording string   `arg:"" name:"session|file" help:"Session ID, or a downloaded file."`
	Key       string   `suggest:"keys" placeholder:"KEY" help:"Private key (a file, a name in the key folder, or a pkcs11: URI); opens every frame, too."`
	Signer    []string `sep:"none" placeholder:"LINE" help:"Public key line of a gateway to trust, instead of those learned at login."`
}

func (*recordingsVerifyCmd) Help() string {
	return `Checks that a recording was made by a gateway you trust and that nothing was changed, left out, moved or cut off. It needs no private key; with one, every frame is opened as well. A session's recording is fetched from the server and also compared with what the server noted when it was closed.

Which gateways to trust is learned at login. A file is checked without asking anyone.

Exits with 0 if all is well, and with 1 if not.

Examples:

    sekisho recordings verify ses_k5xqz7...
    sekisho recordings verify ses_k5xqz7....rec --key auditor.key
    sekisho recordings verify copy.rec --signer "ssh-ed25519 AAAA..."
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
	report, err := recording.Verify(src, opts)
	if err != nil && report.Header.Signer != nil && !report.Trusted {
		return untrusted(report.Header)
	}
	if err != nil {
		return src.bad(a.wrongKey(err))
	}
	_, err = fmt.Fprintln(a.out, valid(report, opts))
	return err
}

// options collects what the recording is held against.
func (cmd *recordingsVerifyCmd) options(a *app) (recording.VerifyOptions, error) {
	var opts recording.VerifyOptions
	var err error
	if cmd.Key != "" {
		if opts.Key, err = a.key(cmd.Key); err != nil {
			return opts, err
		}
	}
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
	known, err := a.recordingOf(cmd.Recording)
	if err != nil {
		return opts, err
	}
	if known.State == sekisho.RecordingClosed && known.Chain == "" {
		return opts, errors.New("the server says that the recording is closed, but not with which chain")
	}
	opts.Session, opts.Chain = cmd.Recording, known.Chain
	return opts, nil
}

// valid is the one line about a recording in which nothing is wrong.
func valid(r recording.Report, opts recording.VerifyOptions) string {
	facts := []string{
		fmt.Sprintf("signed by gateway %s", fingerprint(r.Header.Signer)),
		fmt.Sprintf("%d frames, %s, chain %s", r.Frames, size(r.Bytes), r.Chain),
	}
	if opts.Chain != "" {
		facts = append(facts, "as the server noted it")
	}
	if r.Opened {
		s := r.Header.Session
		facts = append(facts, fmt.Sprintf("every frame opens: %s as %s on %s, %d entries, %s, ended: %s",
			s.Identity.Subject, s.Login, s.Target, r.Entries, r.Length, r.End))
	}
	return plain(fmt.Sprintf("Valid and complete: session %s; %s.", r.Header.Session.ID, strings.Join(facts, "; ")))
}
