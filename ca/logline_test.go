package ca_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/ca"
)

const (
	logID  = "mei@example.com/people/sin_x/tok_y/7"
	logKey = "SHA256:bk8XTTlVqnNqCdJXT8cv4i6lZkbB1WRZcmRJQeGpj4A"
	logCA  = "SHA256:f8DSxE2Aw8wE2UJ7U1m5jS7m6wNqLZKdrpFbhzHUZzk"
	logEnd = "ED25519-CERT " + logKey + " ID " + logID + " (serial 7) CA ED25519 " + logCA
	logMsg = "Accepted publickey for deploy from 192.0.2.7 port 50122 ssh2: " + logEnd
)

func TestParseLogLine(t *testing.T) {
	at := time.Date(2026, 11, 22, 18, 0, 1, 0, time.UTC)
	whole := ca.LogLine{
		Outcome: "accepted", Login: "deploy", Address: "192.0.2.7", KeyID: logID, Whole: true, Serial: 7, HasSerial: true, Key: logKey, CA: logCA,
	}
	timed, micros := whole, whole
	timed.Time, micros.Time = at, at.Add(234567*time.Microsecond)
	failed, alone, old := whole, ca.LogLine{KeyID: logID, Whole: true, Serial: 7, HasSerial: true, CA: logCA}, ca.LogLine{KeyID: logID, Whole: true, CA: logCA}
	failed.Outcome = "failed"
	noCA, noSerial, cut := whole, whole, whole
	noCA.CA = ""
	noSerial.CA, noSerial.Serial, noSerial.HasSerial = "", 0, false
	cut = noSerial
	cut.KeyID, cut.Whole = "mei@example.com/people/sin", false
	invalid := failed
	invalid.Login = "roo t"
	for what, c := range map[string]struct {
		line string
		want ca.LogLine
	}{
		"message":              {logMsg, whole},
		"sshd -e":              {logMsg + "\r\n", whole},
		"syslog":               {"Nov 22 18:00:01 web1 sshd[4711]: " + logMsg, whole},
		"syslog, session":      {"Nov  2 08:00:01 web1.example.com sshd-session[4711]: " + logMsg, whole},
		"syslog, priority":     {"<38>Nov 22 18:00:01 web1 sshd[4711]: " + logMsg, whole},
		"rsyslog":              {"2026-11-22T18:00:01.234567+00:00 web1 sshd[4711]: " + logMsg, micros},
		"rsyslog, zone":        {"2026-11-22T20:00:01+02:00 web1 sshd-session[4711]: " + logMsg, timed},
		"RFC 5424":             {"<38>1 2026-11-22T18:00:01Z web1 sshd 4711 - - " + logMsg, timed},
		"RFC 5424, data":       {`<38>1 2026-11-22T18:00:01Z web1 sshd 4711 - [x y="z"] ` + "\ufeff" + logMsg, timed},
		"journald, short-iso":  {"2026-11-22T18:00:01+0000 web1 sshd[4711]: " + logMsg, timed},
		"journald, JSON":       {`{"__REALTIME_TIMESTAMP":"1795370401000000","_COMM":"sshd","MESSAGE":"` + logMsg + `"}`, timed},
		"pty-less methods":     {logMsg + ", publickey", whole},
		"failed":               {"sshd[1]: " + strings.Replace(logMsg, "Accepted", "Failed", 1) + " [preauth]", failed},
		"invalid user":         {"sshd[1]: Failed publickey for invalid user roo t from 192.0.2.7 port 50122 ssh2: " + logEnd, invalid},
		"certificate":          {`sshd[1]: Accepted certificate ID "` + logID + `" (serial 7) signed by ED25519 CA ` + logCA + ` via /etc/ssh/ca.pub`, alone},
		"certificate, keys":    {`sshd[1]: Accepted certificate ID "` + logID + `" (serial 7) signed by CA ED25519 ` + logCA + ` found at /root/.ssh/authorized_keys:1`, alone},
		"certificate, old":     {`sshd[1]: Accepted certificate ID "` + logID + `" signed by ED25519 CA ` + logCA + ` via /etc/ssh/ca.pub`, old},
		"cut in the CA":        {logMsg[:len(logMsg)-3], noCA},
		"cut before the CA":    {logMsg[:strings.Index(logMsg, " CA ")], noCA},
		"cut in the serial":    {logMsg[:strings.Index(logMsg, "7) CA")], noSerial},
		"cut in the Key ID":    {logMsg[:strings.Index(logMsg, "_x/")], cut},
		"cut in the ID, alone": {`Accepted certificate ID "mei@example.com/people/sin`, ca.LogLine{KeyID: "mei@example.com/people/sin"}},
	} {
		got, err := ca.ParseLogLine(c.line)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if diff := cmp.Diff(&c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
}

// Whoever connects chooses words of the line: never does a line that says two things read as one that says one.
func TestParseLogLineHostile(t *testing.T) {
	for what, line := range map[string]string{
		"as a user's name":   "sshd[1]: Failed publickey for invalid user x from 192.0.2.1 port 1 ssh2: " + logEnd + " from 198.51.100.1 port 2 ssh2: " + strings.ReplaceAll(logEnd, "7", "8"),
		"as a Key ID":        "sshd[1]: Failed publickey for root from 192.0.2.1 port 1 ssh2: RSA-CERT " + logKey + " ID " + logID + " (serial 7) CA ED25519 " + logCA + " (serial 9) CA RSA " + logKey,
		"as a Key ID, alone": `sshd[1]: Accepted certificate ID "x" (serial 7) signed by ED25519 CA ` + logCA + ` via "x" (serial 8) signed by RSA CA ` + logKey + ` via /etc/ssh/ca.pub`,
	} {
		got, err := ca.ParseLogLine(line)
		if err != nil || !got.Several {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	for _, line := range []string{
		"", "hello", "Accepted publickey for deploy from 192.0.2.7 port 50122 ssh2: ED25519 " + logKey, "Accepted password for root from ::1 port 1 ssh2",
		"{", `{"MESSAGE":5}`, logMsg[:strings.Index(logMsg, " ID ")], strings.Repeat("x", ca.MaxLogLine) + logMsg,
	} {
		if got, err := ca.ParseLogLine(line); err == nil {
			t.Errorf("%.80q: %+v", line, got)
		}
	}
}

// Nothing of a line is made up: every field is a part of it, and a serial is there only where it is written.
func FuzzLogLine(f *testing.F) {
	f.Add("Nov 22 18:00:01 web1 sshd[4711]: " + logMsg)
	f.Add(`<38>1 2026-11-22T18:00:01Z web1 sshd 4711 - - ` + logMsg)
	f.Add(`{"__REALTIME_TIMESTAMP":"1795370401000000","MESSAGE":"` + logMsg + `"}`)
	f.Add(`Accepted certificate ID "` + logID + `" signed by ED25519 CA ` + logCA + ` via /etc/ssh/ca.pub`)
	f.Add(logMsg + " (serial 99999999999999999999) CA ")
	f.Fuzz(func(t *testing.T, line string) {
		l, err := ca.ParseLogLine(line)
		if err != nil {
			return
		}
		if strings.HasPrefix(line, "{") || !utf8.ValidString(line) {
			return
		}
		for _, part := range []string{l.KeyID, l.Login, l.Address, l.Key, l.CA} {
			if !strings.Contains(line, part) {
				t.Fatalf("%q is not in %q", part, line)
			}
		}
		if l.HasSerial != strings.Contains(line, " (serial ") && l.HasSerial {
			t.Fatalf("%+v of %q", l, line)
		}
	})
}
