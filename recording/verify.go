package recording

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// VerifyOptions say what a recording is held against. Empty fields are not checked.
type VerifyOptions struct {
	// Key opens every frame too; without it the header's signature, the chain and the end's signature are checked.
	Key *PrivateKey
	// Signers are the gateways' recording keys. Without them anybody's recording is as good as a gateway's.
	Signers []ed25519.PublicKey
	// Chain is the hex SHA-256 that the audit log has for the closed recording.
	Chain string
	// Cut is the one that it has for a recording that the gateway did not close (recording.interrupted): how far the
	// recording went when the gateway started again. What is shorter, longer or closed is not that recording.
	Cut string
	// Manifest is what the recording's index says of its segments.
	Manifest *Manifest
	// Session is the ID of the session that the recording should be of.
	Session string
}

// Report is what Verify found, complete or up to where it stopped.
type Report struct {
	Header Header
	// Frames and Bytes count what is whole, Chain is the hex SHA-256 up to there.
	Frames int64
	Bytes  int64
	Chain  string
	// Complete: there is an end record, and it is signed.
	Complete bool
	// Noted: there is no end record, but the recording goes exactly as far as VerifyOptions.Cut says. The error is
	// still ErrCut.
	Noted bool
	// Segments counts those that have begun.
	Segments int
	// Trusted: the signer is one of VerifyOptions.Signers.
	Trusted bool
	// Opened: a key was given and every frame up to there opened. Only then are the fields below known.
	Opened  bool
	Entries int64
	// Length is the time of the end record, or of the latest entry in a file without one.
	Length time.Duration
	End    End
}

// Verify reads a whole recording and returns nil when nothing is wrong with it. The report is filled in as far as
// it got; an error that wraps ErrCut says that all up to there is right but the end is missing.
func Verify(r io.Reader, opts VerifyOptions) (Report, error) {
	file, err := newContainer(r)
	if err != nil {
		return Report{}, err
	}
	report := Report{Header: file.header.public()}
	if err := opts.checkHeader(&report); err != nil {
		return report, err
	}
	if opts.Manifest != nil {
		if err := opts.Manifest.checkHeader(report.Header); err != nil {
			return report, err
		}
		file.closed = func(s Segment) error { return opts.Manifest.checkSegment(s, opts.Key != nil) }
	}
	if opts.Key != nil {
		err = verifyOpened(file, opts.Key, &report)
	} else {
		err = verifyClosed(file)
	}
	report.Frames, report.Bytes, report.Segments = int64(file.chain.seq), file.bytes, file.segments()
	report.Chain, report.Complete = hex.EncodeToString(file.chain.now[:]), file.done
	if err != nil && !errors.Is(err, ErrCut) {
		return report, err
	}
	if wrong := opts.checkChain(&report); wrong != nil {
		return report, wrong
	}
	if wrong := opts.checkIndex(&report); wrong != nil {
		return report, wrong
	}
	return report, err
}

// checkChain holds what was read against the audit log.
func (o *VerifyOptions) checkChain(report *Report) error {
	switch {
	case report.Complete && o.Cut != "":
		return invalid("verify recording: it is closed, but the audit log has it as interrupted at %s", o.Cut)
	case report.Complete && o.Chain != "" && !strings.EqualFold(o.Chain, report.Chain):
		return invalid("verify recording: its chain ends in %s, but the audit log has %s", report.Chain, o.Chain)
	case !report.Complete && o.Cut != "" && !strings.EqualFold(o.Cut, report.Chain):
		return invalid("verify recording: it stops at chain %s, but the audit log has %s: it was cut again, or went on", report.Chain, o.Cut)
	}
	report.Noted = !report.Complete && o.Cut != ""
	return nil
}

// checkIndex finds segments that the manifest does not have.
func (o *VerifyOptions) checkIndex(report *Report) error {
	if o.Manifest == nil || !report.Complete || o.Manifest.State == sekisho.RecordingOpen || len(o.Manifest.Segments) == report.Segments {
		return nil
	}
	return invalid("verify recording: it has %d segments, its manifest %d", report.Segments, len(o.Manifest.Segments))
}

func (o *VerifyOptions) checkHeader(report *Report) error {
	report.Trusted = slices.ContainsFunc(o.Signers, func(k ed25519.PublicKey) bool { return k.Equal(report.Header.Signer) })
	if len(o.Signers) > 0 && !report.Trusted {
		return invalid("verify recording: it is not signed by any of the trusted gateway keys")
	}
	if o.Session != "" && o.Session != report.Header.Session.ID {
		return invalid("verify recording: it is of session %s, not %s", report.Header.Session.ID, o.Session)
	}
	return nil
}

// verifyOpened goes through a file with a key.
func verifyOpened(file *container, key *PrivateKey, report *Report) error {
	r, err := openContainer(file, key)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = r.Next()
	}
	report.Header = r.Header()
	report.Entries, report.Length, report.End = int64(r.counted.entries), r.last, r.end
	report.Opened = errors.Is(err, io.EOF) || errors.Is(err, ErrCut)
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// verifyClosed goes through a file without a key.
func verifyClosed(file *container) error {
	for {
		frame, flags, err := file.frame()
		if err != nil {
			return err
		}
		if err := file.accept(frame, flags); err != nil {
			return err
		}
		if flags&flagLast != 0 {
			return file.finish()
		}
	}
}

// ReadHeader reads the header alone, and checks its form and signature. Of its Session only ID and Started are known.
func ReadHeader(r io.Reader) (Header, error) {
	h, err := readHeader(r)
	if err != nil {
		return Header{}, fmt.Errorf("read recording: %w", err)
	}
	return h.public(), nil
}
