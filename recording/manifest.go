package recording

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/sekisho/sekisho"
)

// MaxManifest is the most bytes that a manifest takes.
const MaxManifest = 24 << 20

const manifestFormat = 2

// Manifest is the index of a recording that is kept as one object for each segment. It is not sealed and not signed:
// it tells where to begin, and the recording itself proves whether that is right.
type Manifest struct {
	// Session is the ID of the recording's session.
	Session string
	// Header is the hex SHA-256 of the recording's header.
	Header string
	// State is sekisho.RecordingOpen, RecordingClosed or RecordingInterrupted.
	State string
	// Chain is the hex SHA-256 where the recording ends, empty while it is open.
	Chain string
	// Segments are those that were closed, in order.
	Segments []Segment
}

// The JSON forms. Times are microseconds.
type manifestForm struct {
	Format   int           `json:"format"`
	Session  string        `json:"session"`
	Header   string        `json:"header"`
	State    string        `json:"state"`
	Chain    string        `json:"chain,omitempty"`
	Segments []segmentForm `json:"segments"`
}

type segmentForm struct {
	Index  int    `json:"index"`
	Offset int64  `json:"offset"`
	Bytes  int64  `json:"bytes"`
	Frame  int64  `json:"frame"`
	Frames int64  `json:"frames"`
	Chain  string `json:"chain"`
	First  int64  `json:"first"`
	Last   int64  `json:"last"`
}

// Encode gives the manifest as one line of JSON. It fails for one that ParseManifest would refuse.
func (m Manifest) Encode() ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	form := manifestForm{Format: manifestFormat, Session: m.Session, Header: m.Header, State: m.State, Chain: m.Chain, Segments: []segmentForm{}}
	for _, s := range m.Segments {
		form.Segments = append(form.Segments, segmentForm{
			s.Index, s.Offset, s.Bytes, s.Frame, s.Frames, s.Chain, s.First.Microseconds(), s.Last.Microseconds(),
		})
	}
	b, err := json.Marshal(form)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	if len(b) >= MaxManifest {
		return nil, fmt.Errorf("encode manifest: %d bytes, more than %d", len(b), MaxManifest)
	}
	return append(b, '\n'), nil
}

// ParseManifest reads what Encode gave, byte for byte: there is one text for each manifest.
func ParseManifest(text []byte) (Manifest, error) {
	if len(text) > MaxManifest {
		return Manifest{}, invalid("parse manifest: more than %d bytes", MaxManifest)
	}
	var form manifestForm
	if err := json.Unmarshal(text, &form); err != nil {
		return Manifest{}, invalid("parse manifest: it is not JSON of the right form")
	}
	if form.Format != manifestFormat {
		return Manifest{}, invalid("parse manifest: format %d: %w", form.Format, ErrVersion)
	}
	m := Manifest{Session: form.Session, Header: form.Header, State: form.State, Chain: form.Chain}
	for _, s := range form.Segments {
		if max(s.First, s.Last) > maxTime {
			return Manifest{}, invalid("parse manifest: segment %d: it has a time beyond all sessions", s.Index)
		}
		first, last := time.Duration(s.First)*time.Microsecond, time.Duration(s.Last)*time.Microsecond
		m.Segments = append(m.Segments, Segment{s.Index, s.Offset, s.Bytes, s.Frame, s.Frames, s.Chain, first, last})
	}
	again, err := m.Encode()
	if err != nil {
		return Manifest{}, fmt.Errorf("parse manifest: %w", err)
	}
	if !bytes.Equal(again, text) {
		return Manifest{}, invalid("parse manifest: it is not in the one form that manifests have")
	}
	return m, nil
}

// check finds what cannot be: segments that do not join, an end that does not fit the state.
func (m *Manifest) check() error {
	states := []string{sekisho.RecordingOpen, sekisho.RecordingClosed, sekisho.RecordingInterrupted}
	switch {
	case !sessionForm.MatchString(m.Session):
		return invalid("it has no proper session id")
	case !isSum(m.Header):
		return invalid("its header's hash is no hex SHA-256")
	case !slices.Contains(states, m.State):
		return invalid("state %.70q is none of %q", m.State, states)
	case (m.Chain != "") != (m.State != sekisho.RecordingOpen) || m.Chain != "" && !isSum(m.Chain):
		return invalid("a recording that is %s cannot end in chain %.70q", m.State, m.Chain)
	case len(m.Segments) > MaxSegments:
		return invalid("%d segments, more than %d", len(m.Segments), MaxSegments)
	case len(m.Segments) == 0 && m.State == sekisho.RecordingClosed:
		return invalid("a closed recording has segments")
	}
	next := Segment{Chain: m.Header}
	for i, s := range m.Segments {
		if err := s.check(); err != nil {
			return err
		}
		if s.Index != i || s.Offset != next.Offset || s.Frame != next.Frame || s.Frames == 0 || s.First < next.Last || i == 0 && s.Chain != m.Header {
			return invalid("segment %d does not join the one before", i)
		}
		next = Segment{Offset: s.Offset + s.Bytes, Frame: s.Frame + s.Frames, Last: s.Last}
	}
	return nil
}

func isSum(s string) bool {
	sum, err := hex.DecodeString(s)
	return err == nil && len(sum) == 32 && hex.EncodeToString(sum) == s
}

// At is the segment in which the given time after the session's start is, and the last one for times after its end;
// ok is false for a manifest without segments.
func (m *Manifest) At(at time.Duration) (s Segment, ok bool) {
	for _, next := range m.Segments {
		if ok && next.First > at {
			break
		}
		s, ok = next, true
	}
	return s, ok
}

func (m *Manifest) checkHeader(h Header) error {
	if err := m.check(); err != nil {
		return fmt.Errorf("verify recording: manifest: %w", err)
	}
	if m.Session != h.Session.ID || m.Header != h.Hash {
		return invalid("verify recording: its manifest is that of another recording")
	}
	return nil
}

func (m *Manifest) checkSegment(found Segment, times bool) error {
	if found.Index >= len(m.Segments) {
		if m.State == sekisho.RecordingOpen {
			return nil // it went on
		}
		return invalid("segment %d is not in its manifest", found.Index)
	}
	return m.Segments[found.Index].differs(found, times)
}
