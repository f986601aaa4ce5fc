package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// Bounds of what a bounded recording may be behind, and what it is without a word about it.
const (
	leastBytes, mostBytes = 4 << 10, 64 << 20
	leastTime, mostTime   = 10 * time.Millisecond, time.Minute
)

var defaultAhead = sekisho.Ahead{Bytes: 1 << 20, Time: time.Second}

var (
	sizeForm      = regexp.MustCompile(`^([0-9]{1,8})(KiB|MiB)$`)
	recipientForm = regexp.MustCompile(`^[A-Za-z0-9@._+:/=-]{1,64}$`)
)

// audit reads how strictly a session is recorded: strict, bounded, bounded SIZE TIME, or best-effort.
func audit(l *sekisho.Limits, value string) error {
	modes := []string{"strict", "bounded", "best-effort"}
	mode, bounds, bounded := strings.Cut(value, " ")
	if !slices.Contains(modes, mode) || bounded && mode != "bounded" {
		return fmt.Errorf(`want %s, or "bounded SIZE TIME" such as "bounded 256KiB 200ms"%s`, list(quoted(modes), "or"), didYouMean(mode, modes))
	}
	l.Audit = sekisho.AuditMode(mode)
	switch {
	case bounded:
		return ahead(&l.Ahead, bounds)
	case l.Audit == sekisho.AuditBounded:
		l.Ahead = defaultAhead
	}
	return nil
}

func ahead(a *sekisho.Ahead, value string) error {
	fields := strings.Fields(value)
	if len(fields) != 2 {
		return errors.New(`want a size and a time after bounded, such as "bounded 256KiB 200ms"`)
	}
	bytes, err := size(fields[0])
	if err != nil {
		return err
	}
	span, err := time.ParseDuration(fields[1])
	if err != nil || span < leastTime || span > mostTime {
		return fmt.Errorf("%q: want a time from %v to %.0fs", clip(fields[1]), leastTime, mostTime.Seconds())
	}
	*a = sekisho.Ahead{Bytes: bytes, Time: span}
	return nil
}

// size reads a number of bytes.
func size(s string) (int64, error) {
	m := sizeForm.FindStringSubmatch(s)
	if m == nil {
		return 0, fmt.Errorf("%q: want a size such as 256KiB or 1MiB", clip(s))
	}
	bytes, _ := strconv.ParseInt(m[1], 10, 64) // eight digits
	if bytes <<= 10; m[2] == "MiB" {
		bytes <<= 10
	}
	if bytes < leastBytes || bytes > mostBytes {
		return 0, fmt.Errorf("%q: want a size from %dKiB to %dMiB", s, leastBytes>>10, mostBytes>>20)
	}
	return bytes, nil
}

// recipients reads whose keys a recording is sealed to: labels, which stand for all keys that carry them, or IDs of keys.
// Which there are the house knows.
func recipients(l *sekisho.Limits, value string) error {
	words, err := words(value, maxListed)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return errors.New("want at least one label or ID of a key")
	}
	for _, w := range words {
		if !recipientForm.MatchString(w) {
			return fmt.Errorf("%q: want labels or IDs of keys, such as auditors", clip(w))
		}
	}
	l.Recipients = union(nil, words, strings.Compare, nil)
	return nil
}

// stricter makes a recording as strict as another one, where that is stricter.
func stricter(all, more *sekisho.Limits) {
	switch {
	case all.Audit == sekisho.AuditBounded && more.Audit == sekisho.AuditBounded:
		all.Ahead.Bytes, all.Ahead.Time = min(all.Ahead.Bytes, more.Ahead.Bytes), min(all.Ahead.Time, more.Ahead.Time)
	case more.Audit.Rank() > all.Audit.Rank():
		all.Audit, all.Ahead = more.Audit, more.Ahead
	}
}
