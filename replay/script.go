package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sekisho/sekisho/recording"
)

// Timing is a form of the timing file that script(1) of util-linux writes and scriptreplay(1) reads.
type Timing string

const (
	// TimingClassic has a line "SECONDS BYTES" for each piece of output; every scriptreplay reads it.
	TimingClassic Timing = "classic"
	// TimingMulti is the "advanced" form, since util-linux 2.35: lines "O SECONDS BYTES", "I" for kept input, "S" for signals and
	// window changes, "H" for what is known of the session. Input stands in the typescript, too: scriptreplay --log-io.
	TimingMulti Timing = "multi"
)

// scriptTime is how script(1) writes a date.
const scriptTime = "2006-01-02 15:04:05-07:00"

// Script writes one channel of a recording as script(1) would have: the typescript, and its timing file, with which
// scriptreplay(1) plays it. The bytes are those that the target sent; scriptreplay sends them to the terminal as they are.
// What a program without a pty wrote gets carriage returns before its newlines. Of a cut recording and of a channel that is
// not there Script says the same as Asciicast.
func Script(typescript, timing io.Writer, r Source, channel uint32, form Timing) error {
	s := &script{
		out: bufio.NewWriter(typescript), times: bufio.NewWriter(timing), choice: Choose(channel), form: form,
		session: r.Header().Session.ID, started: r.Header().Session.Started.UTC(),
	}
	end, err := each(r, s.entry)
	s.finish()
	if err := errors.Join(err, s.out.Flush(), s.times.Flush()); err != nil {
		return fmt.Errorf("write typescript: %w", err)
	}
	if err := s.choice.Missing(end); err != nil {
		return err
	}
	return whole(end)
}

// script begins as late as it can, as cast does. Errors of writing stay in the buffers until Flush.
type script struct {
	out, times *bufio.Writer
	choice     Choice
	form       Timing
	session    string
	started    time.Time
	pty        recording.PTY
	wired      bool
	command    string
	exit       string
	lost       uint64 // bytes that are missing from the session
	begun      bool
	at, told   time.Duration
	last       byte
	buf        []byte
}

func (s *script) entry(e recording.Entry) (err error) {
	if !s.choice.Takes(e) {
		return nil
	}
	s.at = max(s.at, e.At)
	switch e.Kind {
	case recording.PTYRequest:
		if !s.wired && !s.begun {
			s.pty, err = recording.DecodePTY(e.Data)
			s.wired = err == nil
		}
	case recording.Exec, recording.Subsystem:
		s.command = string(e.Data)
	case recording.Output, recording.Stderr:
		s.output(e.Data)
	case recording.Input:
		s.input(e.Data)
	case recording.Resize:
		return s.resize(e.Data)
	case recording.Signal:
		s.signal("SIG" + word(string(e.Data)))
	case recording.ExitStatus, recording.ExitSignal:
		return s.exited(e)
	case recording.Lost:
		s.lost += LostBytes(e)
	}
	return err
}

func (s *script) output(data []byte) {
	s.begin()
	if !s.wired {
		s.buf = crlf(s.buf[:0], data, s.last)
		data = s.buf
	}
	if len(data) == 0 {
		return
	}
	s.last = data[len(data)-1]
	s.out.Write(data)
	if s.form == TimingMulti {
		s.times.WriteString("O ")
	}
	fmt.Fprintf(s.times, "%s %d\n", s.elapsed(), len(data))
}

func (s *script) input(data []byte) {
	if s.form != TimingMulti || len(data) == 0 {
		return
	}
	s.begin()
	s.out.Write(data)
	fmt.Fprintf(s.times, "I %s %d\n", s.elapsed(), len(data))
}

func (s *script) resize(data []byte) error {
	cols, rows, err := recording.DecodeResize(data)
	if err == nil {
		s.signal(fmt.Sprintf("SIGWINCH ROWS=%d COLS=%d", rows, cols))
	}
	return err
}

func (s *script) signal(words string) {
	if s.form == TimingMulti {
		s.begin()
		fmt.Fprintf(s.times, "S %s %s\n", s.elapsed(), words)
	}
}

func (s *script) exited(e recording.Entry) error {
	if e.Kind == recording.ExitStatus {
		status, err := recording.DecodeExitStatus(e.Data)
		s.exit = fmt.Sprint(status)
		return err
	}
	x, err := recording.DecodeExit(e.Data)
	s.signal("SIG" + word(x.Signal))
	return err
}

// elapsed is the time since the line before, in seconds.
func (s *script) elapsed() string {
	at := s.at.Truncate(time.Microsecond)
	d := at - s.told
	s.told = at
	return string(seconds(d))
}

func (s *script) begin() {
	if s.begun {
		return
	}
	s.begun = true
	facts := ""
	if s.command != "" {
		facts += fmt.Sprintf("COMMAND=%q ", brief(s.command))
	}
	if s.wired {
		facts += fmt.Sprintf("TERM=%q COLUMNS=\"%d\" LINES=\"%d\"", brief(s.pty.Term), s.pty.Cols, s.pty.Rows)
	} else {
		facts += "<not executed on terminal>"
	}
	fmt.Fprintf(s.out, "Script started on %s [%s]\n", s.started.Format(scriptTime), facts)
	if s.form != TimingMulti {
		return
	}
	s.head("START_TIME", s.started.Format(scriptTime))
	if s.wired {
		s.head("TERM", word(s.pty.Term))
		s.head("COLUMNS", fmt.Sprint(s.pty.Cols))
		s.head("LINES", fmt.Sprint(s.pty.Rows))
	}
	if s.command != "" {
		s.head("COMMAND", printable(brief(s.command)))
	}
	s.head("SESSION", s.session)
}

func (s *script) head(name, value string) {
	fmt.Fprintf(s.times, "H 0.000000 %s %s\n", name, value)
}

func (s *script) finish() {
	s.begin()
	done := s.started.Add(s.at).Format(scriptTime)
	if s.exit != "" {
		done += fmt.Sprintf(" [COMMAND_EXIT_CODE=%q]", s.exit)
	}
	fmt.Fprintf(s.out, "\nScript done on %s\n", done)
	if s.form != TimingMulti {
		return
	}
	s.head("DURATION", string(seconds(s.at.Truncate(time.Microsecond))))
	if s.exit != "" {
		s.head("EXIT_CODE", s.exit)
	}
	if s.lost > 0 {
		s.head("BYTES_LOST", fmt.Sprint(s.lost))
	}
}

// maxBrief is how many bytes of a name or command stand in the first lines; scriptreplay reads lines of a bounded length.
const maxBrief = 1024

func brief(s string) string {
	if len(s) > maxBrief {
		s = s[:maxBrief] + "..."
	}
	return s
}

// word keeps of a name what cannot be taken for anything else, 32 bytes at most.
func word(s string) string {
	b := []byte(s)[:min(len(s), 32)]
	for i, c := range b {
		if c <= ' ' || c >= 0x7f {
			b[i] = '?'
		}
	}
	return string(b)
}
