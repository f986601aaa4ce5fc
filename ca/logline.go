package ca

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// MaxLogLine is how long a line of a log may be, in bytes. sshd writes 1 KiB at the most, and what keeps logs adds to it.
const MaxLogLine = 16 << 10

// LogLine is what a line of a stock sshd's log says of a certificate. What it does not say is empty.
type LogLine struct {
	// Outcome is what became of the log-in: "accepted", "failed", "postponed" or "partial"; empty where the line is about
	// something else, such as the certificate alone.
	Outcome string
	// Login and Address are the account and where the log-in came from. Who connects chooses both names of accounts that are
	// not there and the Key IDs of foreign certificates, so only KeyID, Serial, Key and CA together lead to a certificate.
	Login, Address string
	// KeyID is the certificate's Key ID, as far as the line has it; Whole says that it is there to its end.
	KeyID string
	Whole bool
	// Serial is there where HasSerial says so.
	Serial    uint64
	HasSerial bool
	// Key and CA are "SHA256:…" fingerprints.
	Key, CA string
	// Time is when the line was written, where it says so with a year and a time zone.
	Time time.Time
	// Several says that the line reads as if it named more than one certificate. A genuine one of ours names one.
	Several bool
}

var (
	// auth.c, format_method_key: TYPE-CERT FINGERPRINT ID KEYID (serial N) CA TYPE FINGERPRINT
	logKey = regexp.MustCompile(`-CERT (SHA256:[A-Za-z0-9+/]{43}) ID `)
	// The end of the same, and of what auth2-pubkey.c says of a certificate alone: signed by TYPE CA FINGERPRINT
	logSerial = regexp.MustCompile(` \(serial ([0-9]{1,20})\)`)
	logCA     = regexp.MustCompile(`^(?: CA [A-Z0-9-]+| signed by (?:[A-Z0-9-]+ CA|CA [A-Z0-9-]+)) (SHA256:[A-Za-z0-9+/]{43})(?:[ ,].*)?$`)
	// auth2-pubkey.c, user_cert_trusted_ca; old ones without the serial
	logAlone   = regexp.MustCompile(`Accepted certificate ID "`)
	logOldCA   = regexp.MustCompile(`" signed by [A-Z0-9-]+ CA (SHA256:[A-Za-z0-9+/]{43}) via `)
	logAccount = regexp.MustCompile(`(?:^|[:\]] |- )\x{feff}?(Accepted|Failed|Postponed|Partial) publickey for (.+) from ([0-9A-Fa-f.:%a-z_-]+) port [0-9]+ ssh2`)
	logTime    = regexp.MustCompile(`^(?:<[0-9]{1,3}>1 )?([0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})) `)
)

// ParseLogLine reads a line of sshd's log, whatever wrote it down: sshd's own file or standard error, syslog (RFC 3164 and
// 5424), rsyslog's ISO times, journald's short and JSON output. Lines may be cut at their end. The error says that the line
// tells of no certificate.
func ParseLogLine(text string) (*LogLine, error) {
	if len(text) > MaxLogLine {
		return nil, fmt.Errorf("line of %d bytes: want %d at most", len(text), MaxLogLine)
	}
	text = strings.TrimRight(text, "\r\n \x00")
	if strings.HasPrefix(text, "{") {
		text = journalled(text)
	}
	l := &LogLine{}
	l.readTime(text)
	if m := logAccount.FindStringSubmatch(text); m != nil {
		l.Outcome, l.Login, l.Address = strings.ToLower(m[1]), strings.TrimPrefix(m[2], "invalid user "), m[3]
	}
	text = strings.TrimSuffix(text, " [preauth]")
	switch key, alone := logKey.FindAllStringSubmatchIndex(text, -1), logAlone.FindAllStringIndex(text, -1); {
	case len(key) > 0:
		// A Key ID of ours has no space, so of all that looks alike the first must be the only one.
		l.Key = text[key[0][2]:key[0][3]]
		l.Several = len(key)+len(alone) > 1
		l.readRest(text[key[0][1]:])
	case len(alone) > 0:
		l.Several = len(alone) > 1
		l.readAlone(text[alone[0][1]:])
	default:
		return nil, errors.New("the line names no certificate: sshd does where it lets one in, with LogLevel VERBOSE also where it does not")
	}
	return l, nil
}

// readRest reads on after "ID ": KEYID (serial N) CA TYPE FINGERPRINT, or as much of it as there is.
func (l *LogLine) readRest(rest string) {
	all := logSerial.FindAllStringSubmatchIndex(rest, -1)
	l.Several = l.Several || len(all) > 1
	if len(all) == 0 {
		l.KeyID, _, l.Whole = strings.Cut(rest, " ") // cut in "(serial" or "CA": the Key ID itself is whole
		return
	}
	last := all[len(all)-1]
	l.KeyID, l.Whole = rest[:last[0]], true
	l.readSerial(rest[last[2]:last[3]])
	if m := logCA.FindStringSubmatch(rest[last[1]:]); m != nil {
		l.CA = m[1]
	}
}

// readAlone reads on after `Accepted certificate ID "`: KEYID" (serial N) signed by TYPE CA FINGERPRINT via FILE
func (l *LogLine) readAlone(rest string) {
	l.readRest(rest)
	if !l.HasSerial {
		if m := logOldCA.FindStringSubmatchIndex(rest); m != nil {
			l.KeyID, l.Whole, l.CA = rest[:m[0]], true, rest[m[2]:m[3]]
			return
		}
	}
	id, quoted := strings.CutSuffix(l.KeyID, `"`)
	l.KeyID, l.Whole = id, l.Whole && quoted
}

func (l *LogLine) readSerial(text string) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err == nil {
		l.Serial, l.HasSerial = n, true
	}
}

func (l *LogLine) readTime(text string) {
	m := logTime.FindStringSubmatch(text)
	if m == nil {
		return
	}
	at := strings.Replace(strings.Replace(m[1], ",", ".", 1), " ", "T", 1)
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700"} {
		if t, err := time.Parse(form, at); err == nil {
			l.Time = t.UTC()
			return
		}
	}
}

// journalled is the message of an entry as journalctl -o json prints it, with its time before it.
func journalled(text string) string {
	var entry struct {
		Message string `json:"MESSAGE"`
		Micros  string `json:"__REALTIME_TIMESTAMP"`
	}
	if json.Unmarshal([]byte(text), &entry) != nil || entry.Message == "" {
		return text
	}
	if n, err := strconv.ParseInt(entry.Micros, 10, 64); err == nil && n > 0 && n < 1<<57 {
		return time.UnixMicro(n).UTC().Format(time.RFC3339Nano) + " sshd: " + entry.Message
	}
	return entry.Message
}
