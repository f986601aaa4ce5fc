package policy

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sekisho/sekisho"
)

// Bounds of the lists in annotations.
const (
	maxListed = 64
	maxPaths  = 32
)

// Without an annotation, a permit of connect gives any subsystem, the locale and colours, and every file.
const defaultTTL = 2 * time.Minute

var (
	anySubsystem = []string{"*"}
	localeEnv    = []string{"COLORTERM", "LANG", "LC_*"}
)

func defaultLimits() sekisho.Limits {
	return sekisho.Limits{
		TTL: defaultTTL, PTY: true, Shell: true, Exec: true, Subsystems: anySubsystem, Env: localeEnv, Files: []sekisho.FileLimit{{}},
	}
}

// reader takes the value of one annotation into the limits, or says why it cannot.
type reader func(l *sekisho.Limits, value string) error

// readers are for what a permit of connect may be annotated with, in the order in which it is told. Each writes what no
// other does.
var readers = []struct {
	key  string
	read reader
}{
	{"audit", audit},
	{"keystrokes", oneOf(func(l *sekisho.Limits, word string) { l.Keystrokes = word == "record" }, "record", "none")},
	{"recipients", recipients},
	{"watched", oneOf(func(l *sekisho.Limits, word string) { l.Watched = word == "told" }, "told", "silent")},
	{"ttl", span(func(l *sekisho.Limits) *time.Duration { return &l.TTL }, 10*time.Second, 24*time.Hour)},
	{"pty", given(func(l *sekisho.Limits) *bool { return &l.PTY })},
	{"shell", given(func(l *sekisho.Limits) *bool { return &l.Shell })},
	{"exec", given(func(l *sekisho.Limits) *bool { return &l.Exec })},
	{"subsystems", namesIn(func(l *sekisho.Limits) *[]string { return &l.Subsystems }, subsystemForm, `want names of subsystems such as sftp, or * for any`)},
	{"env", namesIn(func(l *sekisho.Limits) *[]string { return &l.Env }, variableForm, `want names of variables such as LANG, with * only at the end`)},
	{"agent", given(func(l *sekisho.Limits) *bool { return &l.Agent })},
	{"x11", given(func(l *sekisho.Limits) *bool { return &l.X11 })},
	{"forward", destinationsIn(func(l *sekisho.Limits) *[]sekisho.Destination { return &l.Forward })},
	{"listen", destinationsIn(func(l *sekisho.Limits) *[]sekisho.Destination { return &l.Listen })},
	{"nested", oneOf(nested, "refuse", "record")},
	{"files", files},
	{"paths", paths},
	{"longest", span(func(l *sekisho.Limits) *time.Duration { return &l.Longest }, 5*time.Second, 720*time.Hour)},
	{"idle", span(func(l *sekisho.Limits) *time.Duration { return &l.Idle }, 10*time.Second, 24*time.Hour)},
	{"fresh", span(func(l *sekisho.Limits) *time.Duration { return &l.Fresh }, 10*time.Second, 720*time.Hour)},
}

var (
	subsystemForm = regexp.MustCompile(`^(\*|[A-Za-z0-9][A-Za-z0-9@._+-]{0,63})$`)
	variableForm  = regexp.MustCompile(`^(\*|[A-Za-z_][A-Za-z0-9_]{0,127}\*?)$`)
)

// annotations are all keys.
var annotations = func() []string {
	keys := []string{"id"}
	for _, r := range readers {
		keys = append(keys, r.key)
	}
	return keys
}()

func readerOf(key string) reader {
	for _, r := range readers {
		if r.key == key {
			return r.read
		}
	}
	return nil
}

func oneOf(take func(*sekisho.Limits, string), words ...string) reader {
	return func(l *sekisho.Limits, value string) error {
		if !slices.Contains(words, value) {
			return fmt.Errorf("want %s%s", list(quoted(words), "or"), didYouMean(value, words))
		}
		take(l, value)
		return nil
	}
}

func given(field func(*sekisho.Limits) *bool) reader {
	return oneOf(func(l *sekisho.Limits, word string) { *field(l) = word == "allow" }, "allow", "deny")
}

func nested(l *sekisho.Limits, word string) {
	l.Nested = sekisho.NestedRefuse
	if word == "record" {
		l.Nested = sekisho.NestedRecord
	}
}

func span(field func(*sekisho.Limits) *time.Duration, least, most time.Duration) reader {
	return func(l *sekisho.Limits, value string) error {
		d, err := time.ParseDuration(value)
		if err != nil {
			return errors.New(`want a duration such as "90s", "2m" or "8h"`)
		}
		if d < least || d > most {
			return fmt.Errorf("want a duration from %.0fs to %.0fh", least.Seconds(), most.Hours())
		}
		*field(l) = d
		return nil
	}
}

func namesIn(field func(*sekisho.Limits) *[]string, form *regexp.Regexp, want string) reader {
	return func(l *sekisho.Limits, value string) error {
		words, err := words(value, maxListed)
		if err != nil {
			return err
		}
		for _, w := range words {
			if !form.MatchString(w) {
				return fmt.Errorf("%q: %s", clip(w), want)
			}
		}
		*field(l) = union(nil, words, strings.Compare, anyName)
		return nil
	}
}

func destinationsIn(field func(*sekisho.Limits) *[]sekisho.Destination) reader {
	return func(l *sekisho.Limits, value string) error {
		words, err := words(value, maxListed)
		if err != nil {
			return err
		}
		all := make([]sekisho.Destination, len(words))
		for i, w := range words {
			if all[i], err = sekisho.ParseDestination(w); err != nil {
				return err
			}
		}
		*field(l) = union(nil, all, sekisho.Destination.Compare, nil)
		return nil
	}
}

// files and paths write two halves of the permit's one FileLimit.
func files(l *sekisho.Limits, value string) error {
	words, err := words(value, maxListed)
	if err != nil {
		return err
	}
	limit, all := &l.Files[0], []string{"read-only", "no-remove", "all"}
	for _, w := range words {
		switch w {
		case "read-only":
			limit.ReadOnly = true
		case "no-remove":
			limit.NoRemove = true
		case "all":
		default:
			return fmt.Errorf("%q: want read-only, no-remove or all%s", clip(w), didYouMean(w, all))
		}
	}
	if len(words) == 0 || slices.Contains(words, "all") && len(words) > 1 {
		return errors.New("want read-only, no-remove or both, or all by itself")
	}
	return nil
}

func paths(l *sekisho.Limits, value string) error {
	words, err := words(value, maxPaths)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return errors.New("want at least one path")
	}
	for _, w := range words {
		switch {
		case !path.IsAbs(w) || strings.ContainsFunc(w, func(r rune) bool { return r == '*' || !unicode.IsPrint(r) }):
			return fmt.Errorf("%q: want an absolute path such as /srv/data, without *: all that is below it is meant", clip(w))
		case path.Clean(w) != w:
			return fmt.Errorf("%q: want a clean path (did you mean %q?)", clip(w), clip(path.Clean(w)))
		}
	}
	l.Files[0].Paths = union(nil, words, strings.Compare, nil)
	return nil
}

// words cuts a list at its spaces.
func words(value string, most int) ([]string, error) {
	all := strings.Fields(value)
	if len(all) > most {
		return nil, fmt.Errorf("%d entries; at most %d are read", len(all), most)
	}
	return all, nil
}

func quoted(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = fmt.Sprintf("%q", w)
	}
	return out
}
