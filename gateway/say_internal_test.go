package gateway

import (
	"io"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// mute is the channel of a user who takes nothing.
type mute struct {
	ssh.Channel
	begun chan struct{}
	hold  chan struct{}
}

func (d *mute) Stderr() io.ReadWriter {
	return struct {
		io.Reader
		io.Writer
	}{nil, d}
}

func (d *mute) Write(p []byte) (int, error) {
	d.begun <- struct{}{}
	<-d.hold
	return len(p), nil
}

// However often somebody is told something who does not listen, little of it waits for them.
func TestSentencesThatNobodyTakes(t *testing.T) {
	d := &mute{begun: make(chan struct{}, 100), hold: make(chan struct{})}
	c := &channel{near: d}
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() { c.say("no") })
	}
	all.Wait()
	close(d.hold)
	for range maxTelling {
		<-d.begun
	}
	c.voice.Lock() // nobody writes any more
	defer c.voice.Unlock()
	if n := len(d.begun); n > 0 {
		t.Errorf("%d sentences waited besides", n)
	}
}
