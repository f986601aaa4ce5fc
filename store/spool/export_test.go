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

// Durable tells how many bytes of a recording that is being written are durable, and whether it is.
func (s *Spool) Durable(session string) (bytes int64, open bool) {
	var f *File
	s.mu.Lock()
	if e := s.sessions[session]; e != nil {
		f = e.file
	}
	s.mu.Unlock()
	if f == nil {
		return 0, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.durable(), true
}
