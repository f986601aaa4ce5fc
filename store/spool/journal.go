package spool

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// journal is what all sessions' small frames go into. At any time one batch takes records, and at most one is on its
// way to the disk; the next goes when that has come back. So nobody waits for a clock, and the busier the disk is, the
// more becomes durable at once.
type journal struct {
	dir     string
	size    int64
	timeout time.Duration
	disk    *disk
	counts  *counts

	mu      sync.Mutex
	taking  *batch
	flying  *batch
	current *logFile
	spare   *logFile
	closed  bool
	work    sync.WaitGroup // files that are being done without
}

// batch is what becomes durable together.
type batch struct {
	records []byte
	ends    map[*File]int64 // how far each session is durable then, in its recording
	wanted  bool            // somebody waits
	done    chan struct{}   // closed when err is known
	landed  bool            // it is known, and being told
	err     error
}

// logFile is a file of the journal.
type logFile struct {
	file  *os.File
	salt  []byte
	used  int64
	files map[*File]struct{} // sessions whose segments may need it after a crash
}

func newJournal(dir string, cfg Config, d *disk, c *counts) *journal {
	return &journal{dir: dir, size: cfg.JournalBytes, timeout: cfg.SyncTimeout, disk: d, counts: c, taking: newBatch()}
}

func newBatch() *batch { return &batch{ends: map[*File]int64{}, done: make(chan struct{})} }

// begin makes the first file.
func (j *journal) begin() (err error) {
	j.current, err = j.create()
	return err
}

// create makes a journal file whose room on the disk and whose name are certain.
func (j *journal) create() (*logFile, error) {
	file, err := os.OpenFile(filepath.Join(j.dir, rand.Text()+".log"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make journal: %w", err)
	}
	l := &logFile{file: file}
	if err = reserve(file, j.size); err == nil {
		err = j.start(l)
	}
	if err == nil {
		err = errors.Join(file.Sync(), syncDir(j.dir))
	}
	if err != nil {
		return nil, fmt.Errorf("make journal: %w", errors.Join(err, os.Remove(file.Name()), file.Close()))
	}
	j.counts.journal.Add(j.size)
	return l, nil
}

// reserve fills the file with zeros. Room that was only asked for (fallocate(2)) would have to be noted as written by the
// file system with every sync, and such a note waits for what others have written.
func reserve(f *os.File, size int64) error {
	zeros := make([]byte, min(size, 1<<20))
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return nil
}

// start lets the file be written from its beginning. The head becomes durable with the first batch.
func (j *journal) start(l *logFile) error {
	head, salt := newHead()
	l.salt, l.used, l.files = salt, int64(len(head)), map[*File]struct{}{}
	_, err := j.disk.writeAt(l.file, head, 0)
	return err
}

// add takes a frame for the next batch. It is refused when too much waits already.
func (j *journal) add(f *File, r record, end int64) *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	b := j.taking
	if len(b.records)+recordHead+len(r.data) > int(min(maxPending, j.size/4)) || j.closed {
		return nil
	}
	b.records = appendRecord(b.records, r)
	b.ends[f] = end
	return b
}

// wait returns when the batch is durable, or is known not to be.
func (j *journal) wait(b *batch) error {
	j.mu.Lock()
	b.wanted = true
	j.fly()
	j.mu.Unlock()
	<-b.done
	return b.err
}

// fly sends the batch that takes records on its way, if somebody waits for it and none is under way.
func (j *journal) fly() {
	if j.flying != nil || !j.taking.wanted {
		return
	}
	b := j.taking
	j.flying, j.taking = b, newBatch()
	if err := j.refuse(); err != nil {
		go j.land(b, err)
		return
	}
	records := b.records
	late := time.AfterFunc(j.timeout, func() { j.abandon(b) })
	go func() {
		err := j.write(b, records)
		if late.Stop() {
			j.land(b, err)
			return
		}
		<-b.done
		j.counts.stuck.Add(-1)
	}()
}

