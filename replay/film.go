package replay

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/terminal"
)

// ErrFilmTooLong says that a recording holds more than a film may.
var ErrFilmTooLong = errors.New("the recording is too large to be held in memory")

const (
	// maxReel is how many bytes of changes there are from one picture that was kept to the next: what a jump has to draw.
	maxReel = 256 << 10
	// MaxFilm is how many bytes a film takes, after compression.
	MaxFilm = 512 << 20
	// maxFound is how many rows Find keeps in mind.
	maxFound = 1 << 20
	// maxFilmCommands is how many commands of a film are known, and maxFilmCommand how many bytes of each: what a line shows.
	maxFilmCommands = 100_000
	maxFilmCommand  = 1 << 10
)

// Film is one channel of a recording, kept so that it can be shown from any time on at once: what changed the screen,
// compressed, and every quarter of a megabyte the whole picture. It holds at most MaxFilm bytes.
type Film struct {
	// Length is the time of the last change, Files the number of operations on files in the session, Lost how many bytes are
	// missing from it.
	Length   time.Duration
	Files    int
	Lost     uint64
	Commands []Command // of the channel, in the order in which they began; of each the first 1,024 bytes
	reels    []reel
	size     int
}

// reel is a part of a film.
type reel struct {
	from       time.Duration // of its first change
	cols, rows int           // of the screen before it
	picture    []byte        // what draws that, compressed
	changes    []byte        // compressed
}

// change is something that happens to the screen: bytes to draw, or a new size where there are none.
type change struct {
	at         time.Duration
	cols, rows int
	data       []byte
}

// NewFilm reads a whole recording. Of a cut one the film of what is there comes with an error that wraps ErrCut; other
// errors are *NoChannelError, ErrFilmTooLong and those of r.
func NewFilm(r Source, channel uint32) (*Film, error) {
	f := &Film{}
	c := &camera{film: f, choice: Choose(channel), screen: terminal.NewScreen(80, 24)}
	c.commands = newCommandReader(func(k Command) error {
		if k.Channel == c.choice.channel && len(f.Commands) < maxFilmCommands {
			if len(k.Text) > maxFilmCommand {
				k.Text, k.Cut = strings.ToValidUTF8(k.Text[:maxFilmCommand], ""), true
			}
			f.Commands = append(f.Commands, k)
		}
		return nil
	})
	end, err := each(r, c.entry)
	if err == nil {
		err = errors.Join(c.commands.end(), c.cut(), c.choice.Missing(end))
	}
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(f.Commands, func(a, b Command) int { return int(min(max(a.At-b.At, -1), 1)) })
	if end = whole(end); end != nil && !errors.Is(end, recording.ErrCut) {
		return nil, end
	}
	return f, end
}

// Empty reports whether nothing was ever shown.
func (f *Film) Empty() bool { return len(f.reels) == 0 }

// camera makes a film.
type camera struct {
	film     *Film
	choice   Choice
	commands *commandReader
	feed     feed
	screen   *terminal.Screen
	at       time.Duration
	reel     reel
	changes  []byte // of the reel
	last     time.Duration
	buf      []byte
}

func (c *camera) entry(e recording.Entry) error {
	switch e.Kind {
	case recording.File:
		c.film.Files++
	case recording.Lost:
		c.film.Lost += LostBytes(e)
	}
	if !c.choice.Takes(e) {
		return nil
	}
	if err := c.commands.entry(e); err != nil {
		return err
	}
	c.at = max(c.at, e.At)
	switch e.Kind {
	case recording.PTYRequest:
		if p, err := recording.DecodePTY(e.Data); err == nil && !c.feed.pty {
			c.feed.pty = true
			return c.resize(p.Cols, p.Rows)
		}
	case recording.Resize:
		if cols, rows, err := recording.DecodeResize(e.Data); err == nil {
			return c.resize(cols, rows)
		}
	case recording.Output, recording.Stderr:
		return c.print(c.feed.append(c.buf[:0], e))
	}
	return nil
}

