package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/policy"
	"github.com/sekisho/sekisho/recording"
)

func auditorKey(t *testing.T, label string, kem ...recording.KEM) recording.Recipient {
	t.Helper()
	kem = append(kem, recording.MLKEM768X25519)
	k, err := recording.GenerateKey(kem[0], label)
	if err != nil {
		t.Fatal(err)
	}
	return k.Recipient()
}

// loadWith reads a configuration that ends in this text.
func loadWith(t *testing.T, text string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sekishod.yaml")
	if err := os.WriteFile(path, []byte(leastConfig+text), 0o600); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(path)
}

func write(t *testing.T, path string, lines ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// opened are recipients as a running house has them, and the events that they noted.
func opened(t *testing.T, cfg *Config) (*recipients, *[]*sekisho.Event) {
	t.Helper()
	r, events := newRecipients(cfg), &[]*sekisho.Event{}
	r.log = slog.New(slog.DiscardHandler)
	r.note = func(_ context.Context, evs ...*sekisho.Event) error { *events = append(*events, evs...); return nil }
	if err := r.load(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r, events
}

// labels are those of the keys that names choose, in order.
func labels(t *testing.T, r *recipients, names ...string) string {
	t.Helper()
	chosen, err := r.choose(names)
	if err != nil {
		t.Fatalf("%v: %v", names, err)
	}
	var all []string
	for _, k := range chosen {
		all = append(all, k.Label())
	}
	return strings.Join(all, " ")
}

func TestRecipientsByName(t *testing.T) {
	first, second, dpo := auditorKey(t, "auditors"), auditorKey(t, "auditors"), auditorKey(t, "dpo")
	cfg, err := loadWith(t, "recording:\n  recipients:\n  - "+first.String()+"\n  - key: "+dpo.String()+"\n    default: false\n  - {key: "+second.String()+"}\n")
	if err != nil {
		t.Fatal(err)
	}
	r, events := opened(t, cfg)
	for names, want := range map[string]string{"": "auditors auditors", "dpo": "dpo", "dpo auditors": "auditors dpo auditors", first.ID() + " dpo": "auditors dpo"} {
		if got := labels(t, r, strings.Fields(names)...); got != want {
			t.Errorf("%q chooses %q, want %q", names, got, want)
		}
	}
	_, err = r.choose([]string{"dpo", "nobody"})
	var refused *sekisho.Refusal
	if !errors.As(err, &refused) || refused.Sentence != "This session must be recorded for nobody, and the house has no key of that name." {
		t.Errorf("a recipient that there is not: %v", err)
	}
	want := first.ID() + " auditors, " + dpo.ID() + " dpo (not by default), " + second.ID() + " auditors"
	if len(*events) != 1 || (*events)[0].Kind != sekisho.EventRecipientsLoaded || (*events)[0].Detail["keys"] != want {
		t.Errorf("noted %+v, want %s", *events, want)
	}
}

func TestNobodyToSealTo(t *testing.T) {
	cfg, err := loadWith(t, "recording: {recipients: [{key: "+auditorKey(t, "dpo").String()+", default: false}]}\n")
	if err != nil {
		t.Fatal(err)
	}
	r, _ := opened(t, cfg)
	if _, err := r.choose(nil); err == nil || !strings.Contains(sekisho.Say(err), "there is no key to seal its recording to") {
		t.Errorf("without a default: %v", err)
	}
}

// A key that is put into the folder is used from then on; one that is taken away no more; a bad file changes nothing.
func TestRecipientsFolder(t *testing.T) {
	dir, old, fresh, dpo := t.TempDir(), auditorKey(t, "auditors"), auditorKey(t, "auditors"), auditorKey(t, "dpo")
	cfg, err := loadWith(t, "recording:\n  recipients_dir: "+dir+"\n  recipients:\n  - {key: "+auditorKey(t, "dpo").String()+", default: false}\n")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "old.pub"), old.String())
	r, events := opened(t, cfg)
	reload := func(want string) {
		t.Helper()
		if err := r.load(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := labels(t, r); got != want {
			t.Errorf("sealed to %q, want %q", got, want)
		}
	}
	reload("auditors")
	write(t, filepath.Join(dir, "new.pub"), fresh.String(), "", dpo.String()) // dpo is not default, as its label says elsewhere
	reload("auditors auditors")
	if got := labels(t, r, "dpo"); got != "dpo dpo" {
		t.Errorf("dpo means %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "old.pub")); err != nil {
		t.Fatal(err)
	}
	reload("auditors")
	if chosen, _ := r.choose(nil); chosen[0].ID() != fresh.ID() {
		t.Error("the old key is still in use")
	}
	if len(*events) != 3 {
		t.Errorf("%d events for three states", len(*events))
	}
	write(t, filepath.Join(dir, "bad.pub"), "sekisho-recipient-v1 nonsense")
	if err := r.load(t.Context()); err == nil || !strings.Contains(err.Error(), "bad.pub") {
		t.Errorf("a bad file: %v", err)
	}
	if got := labels(t, r); got != "auditors" || len(*events) != 3 {
		t.Errorf("after a bad file: %q, %d events", got, len(*events))
	}
}

func TestFIPSRecipients(t *testing.T) {
	good, token, other := auditorKey(t, "a", recording.MLKEM768P256), auditorKey(t, "b", recording.P256), auditorKey(t, "c")
	if _, err := loadWith(t, "fips: true\nrecording: {recipients: ["+good.String()+", "+token.String()+"]}\n"); err != nil {
		t.Error(err)
	}
	_, err := loadWith(t, "fips: true\nrecording: {recipients: ["+good.String()+", "+other.String()+"]}\n")
	if err == nil || !strings.Contains(err.Error(), "is of kind mlkem768-x25519, and fips: true takes only mlkem768-p256 and p256") {
		t.Errorf("another kind of key: %v", err)
	}
}

func TestRecipientsInConfig(t *testing.T) {
	line := auditorKey(t, "auditors").String()
	for text, want := range map[string]string{
		"recording: {recipients: [" + line + " more]}":                   "recording.recipients[0]",
		"recording: {recipients: [{key: " + line + ", defualt: false}]}": "defualt",
		"recording: {recipients: [{default: false}]}":                    "recording.recipients[0]",
		"recording: {recipients_dir: /nonexistent/folder}":               "recording.recipients_dir",
		"metrics_listen: everywhere":                                     "metrics_listen",
	} {
		if _, err := loadWith(t, text+"\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
}

// Policies that name a recipient whom nobody knows are told of, with their place.
func TestStrangers(t *testing.T) {
	cfg, err := loadWith(t, "recording: {recipients: ["+auditorKey(t, "auditors").String()+"]}\n")
	if err != nil {
		t.Fatal(err)
	}
	r, _ := opened(t, cfg)
	set, err := policy.Load([]policy.File{{Name: "a.cedar", Text: []byte(`@id("good") @recipients("auditors") permit (principal, action == Action::"connect", resource);
@id("odd") @recipients("auditors dpo dpo") permit (principal, action == Action::"connect", resource);`)}})
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(r.strangers(set), "\n")
	if got != "a.cedar:2: policy odd names the recipient dpo, and no key has that label or ID" {
		t.Errorf("told %q", got)
	}
}

// A key that the configuration names twice is told at start: a recording could not be sealed to it.
func TestRecipientTwice(t *testing.T) {
	key := auditorKey(t, "auditors").String()
	if _, err := loadWith(t, "recording: {recipients: ["+key+", {key: "+key+", default: false}]}\n"); err == nil || !strings.Contains(err.Error(), "recipients[1]") {
		t.Errorf("error %v", err)
	}
}
