package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/creack/pty"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

// piece is what a program said at a time.
type piece struct {
	at   time.Duration
	data []byte
}

// play is a program in a terminal and what somebody types there. Time between keys is pretended, so that an hour takes
// seconds; what the program says is real.
type play struct {
	title   string
	command []string
	keys    []string
	pause   func(i int) time.Duration // before key i
	settle  time.Duration             // real time that the program gets to answer a key
}

// compact compares how large recordings are with asciicast, and asciicast through gzip.
func compact(ctx context.Context, s *street, _ plan) error {
	work, err := os.MkdirTemp(s.dir, "compact-")
	if err != nil {
		return err
	}
	table("Size of recordings, bytes", "session", "pieces", "output", "asciicast v2", "asciicast v2, gzip", "strict", "of gzip", "bounded, 1 s", "of gzip")
	for _, p := range plays(work) {
		said, err := p.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
		strict, cast, err := seal(said, 0)
		if err != nil {
			return err
		}
		bounded, _, err := seal(said, time.Second)
		if err != nil {
			return err
		}
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		if _, err := z.Write(cast); err != nil || z.Close() != nil {
			return cmp.Or(err, fmt.Errorf("gzip"))
		}
		var output int
		for _, one := range said {
			output += len(one.data)
		}
		part := func(n int) string { return f("%.2f", float64(n)/float64(zipped.Len())) }
		row(p.title, fmt.Sprint(len(said)), fmt.Sprint(output), fmt.Sprint(len(cast)), fmt.Sprint(zipped.Len()),
			fmt.Sprint(strict), part(strict), fmt.Sprint(bounded), part(bounded))
	}
	return nil
}

// sealing seals bytes with nothing else to do, to a sink that keeps nothing.
func sealing(_ context.Context, s *street, p plan) error {
	p = p.or(plan{mb: 1024})
	text, err := s.listing(64e6)
	if err != nil {
		return err
	}
	listing, err := os.ReadFile(text)
	if err != nil {
		return err
	}
	noise := make([]byte, 64e6)
	rand.Read(noise)
	table(fmt.Sprintf("Sealing alone, %d MB in pieces of 32 KiB, one core", p.mb), "what", "GB/s", "CPU s/GB", "size sealed")
	for _, what := range []struct {
		title string
		data  []byte
	}{{"random bytes", noise}, {"a listing of files", listing}, {"zeros", make([]byte, 64e6)}} {
		sink := &nowhere{}
		w, _, err := newRecording(sink)
		if err != nil {
			return err
		}
		cpu, begun, size := ownCPU(), time.Now(), int64(p.mb)*1e6
		for at := int64(0); at < size; at += 32 << 10 {
			from := at % (64e6 - 32<<10)
			// As a session of 500 MB/s would have it.
			e := recording.Entry{Kind: recording.Output, At: time.Duration(at * 2), Channel: 1, Data: what.data[from : from+32<<10]}
			if err := w.Append(e); err != nil {
				return err
			}
		}
		wall, used := time.Since(begun), ownCPU()-cpu
		row(what.title, f("%.2f", float64(size)/1e9/wall.Seconds()), f("%.2f", used.Seconds()/float64(size)*1e9), f("%.3f", float64(sink.n)/float64(size)))
	}
	return nil
}

// newRecording begins a recording that is sealed to one key.
func newRecording(sink recording.Sink) (*recording.Writer, *recording.PrivateKey, error) {
	key, err := recording.GenerateKey(recording.MLKEM768X25519, "")
	if err != nil {
		return nil, nil, err
	}
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	session := sekisho.Session{ID: sekisho.NewID("ses"), Target: "db1", Login: "root", Started: time.Now()}
	w, err := recording.NewWriter(sink, recording.Header{Session: session}, []recording.Recipient{key.Recipient()}, signer)
	return w, key, err
}

// nowhere counts.
type nowhere struct{ n int64 }

func (w *nowhere) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	return len(p), nil
}

func (*nowhere) Sync() error { return nil }

