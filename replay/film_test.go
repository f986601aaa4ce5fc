package replay_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
	"github.com/sekisho/sekisho/terminal"
)

// longTape is a recording of some megabytes of what programs do to screens, with the times of its entries.
func longTape() *tape {
	random := rand.New(rand.NewPCG(1, 2))
	entries := []recording.Entry{pty}
	for i := range 20000 {
		e := out("")
		switch random.IntN(6) {
		case 0:
			e = out(fmt.Sprintf("\x1b[%d;%dH", random.IntN(30), random.IntN(120)))
		case 1:
			e = out(fmt.Sprintf("\x1b[%dmline %d\x1b[0m\r\n", 30+random.IntN(8), i))
		case 2:
			e = out("\x1b[?1049" + "hl"[random.IntN(2):][:1])
		case 3:
			e = recording.Entry{Kind: recording.Resize, Data: recording.EncodeResize(20+random.Uint32N(100), 5+random.Uint32N(40))}
		case 4:
			e = out("関所 \x1b[2") // cut in the middle
		default:
			e = out(fmt.Sprintf("K%0200d\r\n", i))
		}
		e.At = time.Duration(i) * time.Second
		entries = append(entries, e)
	}
	return newTape(entries...)
}

// Whatever way a projector came to a time, the picture is that of a screen that saw all up to then.
func TestSeek(t *testing.T) {
	tape := longTape()
	film, err := replay.NewFilm(newTape(tape.entries...), replay.AnyChannel)
	if err != nil {
		t.Fatal(err)
	}
	if film.Length != 19999*time.Second {
		t.Errorf("it lasts %s", film.Length)
	}
	pictures := map[time.Duration]string{}
	screen := terminal.NewScreen(20, 4)
	for _, e := range tape.entries[1:] {
		if e.Kind == recording.Resize {
			cols, rows, _ := recording.DecodeResize(e.Data)
			screen.Resize(int(cols), int(rows))
		}
		if e.Kind == recording.Output {
			screen.Write(e.Data)
		}
		pictures[e.At] = screen.Text()
	}
	p := film.Projector()
	random := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		at := time.Duration(random.IntN(20000)) * time.Second
		p.Seek(at)
		if got := p.Screen().Text(); got != pictures[at] {
			t.Fatalf("at %s:\n%s\nwant:\n%s", at, got, pictures[at])
		}
		for range random.IntN(50) {
			p.Step()
		}
	}
	p.Seek(time.Hour * 1000)
	if _, more := p.Next(); more || p.Screen().Text() != pictures[film.Length] {
		t.Errorf("the end is not the end: %s", p.Screen().Text())
	}
}

// A jump into the middle of a sequence, however long it is, shows nothing of it.
func TestSeekWithinSequences(t *testing.T) {
	filler := strings.Repeat("0;", 1<<19)
	for _, begin := range []string{"\x1bPq", "\x1b]0;", "\x1b_G", "\x1b[", "\x1b[0<", "\x1b[?1:2;"} {
		entries := []recording.Entry{pty, out("before")}
		for i, piece := range []string{begin, filler, "x\x1b\\", "after"} {
			e := out(piece)
			e.At = time.Duration(i+1) * time.Second
			entries = append(entries, e)
		}
		film, err := replay.NewFilm(newTape(entries...), replay.AnyChannel)
		if err != nil {
			t.Fatal(err)
		}
		played, jumped := film.Projector(), film.Projector()
		for _, more := played.Next(); more; _, more = played.Next() {
			played.Step()
		}
		jumped.Seek(time.Minute)
		if got, want := jumped.Screen().Text(), played.Screen().Text(); got != want || strings.Contains(got, "0;0") {
			t.Errorf("%q:\n%s\nwant:\n%s", begin, got, want)
		}
	}
}

func TestFind(t *testing.T) {
	film, err := replay.NewFilm(longTape(), replay.AnyChannel)
	if err != nil {
		t.Fatal(err)
	}
	never := func() bool { return false }
	last := time.Duration(0)
	for _, word := range []string{"LINE 5", "line 1", "line 19"} {
		at, ok := film.Find(last, word, never)
		if !ok || at <= last {
			t.Errorf("%s after %s: %s %v", word, last, at, ok)
		}
		last = at
	}
	if _, ok := film.Find(0, "never there", never); ok {
		t.Error("found what is not there")
	}
	if _, ok := film.Find(0, "never there", func() bool { return true }); ok {
		t.Error("found after it was stopped")
	}
}

func TestFilmOf(t *testing.T) {
	for name, tape := range map[string]*tape{
		"nothing": newTape(), "files": newTape(recording.Entry{Kind: recording.File, Data: []byte("{}")}),
	} {
		film, err := replay.NewFilm(tape, replay.AnyChannel)
		if err != nil || !film.Empty() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p := film.Projector()
		p.Seek(time.Hour)
		p.Step()
		if _, more := p.Next(); more || p.At() != 0 {
			t.Errorf("%s goes on", name)
		}
	}
	var missing *replay.NoChannelError
	if _, err := replay.NewFilm(golden(), 9); !errors.As(err, &missing) {
		t.Errorf("no channel: %v", err)
	}
	cut := golden()
	cut.cut = true
	if film, err := replay.NewFilm(cut, 1); !errors.Is(err, recording.ErrCut) || film.Empty() || film.Commands[0].Text != "make \x1b[2J" {
		t.Errorf("cut: %v", err)
	}
}

// A film holds no more of its commands than is shown of them.
func TestFilmOfLongCommands(t *testing.T) {
	film, err := replay.NewFilm(newTape(recording.Entry{Kind: recording.Exec, Data: []byte("x" + strings.Repeat("\u00e9", 30000))}), replay.AnyChannel)
	if err != nil || len(film.Commands) != 1 || len(film.Commands[0].Text) != 1023 || !film.Commands[0].Cut {
		t.Errorf("%v", err)
	}
}

// FuzzFilm: any recording can be gone to anywhere.
func FuzzFilm(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		film, err := replay.NewFilm(fuzzed(b), replay.AnyChannel)
		if err != nil {
			t.Fatal(err)
		}
		p := film.Projector()
		for i := range 64 {
			p.Seek(1<<i - 1)
			p.Step()
		}
		p.Seek(film.Length)
		end := p.Screen().Text()
		p.Seek(0)
		p.Seek(film.Length)
		if got := p.Screen().Text(); got != end {
			t.Errorf("%q, then %q", end, got)
		}
		film.Find(0, "s", func() bool { return false })
	})
}
