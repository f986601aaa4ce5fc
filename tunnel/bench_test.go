package tunnel_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/tunnel"
)

// BenchmarkOpen measures opening a stream and getting its first byte back.
func BenchmarkOpen(b *testing.B) {
	_, r, _ := one(b)
	one := make([]byte, 1)
	for b.Loop() {
		c := dial(b, r, "db1")
		c.Write(one)
		if _, err := io.ReadFull(c, one); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkEcho measures a round trip of one byte on an open stream, against plain TCP.
func BenchmarkEcho(b *testing.B) {
	address := listen(b, echo)
	h := newHouse(b)
	r := linked(b, h, address)
	for name, dial := range map[string]func() net.Conn{
		"tunnel": func() net.Conn { return dial(b, r, "db1") },
		"direct": func() net.Conn { return direct(b, address) },
	} {
		b.Run(name, func(b *testing.B) {
			c := dial()
			defer c.Close()
			one := make([]byte, 1)
			for b.Loop() {
				c.Write(one)
				if _, err := io.ReadFull(c, one); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBulk measures downloads, against plain TCP.
func BenchmarkBulk(b *testing.B) {
	block := make([]byte, 256<<10)
	address := listen(b, func(c *net.TCPConn) {
		for {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
	h := newHouse(b)
	r := linked(b, h, address)
	for _, streams := range []int{1, 16} {
		for name, dial := range map[string]func() net.Conn{
			"tunnel": func() net.Conn { return dial(b, r, "db1") },
			"direct": func() net.Conn { return direct(b, address) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, streams), func(b *testing.B) {
				conns := make([]net.Conn, streams)
				for i := range conns {
					conns[i] = dial()
					defer conns[i].Close()
				}
				const each = 1 << 20
				b.SetBytes(each * int64(streams))
				for b.Loop() {
					var wg sync.WaitGroup
					for _, c := range conns {
						wg.Go(func() { io.CopyN(io.Discard, c, each) })
					}
					wg.Wait()
				}
			})
		}
	}
}

func linked(b *testing.B, h *house, address string) *tunnel.Registry {
	id := sekisho.NewID("con")
	r, _ := h.serve(b, map[string]tunnel.Member{id: {ID: id, Name: "host1", Targets: []string{"db1"}}}, nil)
	h.connect(b, id, map[string]string{"db1": address}, nil)
	h.events.await(b, sekisho.EventConnectorConnected, 1)
	return r
}

func direct(b *testing.B, address string) net.Conn {
	c, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// BenchmarkIdle reports the memory of one idle link with one spare connection, both ends together in this process.
func BenchmarkIdle(b *testing.B) {
	h := newHouse(b)
	members := map[string]tunnel.Member{}
	var ids []string
	for i := range 200 {
		id := sekisho.NewID("con")
		ids = append(ids, id)
		members[id] = tunnel.Member{ID: id, Name: "host", Targets: []string{fmt.Sprintf("t%d", i)}}
	}
	h.serve(b, members, nil)
	before := inUse()
	for i, id := range ids {
		h.connect(b, id, map[string]string{fmt.Sprintf("t%d", i): "127.0.0.1:1"}, func(c *tunnel.LinkConfig) { c.Spare = 1 })
	}
	h.events.await(b, sekisho.EventConnectorConnected, len(ids))
	used := inUse() - before
	for b.Loop() {
	}
	b.ReportMetric(float64(used)/1024/float64(len(ids)), "KiB/link-both-ends")
}

func inUse() int64 {
	for range 5 { // each collection halves stacks that a handshake has grown
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
