package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/policy"
	"github.com/sekisho/sekisho/recording"
)

// Bounds of the folder of recipients.
const (
	maxRecipientFiles = 256
	maxRecipientBytes = 64 << 10 // a file
)

// recipientKey is a key that recordings may be sealed to, and whether they are where no policy names a recipient.
type recipientKey struct {
	recording.Recipient
	usual bool
}

// recipients keeps the keys in force: those of the configuration, and those of a folder as it last could be read.
type recipients struct {
	fixed []recipientKey
	dir   string // "" is none
	fips  bool
	note  func(context.Context, ...*sekisho.Event) error
	// changed is called when other keys have come into force.
	changed func()
	log     *slog.Logger
	keys    atomic.Pointer[[]recipientKey]
	refused string // the last error, so that it is told once
}

func newRecipients(cfg *Config) *recipients {
	return &recipients{fixed: cfg.Recording.keys, dir: cfg.Recording.RecipientsDir, fips: cfg.FIPS, changed: func() {}}
}

// inForce is the keys to seal to.
func (r *recipients) inForce() []recipientKey {
	if keys := r.keys.Load(); keys != nil {
		return *keys
	}
	return nil
}

// load takes over the folder's state if it changed, and notes it. A bad one leaves the old keys in force.
func (r *recipients) load(ctx context.Context) error {
	keys, err := r.read()
	if err != nil {
		return err
	}
	if r.keys.Load() != nil && slices.EqualFunc(keys, r.inForce(), func(a, b recipientKey) bool {
		return a.String() == b.String() && a.usual == b.usual
	}) {
		return nil
	}
	var told []string
	for _, k := range keys {
		told = append(told, k.describe())
	}
	ev := &sekisho.Event{Kind: sekisho.EventRecipientsLoaded, Actor: "control", Detail: map[string]string{"keys": strings.Join(told, ", ")}}
	if err := r.note(ctx, ev); err != nil {
		return err
	}
	r.keys.Store(&keys)
	r.changed()
	return nil
}

// describe names a key for events: its ID, its label, and whether it must be named.
func (k recipientKey) describe() string {
	words := []string{k.ID()}
	if k.Label() != "" {
		words = append(words, k.Label())
	}
	if !k.usual {
		words = append(words, "(not by default)")
	}
	return strings.Join(words, " ")
}

// watch looks at the folder every second until ctx is done.
func (r *recipients) watch(ctx context.Context) {
	if r.dir == "" {
		return
	}
	every(ctx, time.Second, func() {
		err := r.load(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && err.Error() != r.refused {
			r.log.Error("recipients not taken over; the old ones stay in force", "error", err)
		}
		r.refused = fmt.Sprint(err)
	})
}

// read gives the keys of the configuration and those of the folder, each once. A key of the folder is one by default,
// unless the configuration has one of the same label that is not.
func (r *recipients) read() ([]recipientKey, error) {
	all := slices.Clone(r.fixed)
	files, err := r.files()
	if err != nil {
		return nil, fmt.Errorf("recording.recipients_dir: %w", err)
	}
	for _, file := range files {
		more, err := readRecipients(file)
		if err != nil {
			return nil, fmt.Errorf("recording.recipients_dir: %w", err)
		}
		for _, k := range more {
			if !slices.ContainsFunc(all, func(other recipientKey) bool { return other.ID() == k.ID() }) {
				all = append(all, recipientKey{k, !slices.ContainsFunc(r.fixed, func(f recipientKey) bool { return !f.usual && f.Label() == k.Label() })})
			}
		}
	}
	if len(all) > recording.MaxRecipients {
		return nil, fmt.Errorf("%d recipients; a recording has at most %d", len(all), recording.MaxRecipients)
	}
	return all, r.checkFIPS(all)
}

func (r *recipients) files() ([]string, error) {
	if r.dir == "" {
		return nil, nil
	}
	if _, err := os.Stat(r.dir); err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(r.dir, "*.pub"))
	if len(files) > maxRecipientFiles {
		return nil, fmt.Errorf("%d files in %s, more than %d", len(files), r.dir, maxRecipientFiles)
	}
	return files, err
}

// readRecipients reads a file of recipient lines.
func readRecipients(path string) ([]recording.Recipient, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxRecipientBytes {
		return nil, fmt.Errorf("%s has %d bytes; at most %d are read", path, info.Size(), maxRecipientBytes)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []recording.Recipient
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		k, err := recording.ParseRecipient(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, k)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no recipient's line", path)
	}
	return all, nil
}

func (r *recipients) checkFIPS(all []recipientKey) error {
	for _, k := range all {
		if r.fips && !k.FIPS() {
			return fmt.Errorf("recipient %s is of kind %s, and fips: true takes only %s", k.describe(), k.KEM(), kinds(recording.FIPS()))
		}
	}
	return nil
}

func kinds(all []recording.KEM) string {
	names := make([]string, len(all))
	for i, k := range all {
		names[i] = k.String()
	}
	return strings.Join(names, " and ")
}

// choose gives the keys that the names mean: a label means all that carry it. No names mean the default. A name that
// nobody has is refused: a recording that somebody should be able to read and cannot is none to them.
func (r *recipients) choose(names []string) ([]recording.Recipient, error) {
	all := r.inForce()
	if unknown := unknownTo(all, names); len(unknown) > 0 {
		return nil, &sekisho.Refusal{
			Sentence: fmt.Sprintf("This session must be recorded for %s, and the house has no key of that name.", strings.Join(unknown, " and ")),
			Next:     "Tell an administrator.",
		}
	}
	var chosen []recording.Recipient
	for _, k := range all {
		if len(names) == 0 && k.usual || slices.ContainsFunc(names, k.called) {
			chosen = append(chosen, k.Recipient)
		}
	}
	if len(chosen) == 0 {
		return nil, &sekisho.Refusal{Sentence: "This session must be recorded, and there is no key to seal its recording to.", Next: "Tell an administrator.",
			Cause: errors.New("recording.recipients has no key by default: nobody could ever read the recording")}
	}
	return chosen, nil
}

// called reports whether a name means the key.
func (k recipientKey) called(name string) bool { return name == k.ID() || name == k.Label() }

func unknownTo(all []recipientKey, names []string) (unknown []string) {
	for _, name := range names {
		if !slices.ContainsFunc(all, func(k recipientKey) bool { return k.called(name) }) {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// strangers tells of policies that name recipients of whom there is no key: whom they let in is refused.
func (r *recipients) strangers(set *policy.Set) (told []string) {
	for _, p := range set.Policies() {
		names := strings.Fields(p.Annotations["recipients"])
		slices.Sort(names)
		for _, name := range unknownTo(r.inForce(), slices.Compact(names)) {
			told = append(told, fmt.Sprintf("%s:%d: policy %s names the recipient %s, and no key has that label or ID", p.File, p.Line, p.ID, name))
		}
	}
	return told
}

// tell lists the keys for people.
func (r *recipients) tell() []*apiv1.Recipient {
	var told []*apiv1.Recipient
	for _, k := range r.inForce() {
		told = append(told, &apiv1.Recipient{Id: k.ID(), Label: k.Label(), Kem: k.KEM().String(), Default: k.usual})
	}
	slices.SortFunc(told, func(a, b *apiv1.Recipient) int { return cmp.Compare(a.Id, b.Id) })
	return told
}
