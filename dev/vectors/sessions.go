package main

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/sekisho/sekisho/recording"
)

// everyKind is a session as people have them, with each kind of entry at least once.
func everyKind() []step {
	at := time.Duration(0)
	entry := func(kind recording.Kind, channel uint32, data []byte) step {
		at += 250*time.Millisecond + 1001*time.Nanosecond // of which microseconds are kept
		return step{entry: recording.Entry{Kind: kind, At: at, Channel: channel, Data: data}}
	}
	flush := step{flush: true}
	return []step{
		entry(recording.ChannelOpen, 0, []byte("session")),
		entry(recording.PTYRequest, 0, recording.PTY{Term: "xterm-256color", Cols: 100, Rows: 30, Modes: []byte{0}}.Encode()),
		entry(recording.Env, 0, recording.Variable{Name: "LANG", Value: "ja_JP.UTF-8"}.Encode()),
		entry(recording.Shell, 0, nil),
		flush,
		entry(recording.Output, 0, []byte("\x1b[1;32mroot@web1\x1b[0m:~# ")),
		entry(recording.Typed, 0, recording.Typing{Count: 1}.Encode()),
		entry(recording.Input, 0, []byte("ls\r")),
		entry(recording.Typed, 0, recording.Typing{Enter: true, Count: 300}.Encode()),
		entry(recording.Output, 0, []byte("ls\r\n関\xe6")), // a character is cut in two
		flush,
		entry(recording.Output, 0, []byte("\x89\x80 \xff\r\n\x1b]52;c;cm0gLXJmIC8K\x07")),
		entry(recording.Resize, 0, recording.EncodeResize(120, 40)),
		entry(recording.ChannelOpen, 1, []byte("session")),
		entry(recording.Exec, 1, []byte("make \x1b[2J")),
		entry(recording.Stderr, 1, []byte("make: *** No rule\n")),
		entry(recording.ExitStatus, 1, recording.EncodeExitStatus(2)),
		entry(recording.EOF, 1, nil),
		entry(recording.ChannelClose, 1, nil),
		entry(recording.ChannelOpen, 128, []byte("session")),
		entry(recording.Subsystem, 128, []byte("sftp")),
		entry(recording.ChannelClose, 128, nil),
		entry(recording.Note, 0, []byte("x11-req refused")),
		entry(recording.File, 1, []byte(`{"protocol":"sftp","operation":"upload","path":"/srv/a","bytes":3,"result":"ok","took":1000000,"sha256":"ba78"}`)),
		flush,
		entry(recording.Forward, math.MaxUint32, []byte(`{"type":"direct-tcpip","destination":"db2:5432","origin":"127.0.0.1:40000"}`)),
		entry(recording.Forward, math.MaxUint32, []byte(`{"type":"direct-tcpip","destination":"db2:5432","bytes_in":10,"bytes_out":20}`)),
		entry(recording.Lost, 0, recording.Loss{Bytes: 1 << 40, Why: "the disk is full"}.Encode()),
		entry(recording.Signal, 0, []byte("TERM")),
		entry(recording.ExitSignal, 0, recording.Exit{Signal: "TERM", Message: "ended"}.Encode()),
		entry(recording.ChannelClose, 0, nil),
	}
}

// longSession has what compression and segments need: text that repeats itself over the border of frames, so that it
// refers to the dictionary, and over those of segments, where it must not; noise; and a frame that cannot be longer.
func longSession() []step {
	random := rand.New(rand.NewPCG(1, 2))
	at, steps := time.Duration(0), []step(nil)
	output := func(data []byte) {
		at += time.Duration(random.IntN(1000)) * time.Millisecond
		steps = append(steps, step{entry: recording.Entry{Kind: recording.Output, At: at, Data: data}}, step{flush: true})
	}
	prompt := []byte("\x1b[1;32mroot@web1\x1b[0m:/srv/www# ls -l\r\n")
	listing := func(size int) []byte {
		var b []byte
		for len(b) < size {
			b = fmt.Appendf(b, "-rw-r--r-- 1 root root %6d Nov 22 11:%02d page%03d.html\r\n", random.IntN(1e6), random.IntN(60), random.IntN(1000))
		}
		return b[:size]
	}
	noise := make([]byte, 3000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for i := range 4 {
		for range 5 {
			output(prompt)
			output(listing(200 + i*1500))
			output([]byte("x"))
		}
		output(noise)
		output(prompt)
		steps = append(steps, step{cut: true})
	}
	output(prompt)
	output(bytes.Repeat([]byte("z"), recording.MaxData))
	output(bytes.Repeat(noise, 8)[:recording.MaxData/3])
	output(prompt)
	return steps
}
