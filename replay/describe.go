package replay

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sekisho/sekisho/recording"
)

// Describe says in a few words what an entry that is no piece of a stream tells. The words are safe to be shown: what
// came from outside is quoted where it holds anything but printable characters.
func Describe(e recording.Entry) string {
	detail, err := describe(e)
	if err != nil {
		return fmt.Sprintf("%s (%s)", e.Kind, err)
	}
	return strings.TrimSpace(e.Kind.String() + " " + detail)
}

func describe(e recording.Entry) (string, error) {
	switch e.Kind {
	case recording.PTYRequest:
		p, err := recording.DecodePTY(e.Data)
		return fmt.Sprintf("%s %dx%d", printable(p.Term), p.Cols, p.Rows), err
	case recording.Env:
		v, err := recording.DecodeVariable(e.Data)
		return printable(v.Name + "=" + v.Value), err
	case recording.Resize:
		cols, rows, err := recording.DecodeResize(e.Data)
		return fmt.Sprintf("%dx%d", cols, rows), err
	case recording.ExitStatus:
		status, err := recording.DecodeExitStatus(e.Data)
		return strconv.FormatUint(uint64(status), 10), err
	case recording.ExitSignal:
		x, err := recording.DecodeExit(e.Data)
		words := "SIG" + x.Signal
		if x.CoreDumped {
			words += " (core dumped)"
		}
		return printable(strings.TrimSpace(words + " " + x.Message)), err
	case recording.Typed:
		y, err := recording.DecodeTyping(e.Data)
		if y.Enter {
			return "Enter", err
		}
		return "", err
	case recording.Lost:
		l, err := recording.DecodeLoss(e.Data)
		return fmt.Sprintf("%d bytes of output are missing here: %s", l.Bytes, printable(l.Why)), err
	case recording.ChannelOpen, recording.Exec, recording.Subsystem, recording.Signal, recording.Note:
		return printable(string(e.Data)), nil
	case recording.File:
		return describeFile(e.Data)
	case recording.Forward:
		return describeForward(e.Data)
	}
	if e.Kind.Stream() {
		return fmt.Sprintf("%d bytes", len(e.Data)), nil
	}
	return "", nil
}

func describeFile(data []byte) (string, error) {
	var f struct {
		Protocol, Operation, Path, To, Result, SHA256, Why string
		Bytes                                              int64
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return "", fmt.Errorf("decode file: %w", err)
	}
	words := printable(f.Protocol) + " " + printable(f.Operation) + " " + printable(f.Path)
	if f.To != "" {
		words += " to " + printable(f.To)
	}
	if f.Bytes > 0 {
		words += fmt.Sprintf(", %d bytes", f.Bytes)
	}
	if f.SHA256 != "" {
		words += ", sha256 " + printable(f.SHA256)
	}
	words += ": " + printable(f.Result)
	if f.Why != "" {
		words += ", " + printable(f.Why)
	}
	return words, nil
}

func describeForward(data []byte) (string, error) {
	var f struct {
		Type, Destination, Origin, Why string
		BytesIn                        *int64 `json:"bytes_in"`
		BytesOut                       *int64 `json:"bytes_out"`
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return "", fmt.Errorf("decode forward: %w", err)
	}
	words := strings.TrimSpace(printable(f.Type) + " " + printable(f.Destination))
	if f.Origin != "" {
		words += " from " + printable(f.Origin)
	}
	if f.BytesIn != nil && f.BytesOut != nil {
		words += fmt.Sprintf(" ended, %d bytes from the user, %d to them", *f.BytesIn, *f.BytesOut)
	}
	if f.Why != "" {
		words += ": " + printable(f.Why)
	}
	return words, nil
}

// printable quotes s unless all of it can be shown as it is.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return s
	}
	return strconv.Quote(s)
}
