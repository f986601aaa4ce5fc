package tunnel_test

import (
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/tunnel"
)

// A connector that is refused knocks again at once, and one of mallory's as fast as it can: the log has it once a minute.
func TestARefusedConnectorCannotFillTheLog(t *testing.T) {
	h := newHouse(t)
	mallory := sekisho.NewID("con")
	r, _ := h.serve(t, map[string]tunnel.Member{mallory: {ID: mallory, Name: "mallory", Targets: []string{"web1"}}}, nil)
	cert := h.ca.issue(t, "sekisho://connector/"+mallory, time.Hour)
	for range 5 {
		c, err := h.rawDial(t, cert)
		if err != nil {
			t.Fatal(err)
		}
		send(t, c, tunnel.Hello(false, mallory, sekisho.NewID("lnk"), 1), tunnel.Serve("db1"))
		if f := answer(c); tunnel.Reason(f) == "" {
			t.Fatalf("answer %#v, want a refusal", f)
		}
		c.Close()
	}
	r.Close() // every refusal has been noted, or not
	noted := 0
	for _, e := range h.events.list {
		if e.Kind == sekisho.EventConnectorRefused {
			noted++
		}
	}
	if noted != 1 {
		t.Errorf("%d events of 5 refusals, want 1", noted)
	}
}
