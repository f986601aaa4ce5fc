package replay

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sekisho/sekisho/recording"
)

// Query says what Search looks for.
type Query struct {
	// Match gives where a text has what is looked for, as the first byte and the one after the last, or nil.
	Match func(text string) []int
	// Commands and Output say where to look: in the commands; in all else that a recording tells, which is what was on
	// screens, what programs wrote, kept input, operations on files, forwards and the gateway's notes.
	Commands, Output bool
	// Context is how many lines before and after are wanted, at most MaxContext.
	Context int
}

// MaxContext bounds the lines of context of one hit.
const MaxContext = 100

// Hit is a place where a recording has what was looked for.
type Hit struct {
	At      time.Duration
	Channel uint32
	// Kind is "command", or that of the entry that tells the text.
	Kind string
	// Raw says that the text never stood on the screen, but is in the bytes that went there.
	Raw bool
	// Text is the line. That of a command may hold anything; other lines no control characters but tabs.
	Text string
	// From and To are the bytes of Text that match.
	From, To      int
	Before, After []string
}

// Search reads a recording from front to back and gives the hits to found, those in raw bytes last. It holds no more than
// the screens of the session, the context, and the first few thousand things that raw bytes alone have. It says how the
// recording ended as Transcript does; an error of found ends it at once.
func Search(r Source, q Query, found func(Hit) error) error {
	q.Context = max(0, min(q.Context, MaxContext))
	s := &search{query: q, found: found, onScreens: map[string]bool{}}
	s.view, s.commands = newViewer(s.line), newCommandReader(s.command)
	s.view.raw = true
	s.view.edits = true
	end, err := each(r, s.entry)
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return err
	}
	return whole(end)
}

type search struct {
	query    Query
	found    func(Hit) error
	view     *viewer
	commands *commandReader
	around   followed[around]
	err      error // of found

	// A hit in raw bytes is told in the end, if no screen showed the same words.
	onScreens map[string]bool
	raw       []Hit
}

// maxRawHits bounds the hits in raw bytes that are kept until the end, and the words that were on screens. What a screen
// has shown before is not kept: so what is on screens again and again leaves room for what never was.
const maxRawHits = 4096

// around is the context on one channel.
type around struct {
	before []string
	hits   []Hit // that still lack lines after
}

func (s *search) entry(e recording.Entry) error {
	if s.query.Commands {
		if err := s.commands.entry(e); err != nil {
			return err
		}
	}
	if !s.query.Output {
		return nil
	}
	s.view.entry(e)
	switch {
	case e.Kind == recording.ChannelClose:
		s.view.close(e.Channel)
		s.done(e.Channel)
	case e.Kind == recording.File, e.Kind == recording.Forward, e.Kind == recording.Note, e.Kind == recording.Env:
		s.line(shown{at: e.At, channel: e.Channel, kind: e.Kind, text: Describe(e)})
	}
	return s.err
}

// again reports whether h tells the words of a hit in raw bytes that was told just before, now with what was taken back.
func (h Hit) again(before Hit) bool {
	return h.At == before.At && h.Channel == before.Channel && h.Text[h.From:h.To] == before.Text[before.From:before.To]
}

func (s *search) command(c Command) error {
	if at := s.query.Match(c.Text); at != nil {
		return s.found(Hit{At: c.At, Channel: c.Channel, Kind: "command", Text: c.Text, From: at[0], To: at[1]})
	}
	return nil
}

// line looks at one line, and hands it as context to the hits around it.
func (s *search) line(l shown) {
	if s.err != nil {
		return
	}
	at := s.query.Match(l.text)
	if l.raw {
		if at != nil && len(s.raw) < maxRawHits && !s.onScreens[words(l.text[at[0]:at[1]])] {
			hit := Hit{At: l.at, Channel: l.channel, Kind: l.kind.String(), Raw: true, Text: l.text, From: at[0], To: at[1]}
			if n := len(s.raw); n == 0 || !hit.again(s.raw[n-1]) {
				s.raw = append(s.raw, hit)
			}
		}
		return
	}
	c := s.around.of(l.channel)
	if c == nil {
		c = &around{}
		s.around.add(l.channel, c, s.done)
	}
	s.follow(c, l.text)
	if at != nil {
		if len(s.onScreens) < maxRawHits {
			s.onScreens[words(l.text[at[0]:at[1]])] = true
		}
		c.hits = append(c.hits, Hit{At: l.at, Channel: l.channel, Kind: l.kind.String(), Text: l.text, From: at[0], To: at[1], Before: slices.Clone(c.before)})
		s.settle(c, s.query.Context)
	}
	if s.query.Context > 0 {
		if len(c.before) == s.query.Context {
			c.before = append(c.before[:0], c.before[1:]...)
		}
		c.before = append(c.before, l.text)
	}
}

// follow adds a line to the hits that lack lines after them.
func (s *search) follow(c *around, text string) {
	for i := range c.hits {
		c.hits[i].After = append(c.hits[i].After, text)
	}
	s.settle(c, s.query.Context)
}

// settle tells the hits that have enough lines after them.
func (s *search) settle(c *around, enough int) {
	for len(c.hits) > 0 && len(c.hits[0].After) >= enough && s.err == nil {
		s.err = s.found(c.hits[0])
		c.hits = c.hits[1:]
	}
}

// done tells all hits of a channel that has ended.
func (s *search) done(channel uint32) {
	if c := s.around.of(channel); c != nil {
		s.settle(c, 0)
		s.around.drop(channel)
	}
}

func (s *search) end() error {
	if err := s.commands.end(); err != nil {
		return err
	}
	s.view.end()
	for _, channel := range s.around.sorted() {
		s.done(channel)
	}
	for _, hit := range s.raw {
		if s.err == nil && !s.onScreens[words(hit.Text[hit.From:hit.To])] {
			s.err = s.found(hit)
		}
	}
	return s.err
}

// words is a text without space, because screens wrap and trim.
func words(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}
