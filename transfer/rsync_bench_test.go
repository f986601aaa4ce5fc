package transfer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sekisho/sekisho/transfer"
)

// benchContent measures how fast the content of one file passes, in pieces of 32 KiB.
func benchContent(b *testing.B, command string, said []string, content []byte) {
	cmd, ok := transfer.ParseCommand(command)
	if !ok {
		b.Fatal(command)
	}
	w := cmd.Watch(nil, transfer.Outlet{
		Target: func([]byte) error { return nil },
		User:   func([]byte, bool) error { return nil },
		Tell:   func(op transfer.Operation) error { return fmt.Errorf("%s: %s", op.Path, op.Result) },
		Clock:  func() time.Duration { return 0 },
	})
	for _, s := range said {
		take := w.FromUser
		if s[0] == 't' {
			take = w.FromTarget
		}
		if err := take([]byte(s[1:])); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if err := w.FromTarget(content); err != nil {
			b.Fatal(err)
		}
	}
	w.Close()
}

func BenchmarkSCPContent(b *testing.B) {
	benchContent(b, "scp -f x", []string{"u\x00", "tC0644 9000000000000000 x\n", "u\x00"}, make([]byte, 32<<10))
}

func BenchmarkRsyncContent(b *testing.B) {
	begin := new(speech)
	begin.entry(0, "x", 1).ints(1, 0o100644).WriteByte(0)
	begin.ints(0, 0).Write([]byte{0, 0x80})
	begin.ints(0, 0, 0, 0)
	said := []string{"t" + greets(29), "u" + greets(29), "t" + new(speech).ints(0).String(), "t" + begin.framed()}
	data := new(speech).ints(32764)
	data.Write(make([]byte, 32764))
	benchContent(b, "rsync --server --sender . x", said, []byte(data.framed()))
}
