package spool

import (
	"sync"
	"sync/atomic"
)

// Stats are counts since the spool was opened, and how much there is now.
type Stats struct {
	Syncs          int64 // fdatasyncs, of the journal and of segments
	Batches        int64 // writes to the journal, each for all who waited
	JournalBytes   int64 // size of the journal's files
	Bytes          int64 // of segments here, with those being written
	Waiting        int   // segments that are closed and not stored yet
	Open           int   // recordings being written
	UploadFailures int64 // attempts to store that failed
	StoreDown      bool  // whether the last attempt failed
	Stuck          int64 // disk operations that have not come back in time
	LastError      string
}

type counts struct {
	fsyncs, batches, journal, failures, stuck atomic.Int64
	down                                      atomic.Bool

	mu   sync.Mutex
	last string
}

func (c *counts) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = err.Error()
}

// Stats tells how the spool does; of none there is nothing to tell.
func (s *Spool) Stats() Stats {
	if s == nil {
		return Stats{}
	}
	st := Stats{Syncs: s.counts.fsyncs.Load(), Batches: s.counts.batches.Load(), JournalBytes: s.counts.journal.Load(),
		UploadFailures: s.counts.failures.Load(), StoreDown: s.counts.down.Load(), Stuck: s.counts.stuck.Load()}
	s.counts.mu.Lock()
	st.LastError = s.counts.last
	s.counts.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Bytes = s.bytes
	for _, e := range s.sessions {
		if e.file != nil {
			st.Open++
		}
		st.Waiting += e.cut - e.first
	}
	return st
}
