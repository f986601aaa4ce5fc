package main

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

type recordingsSearchCmd struct {
	Pattern         string   `arg:"" help:"The words to look for."`
	Recordings      []string `arg:"" optional:"" name:"session|file" help:"Session IDs, or downloaded files; the recordings on the server if none are given."`
	Key             string   `suggest:"keys" placeholder:"KEY" help:"Private key that the recordings were sealed to: a file, a name in the key folder, or a pkcs11: URI; if not given, the only one in the key folder."`
	Signer          []string `sep:"none" placeholder:"LINE" help:"Public key line of a gateway to trust, instead of those learned at login."`
	Commands        bool     `xor:"where" help:"Look in commands only."`
	Output          bool     `xor:"where" help:"Look only in what was shown, in file operations and in forwards."`
	Both            bool     `xor:"where" help:"Look in all of that, as without a flag."`
	Regexp          bool     `short:"e" help:"PATTERN is a regular expression (RE2)."`
	IgnoreCase      bool     `short:"i" name:"ignore-case" help:"Do not tell capitals from small letters."`
	Context         int      `short:"C" placeholder:"N" default:"0" help:"Show so many lines before and after."`
	recordingFilter `embed:""`
	Limit           int  `default:"1000" help:"How many recordings of the server at the most, the newest first."`
	Parallel        int  `default:"0" placeholder:"N" help:"How many are read at once; as many as there are processors if not given."`
	JSON            bool `name:"json" help:"Print JSON, one object a line."`
}

func (*recordingsSearchCmd) Help() string {
	return `Looks for words in recordings: those that are named, or those on the server that the filters choose. They are opened here, with your key; nothing that was opened is written to disk.

What was shown is read off an emulated screen, so a word is found even if it was typed with corrections, coloured in the middle or wrapped. Words that went to the screen but were never seen on it are found too, and marked "raw".

Recordings that the key does not open are left out; in the end a line says how many, and which key opens them.

Exits as grep does: with 0 when something was found, with 1 when nothing was, and with 2 when something went wrong, though there may be hits as well: a recording that could not be read, or is not valid, or no recording at all that the key opens.

Examples:

    sekisho recordings search 'systemctl stop' --key auditor.key --since 7d --commands
    sekisho recordings search -i -C 2 'permission denied' ses_k5xqz7... --key auditor.key
    sekisho recordings search --regexp 'token=[0-9a-f]{8}' *.rec --key auditor.key --json | jq -r .text
`
}

// nothingFound is how a search ends that went well, and found nothing.
const nothingFound = 1

func (cmd *recordingsSearchCmd) Run(a *app) error {
	err := cmd.search(a)
	if already := new(exitError); err == nil || errors.As(err, &already) {
		return err
	}
	return &exitError{code: 2, error: err}
}

func (cmd *recordingsSearchCmd) search(a *app) error {
	query, err := cmd.query()
	if err != nil {
		return err
	}
	if cmd.Key == "" {
		if cmd.Key, err = a.onlyKey(); err != nil {
			return err
		}
	}
	key, err := a.key(cmd.Key)
	if err != nil {
		return err
	}
	trusted, err := a.trusted(cmd.Signer)
	if err != nil {
		return err
	}
	if len(trusted) == 0 {
		a.tellUnchecked()
	}
	names, err := cmd.names(a)
	if err != nil {
		return err
	}
	s := &searching{a: a, cmd: cmd, query: query, key: key, trusted: trusted, others: map[string]int{}}
	return s.run(names)
}

// query makes one of the flags.
func (cmd *recordingsSearchCmd) query() (replay.Query, error) {
	pattern := cmd.Pattern
	if !cmd.Regexp {
		pattern = regexp.QuoteMeta(pattern)
	}
	if cmd.IgnoreCase {
		pattern = "(?i)" + pattern
	}
	match, err := regexp.Compile(pattern)
	switch {
	case err != nil:
		return replay.Query{}, &usageError{fmt.Sprintf("PATTERN: %v", err)}
	case cmd.Pattern == "":
		return replay.Query{}, &usageError{"PATTERN is empty"}
	case cmd.Context < 0 || cmd.Context > replay.MaxContext:
		return replay.Query{}, &usageError{fmt.Sprintf("-C must be between 0 and %d", replay.MaxContext)}
	case cmd.Parallel < 0 || cmd.Parallel > maxParallel:
		return replay.Query{}, &usageError{fmt.Sprintf("--parallel must be between 1 and %d", maxParallel)}
	}
	return replay.Query{
		Match: match.FindStringIndex, Commands: !cmd.Output, Output: !cmd.Commands, Context: cmd.Context,
	}, checkLimit(cmd.Limit)
}

