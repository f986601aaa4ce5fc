package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sekisho/sekisho"
)

// draft is an event's line before its sequence number and time are known. It shares nothing with the event, so a
// caller that gave up waiting may go on using it.
type draft struct {
	rest                         []byte // of the line, from after the time
	kind, actor, target, session string
}

// start is how the JSON of an event without number and time begins.
var start = []byte(`{"seq":0,"time":"0001-01-01T00:00:00Z",`)

// newDraft bounds the event's texts and encodes it.
func newDraft(ev *sekisho.Event) (draft, error) {
	if ev == nil || ev.Kind == "" {
		return draft{}, errors.New("event has no kind")
	}
	e := *ev
	e.Seq, e.Time = 0, time.Time{}
	e.Error = cut(e.Error)
	if ev.Detail != nil {
		e.Detail = make(map[string]string, len(ev.Detail))
		for k, v := range ev.Detail {
			e.Detail[k] = cut(v)
		}
	}
	line, err := json.Marshal(&e)
	if err != nil {
		return draft{}, fmt.Errorf("encode event %s: %w", e.Kind, err)
	}
	rest, ok := bytes.CutPrefix(line, start)
	if !ok {
		return draft{}, fmt.Errorf("encode event %s: it begins %.60q", e.Kind, line)
	}
	if len(rest) > MaxLine-100 { // 100: more than number and time can take
		return draft{}, fmt.Errorf("event %s has %d bytes, more than a line holds", e.Kind, len(line))
	}
	return draft{rest: rest, kind: e.Kind, actor: e.Actor, target: e.Target, session: e.Session}, nil
}

// line is the JSON of the event with its number and time filled in, as encoding/json would write it.
func (d *draft) line(seq int64, at time.Time) []byte {
	line := make([]byte, 0, len(d.rest)+80)
	line = append(line, `{"seq":`...)
	line = strconv.AppendInt(line, seq, 10)
	line = append(line, `,"time":"`...)
	line = at.AppendFormat(line, time.RFC3339Nano)
	line = append(line, `",`...)
	return append(line, d.rest...)
}

const cutMark = "…[cut]"

// cut bounds a text to maxText bytes and marks that it did.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := maxText - len(cutMark)
	for end > maxText-len(cutMark)-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + cutMark
}
