package recording

import (
	"crypto"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// Sink is where a recording goes. Sync returns when all that was written is durable.
type Sink interface {
	io.Writer
	Sync() error
}

// minPiece is the least of a stream that is split off to fill a frame.
const minPiece = 4 << 10

// frames lends buffers to writers while they have something pending, so that an idle session holds none.
var frames = sync.Pool{New: func() any { return new([MaxFrame]byte) }}

// Writer writes one recording. It is not safe for concurrent use. After the first error from sealing or from the
// sink every call returns that error: the file then ends at the last whole frame.
type Writer struct {
	sink    Sink
	signer  crypto.Signer
	header  Header
	aead    cipher.AEAD
	chain   *chain
	random  bool            // each frame has a random nonce
	buf     *[MaxFrame]byte // nil while nothing is pending
	press   *press          // nil unless a compressed frame is being written
	used    int             // bytes of entries in buf, behind the frame's head
	first   uint64          // time of the first of them, microseconds
	pace    pace
	past    dictionary
	thrift  thrift
	segment Segment // the running one; without frames until one is written
	bytes   int64   // written to the sink
	total   totals
	err     error
}

// NewWriter begins a recording: when it returns, the header and the sealed description of the session are durable.
// The session needs ID and Started. The signer's key must be Ed25519.
func NewWriter(sink Sink, h Header, recipients []Recipient, signer crypto.Signer) (*Writer, error) {
	clear, err := newHeader(h, recipients, signer)
	if err != nil {
		return nil, err
	}
	aead, err := clear.sealKey(recipients)
	if err != nil {
		return nil, err
	}
	if err := clear.sign(signer); err != nil {
		return nil, err
	}
	w := &Writer{sink: sink, signer: signer, header: clear.public(), aead: aead, chain: newChain(clear.hash), random: clear.random, thrift: newThrift()}
	w.header.Session = h.Session
	w.segment.Chain = w.header.Hash
	if err := w.begin(clear.bytes, h); err != nil {
		return nil, err
	}
	return w, nil
}

func newHeader(h Header, recipients []Recipient, signer crypto.Signer) (*clearHeader, error) {
	public, ok := signer.Public().(ed25519.PublicKey)
	started := h.Session.Started
	switch {
	case !ok:
		return nil, fmt.Errorf("sign recording: key is %T, not Ed25519", signer.Public())
	case !sessionForm.MatchString(h.Session.ID):
		return nil, fmt.Errorf("begin recording: session id %.70q cannot be used", h.Session.ID)
	case started.Year() < 1970 || started.Year() > 2200:
		return nil, fmt.Errorf("begin recording: the session has no proper start (%s)", started)
	case len(recipients) == 0:
		return nil, errors.New("begin recording: nobody to seal it to")
	case len(recipients) > MaxRecipients:
		return nil, fmt.Errorf("begin recording: %d recipients, more than %d", len(recipients), MaxRecipients)
	}
	seen := map[keyID]bool{}
	for _, to := range recipients {
		if to.public == nil {
			return nil, errors.New("begin recording: a recipient is empty")
		}
		if seen[to.id] {
			return nil, fmt.Errorf("begin recording: recipient %s is named twice", to.ID())
		}
		seen[to.id] = true
	}
	// FIPS 140 wants nonces that its module makes, for files that are to be of its algorithms alone.
	random := !slices.ContainsFunc(recipients, func(to Recipient) bool { return !to.FIPS() })
	return &clearHeader{random: random, session: h.Session.ID, started: started.UnixNano(), signer: public}, nil
}

// begin writes header and first frame in one piece.
func (w *Writer) begin(header []byte, h Header) error {
	h.Session.Started = h.Session.Started.UTC().Round(0)
	session, err := json.Marshal(h.Session)
	if err != nil {
		return fmt.Errorf("describe session: %w", err)
	}
	if len(session) > MaxData {
		return fmt.Errorf("describe session: %d bytes, more than %d", len(session), MaxData)
	}
	w.put(Entry{Kind: kindSession, Data: session})
	frame, err := w.seal(0)
	if err != nil {
		return err
	}
	if err := w.write(append(header, frame...)); err != nil {
		return err
	}
	return w.sync()
}

// Header is the header with everything filled in.
func (w *Writer) Header() Header { return w.header }

// HeaderHash is the hex SHA-256 of the header: what the audit log notes when a recording is opened.
func (w *Writer) HeaderHash() string { return w.header.Hash }

// Append takes an entry into the recording; its data are copied. Only a full frame is written at once: call Flush
// before what was appended may be relied upon.
func (w *Writer) Append(e Entry) error {
	if w.err != nil {
		return w.err
	}
	if !e.Kind.known() || e.Kind == kindSession || e.Kind == kindEnd {
		return fmt.Errorf("append entry: %s cannot be written", e.Kind)
	}
	if e.At < 0 {
		return fmt.Errorf("append %s: time %s is before the session", e.Kind, e.At)
	}
	if len(e.Data) > MaxData && !e.Kind.Stream() {
		return fmt.Errorf("append %s: %d bytes, more than %d", e.Kind, len(e.Data), MaxData)
	}
	for {
		piece := e
		piece.Data = e.Data[:min(len(e.Data), MaxData)]
		switch room := maxPlain - w.used - entryHeader; {
		case len(piece.Data) <= room:
		case e.Kind.Stream() && room >= minPiece:
			piece.Data = e.Data[:room]
		default:
			if err := w.push(); err != nil {
				return err
			}
		}
		w.put(piece)
		w.total.add(piece)
		if e.Data = e.Data[len(piece.Data):]; len(e.Data) == 0 {
			return nil
		}
	}
}

func (w *Writer) put(e Entry) {
	if w.buf == nil {
		w.buf = frames.Get().(*[MaxFrame]byte)
	}
	first := w.used == 0
	w.used += putEntry(w.buf[frameHead+w.used:], e, &w.pace)
	if first {
		w.first = w.pace.last
	}
}

// push seals what is pending and writes it, without waiting until it is durable.
func (w *Writer) push() error {
	if w.err != nil || w.used == 0 {
		return w.err
	}
	frame, err := w.seal(0)
	if err != nil {
		return err
	}
	return w.write(frame)
}

// Flush seals what is pending, writes it in one piece and syncs the sink. When it returns, all that was appended is
// durable.
func (w *Writer) Flush() error {
	if err := w.push(); err != nil {
		return err
	}
	return w.sync()
}

// Cut closes the running segment: what is pending is written, without waiting until it is durable, and the next frame
// opens a new segment. It returns the facts about the closed one. A segment without frames is not closed: then Cut
// returns it as it is, and it goes on.
func (w *Writer) Cut() (Segment, error) {
	if err := w.push(); err != nil {
		return Segment{}, err
	}
	closed := w.Segment()
	if closed.Frames == 0 {
		return closed, nil
	}
	if closed.Index+1 >= MaxSegments {
		return Segment{}, fmt.Errorf("cut recording: it has %d segments already", MaxSegments)
	}
	w.segment = Segment{Index: closed.Index + 1, Offset: w.bytes, Frame: int64(w.chain.seq), Chain: hex.EncodeToString(w.chain.now[:])}
	return closed, nil
}

// Segment tells of the running segment, as far as it is written; what is pending does not count. After Close it is
// the last one, with the signature. Its times are those of its entries so far.
func (w *Writer) Segment() Segment {
	s := w.segment
	s.Bytes = w.bytes - s.Offset
	return s
}

// Close writes the end record, signs the chain and waits until it is durable. It does not close the sink.
func (w *Writer) Close(end End, at time.Duration) (Summary, error) {
	if err := w.push(); err != nil {
		return Summary{}, err
	}
	w.total.frames = w.chain.seq
	data := w.total.encode(end)
	if at < 0 || end == "" || len(data) > MaxData-ed25519.SignatureSize {
		return Summary{}, fmt.Errorf("close recording: end %.70q at %s cannot be written", end, at)
	}
	w.put(Entry{Kind: kindEnd, At: at, Data: data})
	frame, err := w.seal(flagLast)
	if err != nil {
		return Summary{}, err
	}
	signature, err := w.signer.Sign(rand.Reader, endMessage(w.chain), crypto.Hash(0))
	if err == nil && len(signature) != ed25519.SignatureSize {
		err = fmt.Errorf("signature of %d bytes", len(signature))
	}
	if err != nil {
		w.err = fmt.Errorf("sign end record: %w", err)
		return Summary{}, w.err
	}
	// The end record is small: the signature always has room behind it.
	if err := w.write(append(frame, signature...)); err != nil {
		return Summary{}, err
	}
	if err := w.sync(); err != nil {
		return Summary{}, err
	}
	w.err = errors.New("the recording is closed")
	return Summary{Chain: hex.EncodeToString(w.chain.now[:]), Bytes: w.bytes}, nil
}

// seal makes a frame of what is pending. The frame is valid until write.
func (w *Writer) seal(flags byte) ([]byte, error) {
	plain := w.buf[frameHead : frameHead+w.used]
	if w.segment.Frames == 0 {
		flags |= flagOpens
		w.past.clear()
	}
	b, size := w.buf[:], len(plain)
	if flags&flagLast == 0 && w.shrink(plain) {
		b, size, flags = w.press.frame[:], w.press.used, flags|flagPress
	}
	w.past.add(plain)
	nonce, data := w.chain.bind(flags, w.random)
	entries := b[frameHead : frameHead+size]
	sealed := w.aead.Seal(entries[:0], nonce, entries, data)
	binary.BigEndian.PutUint32(b, uint32(len(sealed)))
	b[4] = flags
	frame := b[:frameHead+len(sealed)]
	w.used, w.pace.running = 0, false
	if err := w.chain.add(frame); err != nil {
		w.err = err
		return nil, err
	}
	return frame, nil
}

// shrink compresses the entries of a frame into press, if that makes them fewer.
func (w *Writer) shrink(plain []byte) bool {
	if len(plain) < minPressed || !w.thrift.try(len(plain), w.pace.last) {
		return false
	}
	p := presses.Get().(*press)
	if !p.shrink(plain, w.past.b) {
		w.thrift.learn(len(plain), len(plain))
		presses.Put(p)
		return false
	}
	w.thrift.learn(len(plain), p.used)
	w.press = p
	return true
}

// write hands b, which ends with the frame that was sealed last, to the sink, and gives the buffers back.
func (w *Writer) write(b []byte) error {
	_, err := w.sink.Write(b)
	w.release()
	if err != nil {
		w.err = fmt.Errorf("write recording: %w", err)
		return w.err
	}
	w.bytes += int64(len(b))
	if w.segment.Frames == 0 {
		w.segment.First = time.Duration(w.first) * time.Microsecond
	}
	w.segment.Frames++
	w.segment.Last = time.Duration(w.pace.last) * time.Microsecond
	return nil
}

func (w *Writer) sync() error {
	if err := w.sink.Sync(); err != nil {
		w.err = fmt.Errorf("make recording durable: %w", err)
	}
	return w.err
}

func (w *Writer) release() {
	if w.buf != nil {
		frames.Put(w.buf)
		w.buf = nil
	}
	if w.press != nil {
		presses.Put(w.press)
		w.press = nil
	}
}