// names are the recordings to read.
func (cmd *recordingsSearchCmd) names(a *app) ([]string, error) {
	if len(cmd.Recordings) > 0 {
		if cmd.recordingFilter != (recordingFilter{}) {
			return nil, &usageError{"filters choose among the recordings on the server; leave them out, or the names"}
		}
		return cmd.Recordings, nil
	}
	all, err := a.chosen(&cmd.recordingFilter, "", cmd.Limit+1)
	if err != nil {
		return nil, err
	}
	if len(all) > cmd.Limit {
		fmt.Fprintf(a.err, "Only the newest %d recordings are searched; more with --limit.\n", cmd.Limit)
		all = all[:cmd.Limit]
	}
	var names []string
	for _, r := range all {
		names = append(names, r.Session)
	}
	return names, nil
}

const (
	// maxParallel bounds how many recordings are read at once.
	maxParallel = 64
	// maxWaiting is how many hits of one recording wait until those before are printed.
	maxWaiting = 256
)

// searching reads several recordings at once and prints what they have in the order in which they were named.
type searching struct {
	a       *app
	cmd     *recordingsSearchCmd
	query   replay.Query
	key     *recording.PrivateKey
	trusted []ed25519.PublicKey

	hits, done int
	others     map[string]int // recordings that the key does not open, by the keys that do
	closed     int            // how many those are
	failed     []error
	cut        []string // recordings without an end, each with how far it goes
}

// searched is one recording being read.
type searched struct {
	name    string
	opened  bool            // once there is a hit, or the end
	session sekisho.Session // if opened
	hits    chan replay.Hit
	reached string // once there is the end
	end     chan error
}

func (s *searching) run(names []string) error {
	parallel := s.cmd.Parallel
	if parallel == 0 {
		parallel = min(runtime.GOMAXPROCS(0), maxParallel)
	}
	running := make(chan *searched, parallel)
	places := make(chan struct{}, parallel)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(running)
		for _, name := range names {
			one := &searched{name: name, hits: make(chan replay.Hit, maxWaiting), end: make(chan error, 1)}
			select {
			case places <- struct{}{}:
			case <-stop:
				return
			}
			go func() {
				defer func() { <-places }()
				s.read(one, stop)
			}()
			select {
			case running <- one:
			case <-stop:
				return
			}
		}
	}()
	for one := range running {
		if err := s.print(one, len(names)); err != nil {
			return err
		}
	}
	return s.conclude()
}

var errStopped = errors.New("the search is over")

// read searches one recording.
func (s *searching) read(one *searched, stop <-chan struct{}) {
	defer close(one.hits)
	src, err := s.a.openRecording(one.name)
	if err != nil {
		one.end <- err
		return
	}
	defer src.close()
	r, err := src.unseal(s.key, s.trusted)
	if err != nil {
		one.end <- err
		return
	}
	one.opened, one.session = true, r.Header().Session
	err = replay.Search(r, s.query, func(h replay.Hit) error {
		select {
		case one.hits <- h:
			return s.a.ctx.Err()
		case <-stop:
			return errStopped
		}
	})
	one.reached = src.reached("%s of the session (%s)")
	one.end <- err
}

// print prints the hits of one recording as they come.
func (s *searching) print(one *searched, all int) error {
	s.progress(all)
	for h := range one.hits {
		s.hits++
		s.clear()
		if err := s.hit(one, h); err != nil {
			return err
		}
	}
	s.done++
	s.clear()
	err := <-one.end
	var wrong *recording.WrongKeyError
	switch {
	case s.a.ctx.Err() != nil:
		return s.a.ctx.Err()
	case errors.As(err, &wrong):
		s.closed++
		for _, id := range wrong.Want {
			s.others[id]++
		}
	case one.opened && errors.Is(err, recording.ErrCut): // it still runs, or was interrupted: what is there was searched
		s.cut = append(s.cut, fmt.Sprintf("%s up to %s", one.name, one.reached))
	case err != nil:
		s.failed = append(s.failed, fmt.Errorf("%s: %s", one.name, sekisho.Say(bad(err))))
	}
	return nil
}

