package spool

import "os"

// SetDisk makes a spool ask these instead of the kernel; nil is the kernel.
func (c *Config) SetDisk(writeAt func(*os.File, []byte, int64) (int, error), sync func(*os.File) error, room func(string) (int64, error)) {
	c.disk = &disk{writeAt: writeAt, datasync: sync, free: room}
	if writeAt == nil {
		c.disk.writeAt = (*os.File).WriteAt
	}
	if sync == nil {
		c.disk.datasync = datasync
	}
	if room == nil {
		c.disk.free = free
	}
}

var Datasync = datasync

// Journal is a journal file with frames of one segment.
func Journal(frames [][]byte, session string) []byte {
	head, salt := newHead()
	var records []byte
	at := int64(0)
	for _, f := range frames {
		records = appendRecord(records, record{session, 0, at, f})
		at += int64(len(f))
	}
	seal(records, salt)
	return append(head, records...)
}
