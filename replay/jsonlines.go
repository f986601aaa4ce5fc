package replay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sekisho/sekisho/recording"
)

// JSONLines writes a recording as one JSON object a line: first the session, then every entry with its time in
// seconds, and last the end. Data of a stream are in "text" when they are UTF-8 and else, as base64, in "data"; other
// entries have "words" where there is anything to tell, and files and forwards all that is known of them in "detail". In
// between stand the commands that were found (kind "command"), each after the entry from which its end is known. When the
// recording is cut there is no end, and the error wraps ErrCut.
func JSONLines(w io.Writer, r Source) error {
	out := bufio.NewWriter(w)
	enc := newLines(out)
	commands := newCommandReader(func(c Command) error { return enc.encode(jsonCommand(c)) })
	err := enc.encode(map[string]any{"session": r.Header().Session})
	if err == nil {
		var end error
		if end, err = each(r, func(e recording.Entry) error {
			return errors.Join(enc.encode(jsonEntry(e)), commands.entry(e))
		}); err == nil {
			err = errors.Join(commands.end(), whole(end))
		}
	}
	if how, at, ok := r.End(); ok && err == nil {
		err = enc.encode(map[string]any{"at": Seconds(at), "end": how})
	}
	if flushed := out.Flush(); flushed != nil {
		return fmt.Errorf("write JSON lines: %w", flushed)
	}
	return err
}

// Seconds is a time within a session as JSON has it, to the microsecond. time.Duration.Seconds adds two numbers, and so may
// give 4.5207239999999995 for 4.520724.
func Seconds(at time.Duration) float64 { return float64(at.Microseconds()) / 1e6 }

// commandLine is a command in JSON.
type commandLine struct {
	At         float64 `json:"at"`
	Channel    uint32  `json:"channel"`
	Kind       string  `json:"kind"`
	Text       string  `json:"text"`
	Cut        bool    `json:"cut,omitempty"`
	Directory  string  `json:"directory,omitempty"`
	Exit       *int    `json:"exit,omitempty"`
	Signal     string  `json:"signal,omitempty"`
	Found      string  `json:"found"`
	Confidence string  `json:"confidence"`
}

func jsonCommand(c Command) commandLine {
	return commandLine{Seconds(c.At), c.Channel, "command", c.Text, c.Cut, c.Directory, c.Exit, c.Signal, c.Found, c.Confidence}
}

// lines writes JSON lines that are safe on a terminal, too.
type lines struct {
	out  *bufio.Writer
	buf  bytes.Buffer
	enc  *json.Encoder
	safe []byte
}

func newLines(out *bufio.Writer) *lines {
	l := &lines{out: out}
	l.enc = json.NewEncoder(&l.buf)
	l.enc.SetEscapeHTML(false)
	return l
}

func (l *lines) encode(v any) error {
	l.buf.Reset()
	if err := l.enc.Encode(v); err != nil {
		return err
	}
	l.safe = AppendEscaped(l.safe[:0], l.buf.Bytes())
	l.out.Write(l.safe) // the error stays in out until Flush
	return nil
}

// AppendEscaped adds JSON so that no terminal obeys it: what JSON may hold as it is, but is not to be seen or steers a
// terminal (C1 controls, marks of direction), becomes \uXXXX, which says the same. Newlines stay. A character must not be cut
// between two calls.
func AppendEscaped(dst, json []byte) []byte {
	for len(json) > 0 {
		r, size := utf8.DecodeRune(json)
		switch {
		case r == '\n' || unicode.IsPrint(r):
			dst = utf8.AppendRune(dst, r)
		case r <= 0xffff:
			dst = fmt.Appendf(dst, "\\u%04x", r)
		default:
			high, low := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, "\\u%04x\\u%04x", high, low)
		}
		json = json[size:]
	}
	return dst
}

type jsonLine struct {
	At      float64         `json:"at"`
	Channel uint32          `json:"channel"`
	Kind    string          `json:"kind"`
	Text    string          `json:"text,omitempty"`
	Data    []byte          `json:"data,omitempty"`
	Words   string          `json:"words,omitempty"`
	Detail  json.RawMessage `json:"detail,omitempty"`
}

func jsonEntry(e recording.Entry) jsonLine {
	line := jsonLine{At: Seconds(e.At), Channel: e.Channel, Kind: e.Kind.String()}
	switch {
	case !e.Kind.Stream():
		line.Words, _ = describe(e)
		if (e.Kind == recording.File || e.Kind == recording.Forward) && utf8.Valid(e.Data) && json.Valid(e.Data) {
			line.Detail = e.Data
		}
	case utf8.Valid(e.Data):
		line.Text = string(e.Data)
	default:
		line.Data = e.Data
	}
	return line
}
