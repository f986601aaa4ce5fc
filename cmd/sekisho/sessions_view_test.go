package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho/recording"
)

// seer says what a view of a channel, nil for any, shows of some entries.
func seer(only *uint32) func(...recording.Entry) string {
	var out bytes.Buffer
	v := &view{out: &out, looking: newLooking(only)}
	return func(entries ...recording.Entry) string {
		out.Reset()
		for _, e := range entries {
			if err := v.show(e); err != nil {
				return err.Error()
			}
		}
		return out.String()
	}
}

func entry(kind recording.Kind, channel uint32, data string) recording.Entry {
	return recording.Entry{Kind: kind, Channel: channel, Data: []byte(data), At: time.Second}
}

// A view keeps to the first channel that runs a program until that is closed, and then takes another.
func TestViewFollowsTheChannels(t *testing.T) {
	see := seer(nil)
	for _, c := range []struct {
		entry recording.Entry
		want  string
	}{
		{entry(recording.Note, 0, "noted"), ""},
		{entry(recording.ChannelOpen, 1, "session"), ""},
		{entry(recording.ChannelOpen, 2, "session"), ""},
		{entry(recording.Exec, 2, "second"), ""},
		{entry(recording.Shell, 1, ""), ""},
		{entry(recording.Output, 1, "not looked at"), ""},
		{entry(recording.Output, 2, "looked at"), "looked at"},
		{entry(recording.Stderr, 2, "error\x1b]52;c;eA==\a"), "error"},
		{entry(recording.ChannelClose, 2, ""), ""},
		{entry(recording.Output, 2, "late"), ""},
		{entry(recording.Output, 1, "now it is\x1b[3"), "now it is"},
		{entry(recording.Output, 1, "1mred\n"), "\x1b[31mred\n"},
		{entry(recording.ChannelClose, 1, ""), ""},
		{entry(recording.Exec, 3, "third"), ""},
		{entry(recording.Output, 3, "third"), "third"},
	} {
		if got := see(c.entry); got != c.want {
			t.Errorf("%s of %d: %q, want %q", c.entry.Kind, c.entry.Channel, got, c.want)
		}
	}
}

func TestViewOfOneChannel(t *testing.T) {
	two := uint32(2)
	see := seer(&two)
	got := see(entry(recording.Exec, 1, "first"), entry(recording.Output, 1, "no"), entry(recording.Exec, 2, "second"), entry(recording.Output, 2, "yes"),
		entry(recording.ChannelClose, 2, ""), entry(recording.Output, 1, "no"))
	if got != "yes" {
		t.Errorf("%q", got)
	}
}

func TestSessionsUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"sessions list --limit 0", 2, "--limit"},
		{"sessions watch nonsense", 2, "no session ID"},
		{"sessions end", 2, "--person"},
		{"sessions end nonsense", 2, "no session ID"},
		{"sessions end --person a@example.com ses_x", 2, "--person"},
		{"sessions list", 1, "sekisho login URL"},
	} {
		code, out, errs := command(t, t.TempDir()+"/home", strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.says) || out != "" {
			t.Errorf("sekisho %s: %d, want %d and %q:\n%s%s", c.args, code, c.code, c.says, out, errs)
		}
	}
}
