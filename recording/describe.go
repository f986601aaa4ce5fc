package recording

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Describe says in a few words what an entry that is no piece of a stream tells. The words are safe to be shown: what
// came from outside is quoted where it holds anything but printable characters.
func Describe(e Entry) string {
	detail, err := describe(e)
	if err != nil {
		return fmt.Sprintf("%s (%s)", e.Kind, err)
	}
	return strings.TrimSpace(e.Kind.String() + " " + detail)
}

func describe(e Entry) (string, error) {
	switch e.Kind {
	case PTYRequest:
		p, err := DecodePTY(e.Data)
		return fmt.Sprintf("%s %dx%d", printable(p.Term), p.Cols, p.Rows), err
	case Env:
		v, err := DecodeVariable(e.Data)
		return printable(v.Name + "=" + v.Value), err
	case Resize:
		cols, rows, err := DecodeResize(e.Data)
		return fmt.Sprintf("%dx%d", cols, rows), err
	case ExitStatus:
		status, err := DecodeExitStatus(e.Data)
		return strconv.FormatUint(uint64(status), 10), err
	case ExitSignal:
		x, err := DecodeExit(e.Data)
		words := "SIG" + x.Signal
		if x.CoreDumped {
			words += " (core dumped)"
		}
		return printable(strings.TrimSpace(words + " " + x.Message)), err
	case ChannelOpen, Exec, Subsystem, Signal, Note:
		return printable(string(e.Data)), nil
	case File:
		return describeFile(e.Data)
	case Forward:
		return describeForward(e.Data)
	}
	if e.Kind.stream() {
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
