package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
)

// busy is a server on which sessions run, or one that never answers.
type busy struct {
	apiv1connect.UnimplementedSessionServiceHandler
	live []*apiv1.LiveSession
	hang bool
}

func (b busy) List(ctx context.Context, _ *connect.Request[apiv1.ListSessionsRequest]) (*connect.Response[apiv1.ListSessionsResponse], error) {
	if b.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return connect.NewResponse(&apiv1.ListSessionsResponse{Sessions: b.live}), nil
}

// hung is a server whose recordings cannot be listed.
type hung struct {
	apiv1connect.UnimplementedRecordingServiceHandler
}

func (hung) List(ctx context.Context, _ *connect.Request[apiv1.ListRecordingsRequest]) (*connect.Response[apiv1.ListRecordingsResponse], error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func bothAt(t *testing.T, s apiv1connect.SessionServiceHandler, r apiv1connect.RecordingServiceHandler) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(apiv1connect.NewSessionServiceHandler(s))
	mux.Handle(apiv1connect.NewRecordingServiceHandler(r))
	return homeAt(t, mux)
}

// Sessions are offered with what they are: to watch those that may be watched, to end those that may be ended.
func TestCompletesSessions(t *testing.T) {
	live := func(id string, watch, end bool) *apiv1.LiveSession {
		return &apiv1.LiveSession{Id: id, Person: "mei@example.com", Login: "root", Target: "db1\t\x1b[2J", IdleSeconds: 61, MayWatch: watch, MayEnd: end}
	}
	newest := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	home := bothAt(t, busy{live: []*apiv1.LiveSession{
		live(numbered(1), true, false), live(numbered(2), false, true), live("$(touch${IFS}pwned)", true, true), live("ses_x\ny", true, true),
	}}, newCatalogue(2, newest))
	const means = "\tmei@example.com as root on db1??[2J, idle 1 min\n"
	for _, c := range []struct{ args, want string }{
		{"sessions ids watch", numbered(1) + means},
		{"sessions ids end", numbered(2) + means},
		{"recordings ids", fmt.Sprintf("%s\tmei@example.com as  on db1, %s\n%s\tmei@example.com as  on db1, %s\n",
			numbered(0), local(newest), numbered(1), local(newest.Add(-time.Hour)))},
	} {
		if code, out, errs := runIn(t, home, strings.Fields(c.args)...); code != 0 || out != c.want || errs != "" {
			t.Errorf("%s: %d %q %s, want %q", c.args, code, out, errs, c.want)
		}
	}
}

// Nobody who presses Tab reads an error, or waits for a server that does not answer.
func TestCompletesSilently(t *testing.T) {
	nobody := filepath.Join(t.TempDir(), "home")
	hostile := catalogue{calls: new(int), all: []*apiv1.Recording{{Session: "$(touch pwned)", Started: timestamppb.Now()}}}
	for name, home := range map[string]string{
		"never logged in": nobody, "no answer": bothAt(t, busy{hang: true}, hung{}), "no session's ID": bothAt(t, busy{}, hostile),
	} {
		for _, args := range []string{"sessions ids watch", "sessions ids end", "recordings ids"} {
			if code, out, errs := runIn(t, home, strings.Fields(args)...); code != 0 || out != "" || errs != "" {
				t.Errorf("%s, %s: %d %q %q", name, args, code, out, errs)
			}
		}
	}
}

// What zsh and fish offer, where they are there to ask.
func TestCompletionOfIDs(t *testing.T) {
	const stub = "#!/bin/sh\n" + offers + "\nsekisho \"$@\"\n"
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "sekisho"), []byte(stub), 0o700); err != nil {
		t.Fatal(err)
	}
	for shell, ask := range map[string]string{
		"zsh": `compdef() {}; _files() {}; _describe() { print -rl -- $offer }; source "$1"
words=(sekisho ${=2} "$3"); CURRENT=${#words}; _sekisho`,
		"fish": `source $argv[1]; complete -C "sekisho $argv[2] $argv[3]"`,
	} {
		if _, err := exec.LookPath(shell); err != nil {
			t.Log(err)
			continue
		}
		_, script, _ := command(t, "", "completion", shell)
		file := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ path, word, want, not string }{
			{"sessions watch", "", "ses_live", "ses_mine"},
			{"sessions watch", "", "mei on db1: idle", "ses_kept"},
			{"sessions end", "", "ses_mine", "ses_live"},
			{"sessions end", "--pe", "--person", "ses_mine"},
			{"recordings download", "", "ken as root", "ses_live"},
			{"recordings play --key", "", "spare", "ses_kept"},
			{"sessions", "", "watch", "ids"},
		} {
			args := []string{"-c", ask, file, c.path, c.word}
			if shell == "zsh" {
				args = []string{"-fc", ask, "zsh", file, c.path, c.word}
			}
			cmd := exec.Command(shell, args...)
			cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.want) || strings.Contains(string(out), c.not) {
				t.Errorf("%s, %q %q: %v, want %q and no %q:\n%s", shell, c.path, c.word, err, c.want, c.not, out)
			}
		}
	}
}
