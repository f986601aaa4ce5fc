package main

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// arrivals notes what arrives when.
type arrivals struct {
	packets [][]byte
	times   []time.Duration
	begun   time.Time
}

func (a *arrivals) Write(p []byte) (int, error) {
	a.packets, a.times = append(a.packets, bytes.Clone(p)), append(a.times, time.Since(a.begun))
	return len(p), nil
}

// Every packet arrives once, whole, in order, and as much later as it should: nothing waits for the packet before it.
func TestPacketsAreLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const oneWay = 50 * time.Millisecond
		r, w := io.Pipe()
		got := &arrivals{begun: time.Now()}
		go carryPackets(r, got, oneWay)
		sent := []struct {
			packet []byte
			at     time.Duration
		}{{[]byte("one"), 0}, {[]byte("two"), 0}, {[]byte("three"), 10 * time.Millisecond}, {bytes.Repeat([]byte("x"), 65545), time.Second}}
		for _, s := range sent {
			time.Sleep(s.at - time.Since(got.begun))
			if _, err := w.Write(s.packet); err != nil {
				t.Fatal(err)
			}
		}
		w.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(got.packets) != len(sent) {
			t.Fatalf("%d packets arrive of %d", len(got.packets), len(sent))
		}
		for i, s := range sent {
			if !bytes.Equal(got.packets[i], s.packet) {
				t.Errorf("packet %d is another", i)
			}
			if got.times[i] != s.at+oneWay {
				t.Errorf("packet %d arrives after %s, want %s", i, got.times[i], s.at+oneWay)
			}
		}
	})
}

// A meter counts from the line that says go to the line that says done, however they are cut.
func TestMeterWaitsForLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, began := newMeter(), 0
		m.began = func() { began++ }
		for _, part := range []string{"sftp> !echo go\n", "g", "o\n", "sftp> get a b\n", "sftp> !echo done\ndone", "\n"} {
			time.Sleep(time.Second)
			m.Write([]byte(part))
		}
		if took := m.ended.Sub(m.begun); took != 3*time.Second || began != 1 {
			t.Errorf("%s from %d beginnings, want 3s from 1", took, began)
		}
		select {
		case <-m.gate:
		default:
			t.Error("the gate is not open")
		}
	})
}
