package main

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sekisho/sekisho/replay"
)

const (
	// playerJump is how far the arrow keys go.
	playerJump = 5 * time.Second
	// slowest and fastest bound the speed.
	slowest, fastest = 1.0 / 16, 1024.0
	// leastFrame is the time between two paintings, mostFrame the longest until the status line is painted again.
	leastFrame, mostFrame = 33 * time.Millisecond, 250 * time.Millisecond
	// maxFindText is how many bytes of text can be looked for.
	maxFindText = 200
)

// player shows a film on a terminal and obeys keys. What it writes are the cells of an emulated screen and its own status
// line: no control sequence of the recording comes through. It reads no clock: times are handed in.
type player struct {
	film *replay.Film
	head *replay.Projector
	idle time.Duration // longest pause, 0 for none
	stop func() bool   // whether a search is to end
	cut  bool          // the recording has no end

	canvas
	speed   float64
	paused  bool
	done    bool
	help    bool
	asking  bool // for a text to find
	asked   string
	find    string
	message string

	since  time.Time     // from when on the picture stays
	beyond time.Duration // how far after the picture's change the time was then
}

func newPlayer(film *replay.Film, speed float64, idle time.Duration) *player {
	return &player{film: film, head: film.Projector(), speed: speed, idle: idle, stop: func() bool { return false }}
}

// wait is how long the picture stays.
func (p *player) wait() (d time.Duration, ok bool) {
	next, ok := p.head.Next()
	if !ok {
		return 0, false
	}
	d = next - p.head.At()
	if p.idle > 0 {
		d = min(d, p.idle)
	}
	return time.Duration(float64(max(d-p.beyond, 0)) / p.speed), true
}

// advance makes all changes that are due, and says when to come again. It does not go on for longer than a frame.
func (p *player) advance(now time.Time) time.Duration {
	for n := 0; !p.paused && !p.help; n++ {
		d, ok := p.wait()
		if !ok {
			break
		}
		due := p.since.Add(d)
		if due.After(now) {
			return min(max(due.Sub(now), leastFrame), mostFrame)
		}
		if now.Sub(due) > time.Second { // this process was stopped, or the terminal is slow: nothing is made up for
			due = now
		}
		p.since, p.beyond = due, 0
		p.head.Step()
		if n > 10_000 {
			return leastFrame
		}
	}
	return mostFrame
}

// seek goes to a time.
func (p *player) seek(at time.Duration, now time.Time) {
	at = min(max(at, 0), p.film.Length)
	p.head.Seek(at)
	p.since, p.beyond = now, max(at-p.head.At(), 0)
}

// shown is the time within the session, which goes on while the picture stays.
func (p *player) shown(now time.Time) time.Duration {
	at := p.head.At() + p.beyond
	next, ok := p.head.Next()
	if p.paused || p.help || !ok {
		return at
	}
	return min(at+time.Duration(float64(now.Sub(p.since))*p.speed), next)
}

// hold takes the time now as that from which the picture stays.
func (p *player) hold(now time.Time) {
	p.beyond = max(p.shown(now)-p.head.At(), 0)
	p.since = now
}

// press does what a key is for.
func (p *player) press(key string, now time.Time) {
	p.message = ""
	switch {
	case key == "ctrl-c":
		p.done = true
	case p.asking:
		p.ask(key, now)
	case p.help:
		p.help, p.since, p.painted = false, now, nil
	default:
		p.obey(key, now)
	}
}

func (p *player) obey(key string, now time.Time) {
	switch key {
	case "q":
		p.done = true
	case " ":
		p.hold(now)
		p.paused = !p.paused
	case "right":
		p.seek(p.shown(now)+playerJump, now)
	case "left":
		p.seek(p.shown(now)-playerJump, now)
	case "]", "pgdn":
		p.command(+1, now)
	case "[", "pgup":
		p.command(-1, now)
	case "+", "=":
		p.hurry(2, now)
	case "-":
		p.hurry(0.5, now)
	case ".":
		p.paused, p.beyond = true, 0
		p.head.Step()
	case "g", "home":
		p.seek(0, now)
	case "G", "end":
		p.seek(p.film.Length, now)
	case "/":
		p.asking, p.asked = true, ""
	case "n":
		p.search(now)
	case "?", "h":
		p.hold(now)
		p.help, p.painted = true, nil
	}
}

