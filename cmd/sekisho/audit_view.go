package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/sekisho/sekisho"
)

// eventRow is an event as a row of the table. Users, targets and IdPs choose many of its words, so each stands as quoted
// makes it: a word is never taken for two, nor for another field.
func eventRow(ev *sekisho.Event) []string {
	target := ev.Target
	if ev.Login != "" {
		target = ev.Login + "@" + target
	}
	return []string{fmt.Sprint(ev.Seq), local(ev.Time), cell(ev.Kind), cell(ev.Actor), cell(target), decided(ev.Decision), what(ev)}
}

// cell is a column of one word, which may be empty.
func cell(s string) string {
	if s == "" {
		return ""
	}
	return quoted(short(s))
}

func decided(d *sekisho.Decision) string {
	if d == nil {
		return ""
	}
	words := []string{cell(string(d.Effect))}
	if len(d.Policies) > 0 {
		words = append(words, quoted(strings.Join(d.Policies, ",")))
	}
	if d.Limits.Audit != sekisho.AuditNone {
		words = append(words, "(audit)")
	}
	return strings.Join(words, " ")
}

// shownFirst are the keys of an event's details that say most; the others follow by name, and the technical ones last.
var (
	shownFirst = []string{"operation", "type", "path", "to", "bytes", "result", "sha256", "command", "subsystem", "destination", "why"}
	shownLast  = []string{"channel", "protocol", "seconds"}
)

// detailKeys are the keys of an event's details in the order in which they are shown.
func detailKeys(detail map[string]string) []string {
	place := func(key string) int {
		if i := slices.Index(shownFirst, key); i >= 0 {
			return i
		}
		return len(shownFirst) + 1 + slices.Index(shownLast, key)
	}
	return slices.SortedFunc(maps.Keys(detail), func(a, b string) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b))
	})
}

// what tells the rest of the event in a few words.
func what(ev *sekisho.Event) string {
	var parts []string
	put := func(name, value string) { parts = append(parts, quoted(name)+"="+quoted(short(value))) }
	add := func(name, value string) {
		if value != "" {
			put(name, value)
		}
	}
	if c := ev.Certificate; c != nil {
		add(c.Type, strings.Join(c.Principals, ","))
		parts = append(parts, "key_id="+quoted(fmt.Sprintf("%s/%d", c.KeyID, ev.Seq))) // whole: sshd's log is held against it
	}
	for _, k := range detailKeys(ev.Detail) {
		value := ev.Detail[k]
		if k == "sha256" {
			value = value[:min(len(value), 12)]
		}
		put(k, value)
	}
	cause := ev.Error
	if d := ev.Decision; d != nil {
		add("limits", d.Limits.Brief())
		add("reason", d.Reason)
		cause = beyond(d.Reason, cause)
	}
	add("error", cause)
	add("session", ev.Session)
	add("from", ev.ClientAddress)
	return strings.Join(parts, " ")
}

// beyond is what an error says after the reason that it begins with: a refusal's error is its sentence, then the cause.
func beyond(reason, cause string) string {
	rest, ok := strings.CutPrefix(cause, reason)
	switch {
	case !ok || reason == "":
		return cause
	case rest == "":
		return ""
	}
	if rest, ok := strings.CutPrefix(rest, ": "); ok {
		return rest
	}
	return cause
}

// quoted gives a word as it is, and as a Go string everything that could be read as more than one word or as another
// field, or that a terminal would obey, hide or draw over its neighbour.
func quoted(s string) string {
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !wordly(r) }) < 0 {
		return s
	}
	var b strings.Builder
	before := '"'
	for _, r := range s {
		quote := strconv.Quote
		if unseen(r) || unicode.IsMark(r) && !wordly(before) && !unicode.IsMark(before) {
			quote = strconv.QuoteToASCII
		}
		q := quote(string(r))
		b.WriteString(q[1 : len(q)-1])
		before = r
	}
	return `"` + b.String() + `"`
}

// wordly says which characters make a plain word: letters, digits, and what ASCII has besides but for what separates.
func wordly(r rune) bool {
	if r > unicode.MaxASCII {
		return (unicode.IsLetter(r) || unicode.IsDigit(r)) && !unseen(r)
	}
	return unicode.IsPrint(r) && !strings.ContainsRune(" =\"'`\\", r)
}

// unseen says which characters look like nothing or like a space, though Unicode counts them among those that print.
func unseen(r rune) bool {
	return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || unicode.Is(unicode.Variation_Selector, r) || r == '\u2800'
}

// short keeps one value from filling the screen; --json shows it whole.
func short(s string) string {
	const most = 80
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}
