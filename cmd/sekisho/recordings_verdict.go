package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

// verdict is what verify finds, as --json says it. Its help explains the words.
type verdict string

const (
	validVerdict    verdict = "valid"
	stillRuns       verdict = "running"
	wasInterrupted  verdict = "interrupted"
	isCut           verdict = "cut"
	isInvalid       verdict = "invalid"
	untrustedSigner verdict = "untrusted"
	unchecked       verdict = "unchecked"
)

// judged is the verdict on a report and what came with it.
func judged(r *recording.Report, running bool, err error) verdict {
	read := r.Header.Signer != nil
	switch {
	case err == nil:
		return validVerdict
	case read && !r.Trusted:
		return untrustedSigner
	case r.Noted:
		return wasInterrupted
	case errors.Is(err, recording.ErrInvalid), errors.Is(err, recording.ErrCut) && !read:
		return isInvalid
	case errors.Is(err, recording.ErrCut) && running:
		return stillRuns
	case errors.Is(err, recording.ErrCut):
		return isCut
	}
	return unchecked
}

// verifiedRecording is a recording as verify --json shows it.
type verifiedRecording struct {
	File    string  `json:"file,omitempty"`
	Session string  `json:"session,omitempty"`
	Verdict verdict `json:"verdict"`
	Problem string  `json:"problem,omitempty"`
	// Offset is where in the file what is in order ends; nil where what is wrong has no place in it.
	Offset   *int64 `json:"offset,omitempty"`
	Frames   int64  `json:"frames"`
	Segments int    `json:"segments"`
	Bytes    int64  `json:"bytes"`
	Chain    string `json:"chain,omitempty"`
	// OpenEnded says that there is no signed end.
	OpenEnded  bool     `json:"open_ended"`
	Signer     string   `json:"signer,omitempty"` // its fingerprint, as ssh-keygen -l shows it
	Trusted    bool     `json:"trusted"`
	Recipients []string `json:"recipients,omitempty"`
	// The fields below are known with a key only.

	Opened  bool          `json:"opened"`
	Person  string        `json:"person,omitempty"`
	Login   string        `json:"login,omitempty"`
	Target  string        `json:"target,omitempty"`
	Entries int64         `json:"entries,omitempty"`
	Seconds float64       `json:"seconds,omitempty"`
	End     recording.End `json:"end,omitempty"`
}

func (v *verification) shown() verifiedRecording {
	r := &v.report
	s := r.Header.Session
	info := verifiedRecording{
		Session: s.ID, Verdict: v.state, Frames: r.Frames, Segments: r.Segments, Bytes: r.Bytes, Chain: r.Chain, OpenEnded: !r.Complete,
		Trusted: r.Trusted, Recipients: r.Header.Recipients, Opened: r.Opened, Person: s.Identity.Subject, Login: s.Login, Target: s.Target,
		Entries: r.Entries, Seconds: replay.Seconds(r.Length), End: r.End,
	}
	if r.Header.Signer != nil {
		info.Signer = fingerprint(r.Header.Signer)
	}
	if isSession(v.name) {
		info.Session = v.name
	} else {
		info.File = v.name
	}
	if v.err != nil {
		info.Problem = spoken(v.err)
	}
	if v.placed() {
		info.Offset = &r.Bytes
	}
	return info
}

// placed says whether what is wrong is at a place in the file: in the header, or after what is whole. A whole recording can
// still be the wrong one, or be held against another chain.
func (v *verification) placed() bool {
	header := v.report.Header.Signer == nil
	return v.err != nil && v.state != unchecked && v.state != untrustedSigner && (header || v.report.Bytes > 0 && !v.report.Complete)
}

// tell prints what was found. Of a single recording what is wrong is the command's error.
func (v *verification) tell(a *app) (err error) {
	several := len(v.cmd.Recordings) > 1
	switch name := plain(v.name); {
	case v.cmd.JSON:
		err = json.NewEncoder(escaping{a.out}).Encode(v.shown())
	case v.err != nil && several:
		_, err = fmt.Fprintf(a.err, "%s: %s\n", name, spoken(v.err))
	case v.err != nil:
	case several:
		_, err = fmt.Fprintf(a.out, "%s: %s\n", name, valid(v.report, v.opts, false))
	default:
		_, err = fmt.Fprintln(a.out, valid(v.report, v.opts, v.cmd.Chain != ""))
	}
	return err
}