// hurry changes the speed from now on.
func (p *player) hurry(by float64, now time.Time) {
	p.hold(now)
	p.speed = min(max(p.speed*by, slowest), fastest)
}

// command goes to the next command or the one before.
func (p *player) command(by int, now time.Time) {
	at := p.shown(now) // the picture may be older: a command begins between two changes of it
	i := p.running(at)
	switch {
	case by > 0 && i+1 < len(p.film.Commands):
		p.seek(p.film.Commands[i+1].At, now)
	case by < 0 && i >= 0 && p.film.Commands[i].At < at-time.Second:
		p.seek(p.film.Commands[i].At, now) // back to its beginning
	case by < 0 && i > 0:
		p.seek(p.film.Commands[i-1].At, now)
	case len(p.film.Commands) == 0:
		p.message = "no commands are known"
	default:
		p.message = "no more commands"
	}
}

// running is the index of the command that was begun last at a time, -1 before the first.
func (p *player) running(at time.Duration) int {
	i := len(p.film.Commands) - 1
	for i >= 0 && p.film.Commands[i].At > at {
		i--
	}
	return i
}

// ask takes a key while the person types what to find.
func (p *player) ask(key string, now time.Time) {
	switch {
	case key == "escape":
		p.asking = false
	case key == "enter":
		p.asking = false
		if p.asked != "" {
			p.find = p.asked
		}
		p.search(now)
	case key == "backspace":
		_, size := utf8.DecodeLastRuneInString(p.asked)
		p.asked = p.asked[:len(p.asked)-size]
	case utf8.RuneCountInString(key) == 1 && len(p.asked) < maxFindText:
		p.asked += key
	}
}

func (p *player) search(now time.Time) {
	if p.find == "" {
		p.message = "nothing to find: / asks for a text"
		return
	}
	at, ok := p.film.Find(p.head.At(), p.find, p.stop)
	if !ok {
		p.message = "not found after this: " + p.find
		return
	}
	p.seek(at, now)
	p.paused = true
	p.message = "found: " + p.find
}

// paint gives what makes the terminal show the picture and the status line.
func (p *player) paint(now time.Time) []byte {
	switch {
	case !p.begin():
	case p.help:
		p.lines(playerKeys, "any key goes on")
	default:
		p.picture(p.head.Screen(), p.status(now))
	}
	return p.buf
}

// status is the line at the bottom.
func (p *player) status(now time.Time) string {
	if p.asking {
		return "find: " + p.asked + "_"
	}
	state := ">"
	if _, more := p.head.Next(); !more && p.cut {
		state = "end of what there is"
	} else if !more {
		state = "end"
	} else if p.paused {
		state = "||"
	}
	words := []string{state, brief(p.shown(now)) + " / " + brief(p.film.Length), fmt.Sprintf("%gx", p.speed)}
	if note, cut := p.cutNote(p.head.Screen()); cut {
		words = append(words, note)
	}
	switch i := p.running(p.shown(now)); {
	case p.message != "":
		words = append(words, p.message)
	case i >= 0:
		words = append(words, fmt.Sprintf("%d/%d %s", i+1, len(p.film.Commands), p.film.Commands[i].Text))
	default:
		words = append(words, "? help")
	}
	return strings.Join(words, "  ")
}

// brief is a time within a session without fractions of a second.
func brief(at time.Duration) string {
	s := int64(at / time.Second)
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// playerKeys is the help.
var playerKeys = []string{
	"space       pause, go on",
	"left right  5 seconds back, forth",
	"[ ]         command before, next (also PgUp, PgDn)",
	"+ -         faster, slower",
	".           one change, then pause",
	"g G         beginning, end",
	"/ n         find a text, find it again",
	"q           quit",
}

// screening is a terminal on which a player plays.
type screening struct {
	keys  <-chan string
	write func([]byte) error
	size  func() (cols, rows int)
}

// show plays until the person quits or ctx ends.
func (p *player) show(ctx context.Context, t screening) error {
	p.since = time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for !p.done {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case key, ok := <-t.keys:
			if !ok { // nobody can press q any more
				return nil
			}
			p.press(key, time.Now())
		case <-timer.C:
		}
		p.size(t.size())
		timer.Reset(p.advance(time.Now()))
		if err := t.write(p.paint(time.Now())); err != nil {
			return err
		}
	}
	return nil
}
