package sekisho_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
)

func TestID(t *testing.T) {
	id := sekisho.NewID("ses")
	if !sekisho.CheckID("ses", id) {
		t.Errorf("%q is refused", id)
	}
	for _, bad := range []string{"", "ses_", id + "a", "con" + id[3:], strings.ToUpper(id), id[:28] + "\n\n", "ses_../../../../../../../etc/", id[:29] + "1"} {
		if sekisho.CheckID("ses", bad) {
			t.Errorf("%q is let through", bad)
		}
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"db1", "web-1.example.internal"} {
		if err := sekisho.CheckTargetName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "DB1", "-db1", "db1.", "db 1", "db1\n", "../db1", "db1:x", "dbé", strings.Repeat("a.", 70) + "a"} {
		if sekisho.CheckTargetName(bad) == nil {
			t.Errorf("target %q is let through", bad)
		}
	}
	for _, bad := range []string{"", "Root", "1mei", "mei:x", "mei,root", "mei\n", "mei/..", "mei%db1", strings.Repeat("m", 33)} {
		if sekisho.CheckLogin(bad) == nil {
			t.Errorf("login %q is let through", bad)
		}
	}
	for _, bad := range []string{"", "env", "env:", ":prod", "env:pr od", "env:prod\n", "env:a:b"} {
		if sekisho.CheckLabel(bad) == nil {
			t.Errorf("label %q is let through", bad)
		}
	}
}

func TestTwoVoices(t *testing.T) {
	cause := errors.New("disk 7 is gone")
	err := &sekisho.Refusal{Sentence: "It cannot be recorded.", Next: "Tell an administrator.", Cause: cause}
	if got := sekisho.Say(err); got != "It cannot be recorded. Tell an administrator." {
		t.Errorf("the person hears %q", got)
	}
	if !strings.Contains(err.Error(), "disk 7") || !errors.Is(err, cause) {
		t.Errorf("the log reads %q", err)
	}
	if strings.Contains(sekisho.Say(cause), "disk 7") {
		t.Error("a cause reached the person")
	}
}

func TestSignInLives(t *testing.T) {
	now := time.Now()
	s := sekisho.SignIn{Created: now, Expires: now.Add(time.Hour)}
	if !s.Live(now) || s.Live(now.Add(time.Hour)) || s.Live(now.Add(-time.Hour)) {
		t.Error("a sign-in lives outside its time")
	}
	s.Ended = now
	if s.Live(now) {
		t.Error("an ended sign-in lives")
	}
}

func TestFresh(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		proved time.Time
		limit  time.Duration
		want   bool
	}{
		{now.Add(-time.Hour), 0, true},
		{time.Time{}, 0, true},
		{now.Add(-time.Minute), time.Minute, true},
		{now.Add(-time.Minute - time.Nanosecond), time.Minute, false},
		{now.Add(time.Second), time.Minute, true}, // the IdP's clock
		{time.Time{}, time.Minute, false},
		{time.Time{}, 1 << 62, false},
	} {
		id := sekisho.Identity{AuthTime: c.proved}
		if got := id.Fresh(c.limit, now); got != c.want {
			t.Errorf("proved %v ago, limit %v: %v", now.Sub(c.proved), c.limit, got)
		}
	}
}