// refuse says why the disk is not even asked.
func (j *journal) refuse() error {
	if j.closed {
		return ErrClosed
	}
	if j.counts.stuck.Load() >= maxStuck {
		return ErrSlow
	}
	return nil
}

// write brings a batch to the disk. Only the goroutine of the batch that flies calls it.
func (j *journal) write(b *batch, records []byte) error {
	l, err := j.room(b, int64(len(records)))
	if err != nil {
		return err
	}
	seal(records, l.salt)
	j.counts.batches.Add(1)
	if _, err := j.disk.writeAt(l.file, records, l.used); err != nil {
		return err
	}
	j.counts.fsyncs.Add(1)
	return j.disk.datasync(l.file)
}

// room gives the file that the batch goes into, a new one when it does not fit the current one.
func (j *journal) room(b *batch, size int64) (*logFile, error) {
	j.mu.Lock()
	l, spare := j.current, j.spare
	if l != nil && l.used+size <= j.size {
		j.mu.Unlock()
		return l, nil
	}
	j.spare = nil
	j.mu.Unlock()
	var err error
	if spare != nil {
		err = j.start(spare)
	} else {
		spare, err = j.create()
	}
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.flying != b || b.landed { // given up meanwhile
		j.remove(spare)
		return nil, ErrSlow
	}
	j.current = spare
	j.retire(l, true)
	return spare, nil
}

// land tells a batch's sessions how it went, and lets the next one fly. After an error the file is not written again.
func (j *journal) land(b *batch, err error) {
	j.mu.Lock()
	if j.flying != b || b.landed {
		j.mu.Unlock()
		return
	}
	b.err, b.landed = named(err), true
	l := j.current
	if err == nil {
		l.used += int64(len(b.records))
		for f := range b.ends {
			l.files[f] = struct{}{}
		}
	} else {
		j.current = nil
		j.retire(l, false)
	}
	if err == nil {
		j.flying = nil
	} // else the next one waits until all know: if it went well first, it would seem to speak for this one as well
	j.mu.Unlock()
	for f, end := range b.ends {
		f.landed(end, b.err)
	}
	b.records, b.ends = nil, nil // sessions hold on to their last batch
	close(b.done)
	j.mu.Lock()
	if j.flying == b {
		j.flying = nil
	}
	j.fly()
	j.mu.Unlock()
}

// abandon gives up a batch that the disk did not take in time. Whoever is in the kernel for it stays there.
func (j *journal) abandon(b *batch) {
	j.counts.stuck.Add(1)
	j.land(b, ErrSlow)
}

// retire syncs the segments that may need a file, then lets it be used again, or removes it.
func (j *journal) retire(l *logFile, again bool) {
	if l == nil {
		return
	}
	j.work.Go(func() {
		var errs []error
		for f := range l.files {
			errs = append(errs, f.settle())
		}
		if errors.Join(errs...) != nil { // what is in it may be nowhere else: the next start reads it
			l.file.Close()
			return
		}
		j.mu.Lock()
		if again && j.spare == nil && !j.closed {
			l.files = nil
			j.spare = l
			j.mu.Unlock()
			return
		}
		j.mu.Unlock()
		j.remove(l)
	})
}

func (j *journal) remove(l *logFile) {
	os.Remove(l.file.Name())
	l.file.Close()
	j.counts.journal.Add(-j.size)
}

// forget drops a session whose segments are all synced.
func (j *journal) forget(f *File) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.current != nil {
		delete(j.current.files, f)
	}
}

// close waits for what is under way and closes the files. They are removed when no session needs them any more.
func (j *journal) close() error {
	j.mu.Lock()
	j.closed = true
	flying, current, spare := j.flying, j.current, j.spare
	j.mu.Unlock()
	if flying != nil {
		<-flying.done
	}
	j.work.Wait()
	var errs []error
	for _, l := range []*logFile{current, spare} {
		if l == nil {
			continue
		}
		errs = append(errs, l.file.Close())
		if len(l.files) == 0 {
			errs = append(errs, os.Remove(l.file.Name()))
		}
	}
	return errors.Join(errs...)
}
