package replay_test

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// tape is a Source in memory.
type tape struct {
	entries []recording.Entry
	cut     bool // it has no end
	next    int
	buf     []byte
}

func newTape(entries ...recording.Entry) *tape { return &tape{entries: entries} }

func (t *tape) Header() recording.Header {
	return recording.Header{Session: sekisho.Session{
		ID:            "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa",
		Identity:      sekisho.Identity{Subject: "alice@example.com", Issuer: "https://idp.example.com", Groups: []string{"ops"}},
		SignIn:        "sin_bbbbbbbbbbbbbbbbbbbbbbbbbb",
		Target:        "web1",
		Login:         "root",
		Audit:         sekisho.AuditStrict,
		ClientAddress: "192.0.2.7",
		Gateway:       "tokyo",
		Started:       time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC),
	}}
}

// Next gives data that are overwritten by the next call, as a Reader may.
func (t *tape) Next() (recording.Entry, error) {
	for i := range t.buf {
		t.buf[i] = 'X'
	}
	if t.next == len(t.entries) {
		if t.cut {
			return recording.Entry{}, fmt.Errorf("it stops after 3 whole frames: %w", recording.ErrCut)
		}
		return recording.Entry{}, io.EOF
	}
	e := t.entries[t.next]
	t.next++
	t.buf = append(t.buf[:0], e.Data...)
	e.Data = t.buf
	return e, nil
}

func (t *tape) End() (recording.End, time.Duration, bool) {
	if t.cut || t.next < len(t.entries) {
		return "", 0, false
	}
	return recording.EndDone, time.Minute, true
}

// seekable is a file in memory.
type seekable struct {
	data []byte
	at   int
}

func (s *seekable) Write(b []byte) (int, error) {
	s.data = append(s.data[:s.at], append(bytes.Clone(b), s.data[min(len(s.data), s.at+len(b)):]...)...)
	s.at += len(b)
	return len(b), nil
}

func (s *seekable) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		s.at = int(offset)
	case io.SeekEnd:
		s.at = len(s.data) + int(offset)
	}
	return int64(s.at), nil
}

// golden holds every kind, and a session as people have them.
func golden() *tape {
	at := time.Duration(0)
	entry := func(kind recording.Kind, channel uint32, data []byte) recording.Entry {
		at += 250 * time.Millisecond
		return recording.Entry{Kind: kind, At: at, Channel: channel, Data: data}
	}
	return newTape(
		entry(recording.ChannelOpen, 0, []byte("session")),
		entry(recording.PTYRequest, 0, recording.PTY{Term: "xterm-256color", Cols: 100, Rows: 30, Modes: []byte{53, 0, 0, 0, 1, 0}}.Encode()),
		entry(recording.Env, 0, recording.Variable{Name: "LANG", Value: "ja_JP.UTF-8"}.Encode()),
		entry(recording.Shell, 0, nil),
		entry(recording.Output, 0, []byte("\x1b[1;32mroot@web1\x1b[0m:~# ")),
		entry(recording.Input, 0, []byte("ls\r")),
		entry(recording.Typed, 0, recording.Typing{Enter: true, Count: 1}.Encode()),
		entry(recording.Output, 0, []byte("ls\r\n関\xe6")), // a character is cut in two
		entry(recording.Output, 0, []byte("\x89\x80 \xff\r\n\x1b]52;c;cm0gLXJmIC8K\x07")),
		entry(recording.Resize, 0, recording.EncodeResize(120, 40)),
		entry(recording.ChannelOpen, 1, []byte("session")),
		entry(recording.Exec, 1, []byte("make \x1b[2J")),
		entry(recording.Stderr, 1, []byte("make: *** No rule\n")),
		entry(recording.ExitStatus, 1, recording.EncodeExitStatus(2)),
		entry(recording.EOF, 1, nil),
		entry(recording.ChannelClose, 1, nil),
		entry(recording.ChannelOpen, 2, []byte("session")),
		entry(recording.Subsystem, 2, []byte("sftp")),
		entry(recording.ChannelClose, 2, nil),
		entry(recording.Lost, 0, recording.Loss{Bytes: 7, Why: "the disk lagged"}.Encode()),
		entry(recording.Note, 0, []byte("x11-req refused")),
		entry(recording.File, 1, []byte(`{"protocol":"sftp","operation":"upload","path":"/srv/a","bytes":3,"result":"ok","took":1000000,"sha256":"ba78"}`)),
		entry(recording.Forward, 2, []byte(`{"type":"direct-tcpip","destination":"db2:5432","origin":"127.0.0.1:40000"}`)),
		entry(recording.Forward, 2, []byte(`{"type":"direct-tcpip","destination":"db2:5432","bytes_in":10,"bytes_out":20}`)),
		entry(recording.Signal, 0, []byte("TERM")),
		entry(recording.ExitSignal, 0, recording.Exit{Signal: "TERM", Message: "ended"}.Encode()),
		entry(recording.ChannelClose, 0, nil),
	)
}