// plays are an hour in a shell with little to do, one command with much output, and an hour of writing.
func plays(work string) []play {
	var idle, editing []string
	for i := range 12 {
		for _, key := range []string{"uptime", "ls -l /etc | head", "df -h", "systemctl status ssh"}[i%4] {
			idle = append(idle, string(key))
		}
		idle = append(idle, "\r")
	}
	editing = append(editing, "i")
	for n := range 250 {
		for _, key := range fmt.Sprintf("the %d. line is about what one writes in an hour", n) {
			editing = append(editing, string(key))
		}
		editing = append(editing, "\r")
		if n%10 == 9 {
			editing = append(editing, "\x1b", "k", "k", "0", "w", "w", "j", "j", "A")
		}
	}
	editing = append(editing, "\x1b", ":", "w", "q", "\r")
	shell := []string{"bash", "--norc", "-i"}
	steady := func(d time.Duration) func(int) time.Duration { return func(int) time.Duration { return d } }
	return []play{
		{"an hour in a shell, 12 commands", shell, idle, func(i int) time.Duration {
			if i > 0 && idle[i-1] == "\r" {
				return 5 * time.Minute
			}
			return 200 * time.Millisecond
		}, 5 * time.Millisecond},
		{"find /", []string{"find", "/", "-xdev"}, nil, nil, 0},
		{"an hour in vim, 250 lines", []string{"vim", "-u", "NONE", "-n", filepath.Join(work, "text")}, editing, steady(time.Hour / time.Duration(len(editing))), time.Millisecond},
	}
}

// run plays it and gives all that the program said.
func (p play) run(ctx context.Context) ([]piece, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.command[0], p.command[1:]...)
	cmd.Env = append(os.Environ(), "TERM=xterm-256color", "PS1=mei@db1:\\w$ ", "LANG=C.UTF-8")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: 120})
	if err != nil {
		return nil, err
	}
	defer cmd.Wait()
	defer terminal.Close()
	said := make(chan []byte)
	go func() {
		defer close(said)
		for buf := make([]byte, 32<<10); ; {
			n, err := terminal.Read(buf)
			if err != nil {
				return
			}
			said <- bytes.Clone(buf[:n])
		}
	}()
	var all []piece
	var at time.Duration
	hear := func(until <-chan time.Time) {
		for begun := time.Now(); ; {
			select {
			case data, ok := <-said:
				if !ok {
					return
				}
				all = append(all, piece{at + time.Since(begun), data})
			case <-until:
				return
			}
		}
	}
	if p.keys == nil {
		hear(nil)
		return all, nil
	}
	hear(time.After(300 * time.Millisecond))
	for i, key := range p.keys {
		at += p.pause(i)
		if _, err := terminal.WriteString(key); err != nil {
			return nil, err
		}
		hear(time.After(p.settle))
	}
	cancel()
	hear(nil)
	return all, nil
}

// seal gives the size of the recording of what was said, made durable at every piece or after some time, and the
// recording as asciicast.
func seal(said []piece, ahead time.Duration) (size int, cast []byte, err error) {
	sink := &memory{}
	w, key, err := newRecording(sink)
	if err != nil {
		return 0, nil, err
	}
	err = w.Append(recording.Entry{Kind: recording.PTYRequest, Channel: 1, Data: recording.PTY{Term: "xterm-256color", Cols: 120, Rows: 40}.Encode()})
	last, at := time.Duration(0), time.Duration(0)
	for _, one := range said {
		at = one.at
		if err == nil {
			err = w.Append(recording.Entry{Kind: recording.Output, At: at, Channel: 1, Data: one.data})
		}
		if err == nil && at-last >= ahead {
			err, last = w.Flush(), at
		}
	}
	if err == nil {
		_, err = w.Close(recording.EndDone, at)
	}
	if err != nil {
		return 0, nil, err
	}
	r, err := recording.NewReader(bytes.NewReader(sink.Bytes()), key)
	if err != nil {
		return 0, nil, err
	}
	var out bytes.Buffer
	err = replay.Asciicast(&out, r, replay.AnyChannel)
	return sink.Len(), out.Bytes(), err
}

// memory is a sink that is durable at once.
type memory struct{ bytes.Buffer }

func (*memory) Sync() error { return nil }
