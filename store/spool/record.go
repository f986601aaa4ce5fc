package spool

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/blob"
)

// A journal file is a head and records, with whatever was there before behind them:
//
//	head   = magic (8) ‖ salt (8), random ‖ CRC-32C of both (4)
//	record = CRC-32C of salt and the rest (4) ‖ length of data (4) ‖ session (30) ‖ segment (4) ‖ offset in it (8) ‖ data
//
// Integers are big-endian. The salt is new each time a file is used again, so records of before do not check. The
// first record that does not check is where the journal ends: what is torn there was not promised to anybody.
const (
	journalMagic = "sekspool"
	saltSize     = 8
	headSize     = len(journalMagic) + saltSize + 4
	sessionSize  = 30
	recordHead   = 4 + 4 + sessionSize + 4 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is a frame, and where it belongs.
type record struct {
	session string
	segment int
	offset  int64
	data    []byte
}

func newHead() (head, salt []byte) {
	head = append(make([]byte, 0, headSize), journalMagic...)
	head = head[:len(journalMagic)+saltSize]
	salt = head[len(journalMagic):]
	rand.Read(salt)
	return binary.BigEndian.AppendUint32(head, crc32.Checksum(head, castagnoli)), salt
}

// appendRecord leaves the CRC for seal, which knows the journal that the record gets into.
func appendRecord(to []byte, r record) []byte {
	to = append(to, 0, 0, 0, 0)
	to = binary.BigEndian.AppendUint32(to, uint32(len(r.data)))
	to = append(to, r.session...)
	to = binary.BigEndian.AppendUint32(to, uint32(r.segment))
	to = binary.BigEndian.AppendUint64(to, uint64(r.offset))
	return append(to, r.data...)
}

// seal fills the CRCs of whole records.
func seal(records, salt []byte) {
	base := crc32.Checksum(salt, castagnoli)
	for len(records) >= recordHead {
		end := recordHead + int(binary.BigEndian.Uint32(records[4:]))
		binary.BigEndian.PutUint32(records, crc32.Update(base, castagnoli, records[4:end]))
		records = records[end:]
	}
}

// errNoJournal says that a file was never begun.
var errNoJournal = errors.New("not a journal")

// readJournal gives each record to take, until the first that does not check. The data are good until take returns.
func readJournal(r io.Reader, take func(record) error) error {
	in := bufio.NewReaderSize(r, 256<<10)
	head := make([]byte, headSize)
	if _, err := io.ReadFull(in, head); err != nil || string(head[:len(journalMagic)]) != journalMagic ||
		crc32.Checksum(head[:headSize-4], castagnoli) != binary.BigEndian.Uint32(head[headSize-4:]) {
		return whyNot(err, errNoJournal)
	}
	base := crc32.Checksum(head[len(journalMagic):headSize-4], castagnoli)
	buf := make([]byte, recordHead+maxJournaled)
	for {
		if _, err := io.ReadFull(in, buf[:recordHead]); err != nil {
			return whyNot(err, nil)
		}
		length := binary.BigEndian.Uint32(buf[4:])
		if length == 0 || length > maxJournaled {
			return nil
		}
		whole := buf[:recordHead+int(length)]
		if _, err := io.ReadFull(in, whole[recordHead:]); err != nil {
			return whyNot(err, nil)
		}
		rec, ok := parseRecord(whole, base)
		if !ok {
			return nil
		}
		if err := take(rec); err != nil {
			return err
		}
	}
}

// whyNot tells a disk that cannot be read from a file that ends.
func whyNot(err, ended error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ended
	}
	return err
}

func parseRecord(b []byte, base uint32) (r record, ok bool) {
	if crc32.Update(base, castagnoli, b[4:]) != binary.BigEndian.Uint32(b) {
		return r, false
	}
	r.session = string(b[8 : 8+sessionSize])
	r.segment = int(binary.BigEndian.Uint32(b[8+sessionSize:]))
	r.offset = int64(binary.BigEndian.Uint64(b[12+sessionSize:]))
	r.data = b[recordHead:]
	return r, sekisho.CheckID("ses", r.session) && r.segment <= blob.MaxSegment && r.offset >= 0 && r.offset < 1<<40
}
