package transfer_test

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/sekisho/sekisho/transfer"
)

// sink is an outlet that counts.
func sink() (transfer.Outlet, *int64) {
	var n int64
	return transfer.Outlet{
		Target: func(p []byte) error { n += int64(len(p)); return nil },
		User:   func(p []byte, _ bool) error { n += int64(len(p)); return nil },
		Tell:   func(transfer.Operation) error { return nil },
		Clock:  func() time.Duration { return 0 },
	}, &n
}

// feed sends packet of 32 KiB again and again, each with the next id and offset, in two pieces, and has its answer or
// question taken.
func feed(b *testing.B, from, answer func([]byte) error, packet, reply []byte, offsetAt int, parts bool) {
	b.SetBytes(32 << 10)
	b.ReportAllocs()
	var offset uint64
	if parts {
		offset = 1 // not from the start: nothing is hashed
	}
	for b.Loop() {
		if offsetAt > 0 {
			binary.BigEndian.PutUint64(packet[offsetAt:], offset)
		} else {
			binary.BigEndian.PutUint64(reply[len(reply)-12:], offset)
			if err := answer(reply); err != nil {
				b.Fatal(err)
			}
		}
		offset += 32 << 10
		for p := packet; len(p) > 0; {
			n := min(len(p), 20000)
			if err := from(p[:n]); err != nil {
				b.Fatal(err)
			}
			p = p[n:]
		}
		if offsetAt > 0 {
			if err := answer(reply); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func ready(b *testing.B, o transfer.Outlet) *transfer.SFTPWatcher {
	w := transfer.NewSFTP(everything, o)
	for _, err := range []error{w.FromUser(hello), w.FromTarget(welcome),
		w.FromUser(pkt(pOpen, 1, "/f", oRead|oWrite|oTrunc, noAttrs)), w.FromTarget(pkt(pHandle, 1, "\x00\x00\x00\x00"))} {
		if err != nil {
			b.Fatal(err)
		}
	}
	return w
}

// BenchmarkSFTP gives the speed of 32 KiB packets through a watcher, beside a copy and a hash alone.
func BenchmarkSFTP(b *testing.B) {
	write := pkt(pWrite, 7, "\x00\x00\x00\x00", u64(0), big)
	data := pkt(pData, 7, big)
	read := pkt(pRead, 7, "\x00\x00\x00\x00", u64(0), 32<<10)
	b.Run("copy", func(b *testing.B) {
		to := make([]byte, len(data))
		b.SetBytes(32 << 10)
		for b.Loop() {
			copy(to, data)
		}
	})
	b.Run("hash", func(b *testing.B) {
		sum := sha256.New()
		b.SetBytes(32 << 10)
		for b.Loop() {
			sum.Write(data)
		}
	})
	for name, parts := range map[string]bool{"parse": true, "parse+hash": false} {
		b.Run("upload/"+name, func(b *testing.B) {
			o, _ := sink()
			w := ready(b, o)
			feed(b, w.FromUser, w.FromTarget, write, ok(7), 17, parts)
		})
		b.Run("download/"+name, func(b *testing.B) {
			o, _ := sink()
			w := ready(b, o)
			feed(b, w.FromTarget, w.FromUser, data, read, 0, parts)
		})
	}
}

// BenchmarkSFTPPipe moves a download through pipes, with the user's end and the target's in goroutines of their own.
func BenchmarkSFTPPipe(b *testing.B) {
	in, out := io.Pipe()
	o, _ := sink()
	o.User = func(p []byte, _ bool) error { _, err := out.Write(p); return err }
	go io.Copy(io.Discard, in)
	w := ready(b, o)
	read := pkt(pRead, 7, "\x00\x00\x00\x00", u64(0), 32<<10)
	feed(b, w.FromTarget, w.FromUser, pkt(pData, 7, big), read, 0, false)
	out.Close()
}
