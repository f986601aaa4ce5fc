package replay_test

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

// listing is a recording of a long listing on a terminal, 16 MiB of it in pieces of 4 KiB.
func listing() *tape {
	entries := []recording.Entry{pty}
	for i := 0; len(entries) < 4096; i++ {
		var piece []byte
		for n := 0; len(piece) < 4096; n++ {
			piece = fmt.Appendf(piece, "/usr/share/doc/package-%d-%d/\x1b[32mchangelog\x1b[0m.gz\r\n", i, n)
		}
		entries = append(entries, recording.Entry{Kind: recording.Output, At: time.Duration(i) * time.Millisecond, Data: piece})
	}
	return newTape(entries...)
}

func bench(b *testing.B, read func(replay.Source) error) {
	b.Helper()
	whole := listing()
	b.SetBytes(4095 * 4096)
	for b.Loop() {
		if err := read(newTape(whole.entries...)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSearch(b *testing.B) {
	bench(b, func(r replay.Source) error {
		return replay.Search(r, looking("not there"), func(replay.Hit) error { return nil })
	})
}

func BenchmarkTranscript(b *testing.B) {
	bench(b, func(r replay.Source) error { return replay.Transcript(io.Discard, r) })
}

func BenchmarkAsciicast(b *testing.B) {
	bench(b, func(r replay.Source) error { return replay.Asciicast(io.Discard, r, replay.AnyChannel) })
}

func BenchmarkCommands(b *testing.B) {
	bench(b, func(r replay.Source) error { return replay.Commands(r, func(replay.Command) error { return nil }) })
}

func BenchmarkFilm(b *testing.B) {
	bench(b, func(r replay.Source) error { _, err := replay.NewFilm(r, replay.AnyChannel); return err })
}

// BenchmarkSeek jumps about in a film.
func BenchmarkSeek(b *testing.B) {
	film, err := replay.NewFilm(listing(), replay.AnyChannel)
	if err != nil {
		b.Fatal(err)
	}
	p := film.Projector()
	for i := 0; b.Loop(); i++ {
		p.Seek(film.Length * time.Duration(i*7919%1000) / 1000)
	}
}