// hitInfo is a hit as --json shows it.
type hitInfo struct {
	Session string    `json:"session"`
	File    string    `json:"file,omitempty"`
	Person  string    `json:"person"`
	Target  string    `json:"target"`
	Login   string    `json:"login"`
	Time    time.Time `json:"time"`
	At      float64   `json:"at"` // seconds
	Channel uint32    `json:"channel"`
	Kind    string    `json:"kind"`
	Raw     bool      `json:"raw,omitempty"`
	Text    string    `json:"text"`
	Match   string    `json:"match"`
	Before  []string  `json:"before,omitempty"`
	After   []string  `json:"after,omitempty"`
}

func (s *searching) hit(one *searched, h replay.Hit) error {
	if s.cmd.JSON {
		o := one.session
		info := hitInfo{
			Session: o.ID, Person: o.Identity.Subject, Target: o.Target, Login: o.Login, Time: o.Started.Add(h.At).UTC(),
			At: replay.Seconds(h.At), Channel: h.Channel, Kind: h.Kind, Raw: h.Raw, Text: h.Text, Match: h.Text[h.From:h.To],
			Before: h.Before, After: h.After,
		}
		if !isSession(one.name) {
			info.File = one.name
		}
		return json.NewEncoder(escaping{s.a.out}).Encode(info)
	}
	var b strings.Builder
	kind := h.Kind
	if h.Raw {
		kind += " (raw)"
	}
	fmt.Fprintf(&b, "%s  %s  channel %d  %s\n", plain(one.name), replay.Clock(h.At), h.Channel, kind)
	for _, line := range h.Before {
		fmt.Fprintf(&b, "    %s\n", plain(line))
	}
	fmt.Fprintf(&b, "  > %s%s%s\n", plain(h.Text[:h.From]), s.a.bold(plain(h.Text[h.From:h.To])), plain(h.Text[h.To:]))
	for _, line := range h.After {
		fmt.Fprintf(&b, "    %s\n", plain(line))
	}
	fmt.Fprintf(&b, "    sekisho recordings play %s --key %s --channel %d --at %s\n", argument(one.name), argument(s.cmd.Key), h.Channel, h.At.Truncate(time.Millisecond))
	_, err := s.a.out.Write([]byte(b.String()))
	return err
}

// argument is a word for a shell, in single quotes unless it is plain.
func argument(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(plainArgument, r) }) < 0 {
		return s
	}
	return single(plain(s))
}

const plainArgument = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%"

// progress shows on a terminal how far the search is.
func (s *searching) progress(all int) {
	if s.a.terminal && all > 1 {
		fmt.Fprintf(s.a.err, "\rSearched %d of %d recordings, found %d.\x1b[K", s.done, all, s.hits)
	}
}

func (s *searching) clear() {
	if s.a.terminal {
		fmt.Fprint(s.a.err, "\r\x1b[K")
	}
}

// maxCutTold is how many recordings without an end are named.
const maxCutTold = 20

// tellCut names the recordings of which not all was there to be searched.
func (s *searching) tellCut() {
	for _, one := range s.cut[:min(len(s.cut), maxCutTold)] {
		fmt.Fprintf(s.a.err, "Without an end, and searched as far as it goes: %s.\n", plain(one))
	}
	if n := len(s.cut) - maxCutTold; n > 0 {
		fmt.Fprintf(s.a.err, "And %s more without an end.\n", count(n, "recording"))
	}
}

// conclude tells what was left out, and is an error when something went wrong or nothing was found.
func (s *searching) conclude() error {
	s.tellCut()
	for _, err := range s.failed {
		fmt.Fprintf(s.a.err, "Not searched: %s\n", plain(err.Error()))
	}
	if s.closed > 0 {
		var keys []string
		for _, id := range slices.Sorted(maps.Keys(s.others)) {
			keys = append(keys, fmt.Sprintf("%s opens %d", s.a.labelled([]string{id}), s.others[id]))
		}
		fmt.Fprintf(s.a.err, "Not searched, because key %s does not open them: %s. Of these, %s.\n",
			s.key.ID(), count(s.closed, "recording"), plain(strings.Join(keys, ", ")))
	}
	switch read := s.done - s.closed - len(s.failed); {
	case len(s.failed) > 0:
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("%s could not be searched; %s found in %s.", count(len(s.failed), "recording"), count(s.hits, "hit"), count(read, "recording")),
			Next:     "See above.",
		}
	case read == 0 && s.closed > 0:
		return &sekisho.Refusal{Sentence: "There is no recording among them that the key opens.", Next: "Search with a key that does: see above."}
	case s.hits == 0:
		return &exitError{code: nothingFound, error: &sekisho.Refusal{
			Sentence: fmt.Sprintf("Nothing was found in %s.", count(read, "recording")),
			Next:     "Try --ignore-case, or fewer filters.",
		}}
	}
	return nil
}
