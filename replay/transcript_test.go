package replay_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/sekisho/sekisho/replay"
)

func TestTranscriptEdits(t *testing.T) {
	r := newTape(out("lx\bs\x1b[K -l\r\n\x1b]0;title\x07total é\b0"))
	var got bytes.Buffer
	if err := replay.Transcript(&got, r); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(got.String(), "\nls -l\ntotal 0\n") {
		t.Errorf("transcript:\n%s", &got)
	}
}
