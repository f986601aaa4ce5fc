package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// rsyncMaxPending is how many files may wait to be known as received. Of more, the oldest is told as "sent".
const rsyncMaxPending = 16 << 10

// rsyncOutcome is a file that was sent, or that is being sent.
type rsyncOutcome struct {
	op       Operation
	file     *rsyncFile
	phase    int
	received bool
	told     bool
}

// readContent reads a file: how the receiver's copy is cut into blocks, then literal data and blocks, then a checksum.
func (r *rsync) readContent(s *rsyncStream, f *rsyncFile) {
	o := &rsyncOutcome{file: f, phase: r.phase, op: r.operation(r.cmd.way(), r.placeOf(f.name), "ok")}
	if f.outcome != nil {
		r.settle(f.outcome, "sent again")
	}
	r.file = o
	blocks := readBlocks(s)
	if r.compressed {
		o.readCompressed(s)
	} else {
		o.readPlain(s, blocks, f.size)
	}
	sum := make([]byte, r.fileSum)
	s.fill(sum)
	if len(sum) > 1 && binary.LittleEndian.Uint64(sum) == 0 { // the sender's word for what it could not read
		o.op.Result, o.op.SHA256 = "not read to its end", ""
	}
	o.op.Took = r.out.Clock() - o.op.Started
	r.file = nil
	r.sent(o)
}

// readBlocks reads how a file is cut into blocks, and gives their number.
func readBlocks(s *rsyncStream) int32 {
	most := int32(1 << 17)
	if s.protocol < 30 {
		most = 1 << 29
	}
	n := s.int()
	s.count(n, 1<<31-1)
	size := s.count(s.int(), most)
	s.count(s.int(), 64)
	s.count(s.int(), int32(size))
	return n
}

// readPlain reads lengths with their literal data, numbers of blocks below 0, and 0 at the end. It hashes what comes
// whole.
func (o *rsyncOutcome) readPlain(s *rsyncStream, blocks int32, size int64) {
	sum := sha256.New()
	for {
		n := s.int()
		switch {
		case n == 0:
			if sum != nil && o.op.Bytes == size {
				o.op.SHA256 = hex.EncodeToString(sum.Sum(nil))
			}
			return
		case n < 0:
			if sum = nil; -(int64(n) + 1) >= int64(blocks) {
				s.lose("block %d of %d", -(int64(n) + 1), blocks)
			}
			continue
		case n > 1<<24:
			s.lose("literal data of %d bytes", n)
		}
		for left := int64(n); left > 0; {
			b := s.some(left)
			if sum != nil {
				sum.Write(b)
			}
			left -= int64(len(b))
			o.op.Bytes += int64(len(b))
		}
	}
}

// readCompressed reads compressed data with their lengths, and numbers and runs of blocks (token.c).
func (o *rsyncOutcome) readCompressed(s *rsyncStream) {
	for {
		flag := s.byte()
		switch {
		case flag == 0:
			return
		case flag&0xc0 == 0x40:
			n := int64(flag&0x3f)<<8 | int64(s.byte())
			s.skip(n)
			o.op.Bytes += n
		case flag&0xc0 == 0xc0: // a run, behind the last block
			s.short()
		case flag&0x80 != 0: // a block, behind the last one
		case flag == 0x20:
			s.int()
		case flag == 0x21:
			s.int()
			s.short()
		default:
			s.lose("compressed data begins with %#x", flag)
		}
	}
}

// sent takes a file that was sent whole: a download is done, an upload waits for the receiver.
func (r *rsync) sent(o *rsyncOutcome) {
	if r.cmd.Sender {
		r.tell(o.op)
		return
	}
	r.pending, o.file.outcome = append(r.pending, o), o
	for len(r.pending) > rsyncMaxPending || len(r.pending) > 0 && r.pending[0].told {
		r.settle(r.pending[0], "sent")
		r.pending[0] = nil
		r.pending = r.pending[1:]
	}
}

// settle tells how a file went, unless that was told: otherwise is the result if nothing shows that it was received.
func (r *rsync) settle(o *rsyncOutcome, otherwise string) {
	if o.told {
		return
	}
	o.told, o.file.outcome = true, nil
	r.tell(o.result(otherwise))
}

func (o *rsyncOutcome) result(otherwise string) Operation {
	if o.op.Result == "ok" && !o.received {
		o.op.Result = otherwise
	}
	return o.op
}