// print cuts output into pieces, so that Find sees what goes by.
func (c *camera) print(data []byte) error {
	c.buf = data
	for len(data) > 0 {
		n := min(len(data), maxPiece)
		if err := c.take(change{at: c.at, data: data[:n]}); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

func (c *camera) resize(cols, rows uint32) error {
	if cols == 0 || rows == 0 {
		return nil
	}
	w, h := terminal.Size(cols, rows)
	return c.take(change{at: c.at, cols: w, rows: h})
}

// take adds a change to the reel, after a new one was begun if this is full.
func (c *camera) take(k change) error {
	if k.cols == 0 && len(k.data) == 0 {
		return nil
	}
	if len(c.changes) >= maxReel {
		if err := c.cut(); err != nil {
			return err
		}
	}
	if len(c.changes) == 0 {
		c.begin(k.at)
	}
	c.changes = binary.AppendUvarint(c.changes, uint64(k.at-c.last))
	c.changes = binary.AppendUvarint(c.changes, uint64(k.cols))
	c.changes = binary.AppendUvarint(c.changes, uint64(k.rows))
	c.changes = binary.AppendUvarint(c.changes, uint64(len(k.data)))
	c.changes = append(c.changes, k.data...)
	c.last, c.film.Length = k.at, k.at
	k.draw(c.screen)
	return nil
}

func (c *camera) begin(at time.Duration) {
	cols, rows := c.screen.Size()
	c.reel = reel{from: at, cols: cols, rows: rows}
	if len(c.film.reels) > 0 {
		c.reel.picture = deflated(c.screen.Picture(nil))
	}
	c.last = at
}

// cut ends the reel.
func (c *camera) cut() error {
	if len(c.changes) == 0 {
		return nil
	}
	c.reel.changes = deflated(c.changes)
	c.changes = c.changes[:0]
	c.film.reels = append(c.film.reels, c.reel)
	c.film.size += len(c.reel.changes) + len(c.reel.picture) + 128
	if c.film.size > MaxFilm {
		return ErrFilmTooLong
	}
	return nil
}

// draw makes the change on a screen.
func (k *change) draw(s *terminal.Screen) {
	if k.cols > 0 {
		s.Resize(k.cols, k.rows)
	}
	s.Write(k.data)
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	w.Write(b) // a buffer takes all
	w.Close()
	return out.Bytes()
}

// inflated undoes deflated. What it is given was made here, so that an error is no case to be told.
func inflated(b []byte) []byte {
	out, _ := io.ReadAll(flate.NewReader(bytes.NewReader(b)))
	return out
}

// Projector shows a film. It is at one time of it; its screen is how the session's was then.
type Projector struct {
	film   *Film
	reel   int // the one that is running
	rest   []byte
	at     time.Duration // of the last change that was shown
	next   change
	more   bool // there is a next one
	screen *terminal.Screen
}

// Projector begins before the first change.
func (f *Film) Projector() *Projector {
	p := &Projector{film: f}
	p.load(0)
	return p
}

// Screen is the picture. It is not to be written to, and another one after Seek.
func (p *Projector) Screen() *terminal.Screen { return p.screen }

// At is the time of the picture: that of the last change, 0 before the first.
func (p *Projector) At() time.Duration { return p.at }

// Next is the time of the next change; ok is false at the end.
func (p *Projector) Next() (at time.Duration, ok bool) { return p.next.at, p.more }

// Step makes the next change.
func (p *Projector) Step() {
	if p.more {
		p.next.draw(p.screen)
		p.at = p.next.at
		p.read()
	}
}

// Seek shows what stood there at a time: all changes up to then, and that time included.
func (p *Projector) Seek(at time.Duration) {
	reels := p.film.reels
	i := max(sort.Search(len(reels), func(i int) bool { return reels[i].from > at })-1, 0)
	if at < p.at || i != p.reel {
		p.load(i)
	}
	for p.more && p.next.at <= at {
		p.Step()
	}
}

// load begins a reel.
func (p *Projector) load(i int) {
	p.reel, p.rest, p.at, p.screen = i, nil, 0, terminal.NewScreen(80, 24)
	if i < len(p.film.reels) {
		r := &p.film.reels[i]
		p.screen.Resize(r.cols, r.rows)
		p.screen.Write(inflated(r.picture))
		p.thread(r)
		if i > 0 {
			p.at = r.from
		}
	}
	p.read()
}

// thread takes the changes of a reel in.
func (p *Projector) thread(r *reel) { p.rest, p.next.at = inflated(r.changes), r.from }

// read takes the next change, of the next reel if need be.
func (p *Projector) read() {
	if len(p.rest) == 0 && p.more && p.reel+1 < len(p.film.reels) {
		p.reel++
		p.thread(&p.film.reels[p.reel])
	}
	if p.more = len(p.rest) > 0; !p.more {
		return
	}
	var v [4]uint64
	for i := range v {
		n := 0
		v[i], n = binary.Uvarint(p.rest)
		p.rest = p.rest[n:]
	}
	p.next = change{p.next.at + time.Duration(v[0]), int(v[1]), int(v[2]), p.rest[:v[3]]}
	p.rest = p.rest[v[3]:]
}

// Find looks for a text on the screen, from the change after a time on, and gives the time when it was there first.
// Capitals are the same as small letters. stop is asked after each change.
func (f *Film) Find(from time.Duration, text string, stop func() bool) (at time.Duration, found bool) {
	text = strings.ToLower(text)
	p := f.Projector()
	p.Seek(from)
	var line []byte
	seen := map[uint64]bool{} // rows that had it before are not found again
	look := func(first bool) (hit bool) {
		line = line[:0]
		var ids []uint64
		p.screen.Rows(func(r terminal.Row) {
			line, ids = r.Append(line), append(ids, r.ID())
			if r.Wrapped() && len(line) < maxLine {
				return
			}
			has := strings.Contains(strings.ToLower(string(line)), text)
			for _, id := range ids {
				hit = hit || has && !seen[id]
				seen[id] = has
			}
			line, ids = line[:0], ids[:0]
		})
		return hit && !first
	}
	look(true)
	for p.more {
		p.Step()
		if look(false) {
			return p.at, true
		}
		if stop() {
			return 0, false
		}
		if len(seen) > maxFound {
			clear(seen)
			look(true)
		}
	}
	return 0, false
}
