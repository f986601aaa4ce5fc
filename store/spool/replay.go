package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/store/blob"
)

// maxReplayed bounds the files that are open at once while the journal is played back.
const maxReplayed = 256

// replay writes what the journal holds into the segments' files, and removes the journal. Segments that are gone were
// stored.
func (s *Spool) replay(ctx context.Context, folder string) error {
	logs, err := filepath.Glob(filepath.Join(folder, "*.log"))
	if err != nil {
		return err
	}
	for _, log := range logs {
		if err := s.replayFile(ctx, log); err != nil {
			return fmt.Errorf("play the journal back: %w", err)
		}
	}
	for _, log := range logs {
		if err := os.Remove(log); err != nil {
			return err
		}
	}
	return syncDir(folder)
}

func (s *Spool) replayFile(ctx context.Context, log string) error {
	file, err := os.Open(log)
	if err != nil {
		return err
	}
	defer file.Close()
	to := replayer{spool: s, open: map[string]*os.File{}}
	n := 0
	err = readJournal(file, func(r record) error {
		n++
		return errors.Join(ctx.Err(), to.write(r))
	})
	if errors.Is(err, errNoJournal) {
		err = nil
	}
	err = errors.Join(err, to.close())
	s.cfg.Log.Debug("played a journal back", "records", n)
	return err
}

// replayer writes records where they belong.
type replayer struct {
	spool *Spool
	open  map[string]*os.File // nil for what is not there
}

func (p *replayer) write(r record) error {
	path := p.spool.path(r.session, r.segment)
	file, known := p.open[path]
	if !known {
		if len(p.open) >= maxReplayed {
			if err := p.close(); err != nil {
				return err
			}
		}
		var err error
		file, err = os.OpenFile(path, os.O_WRONLY, 0)
		if errors.Is(err, fs.ErrNotExist) {
			file, err = nil, nil
		}
		if err != nil {
			return err
		}
		p.open[path] = file
	}
	if file == nil {
		return nil
	}
	_, err := file.WriteAt(r.data, r.offset)
	return err
}

// close makes all that was written durable.
func (p *replayer) close() error {
	var errs []error
	for path, file := range p.open {
		if file != nil {
			errs = append(errs, file.Sync(), file.Close())
		}
		delete(p.open, path)
	}
	return errors.Join(errs...)
}

// Left is a recording that was being written when the gateway died.
type Left struct {
	Session string
	// Segments that are here are First to Last; those before are in the store.
	First, Last int
	// Whole is what the last segment holds. What was behind its last whole frame is cut off: Dropped bytes.
	Whole   recording.Whole
	Dropped int64
	// Manifest is what the last Cut gave; nothing before the first.
	Manifest []byte
}

// Left tells which recordings had no end when the spool was opened. Each waits until Settle or Discard.
func (s *Spool) Left() []Left {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.left), func(l Left) bool { e := s.sessions[l.Session]; return e == nil || e.final })
}

// Settle gives a recording that was left its last manifest, and lets it be stored.
func (s *Spool) Settle(session string, manifest []byte) error {
	s.mu.Lock()
	e := s.sessions[session]
	over := e != nil && e.file == nil && !e.final
	s.mu.Unlock()
	if !over {
		return fmt.Errorf("settle %s: nothing was left of it", session)
	}
	if err := s.cutEntry(session, e, manifest, e.cut, true); err != nil {
		return fmt.Errorf("settle %s: %w", session, err)
	}
	return nil
}

// survey finds what is in the folder, and cuts off what is torn.
func (s *Spool) survey(ctx context.Context) error {
	names, err := os.ReadDir(s.segments)
	if err != nil {
		return err
	}
	found := map[string][]int{} // segments by session
	for _, entry := range names {
		session, rest, _ := strings.Cut(entry.Name(), ".")
		if !sekisho.CheckID("ses", session) {
			continue
		}
		if strings.HasSuffix(rest, ".new") { // a manifest that was never finished
			os.Remove(filepath.Join(s.segments, entry.Name()))
			continue
		}
		n, err := strconv.Atoi(strings.TrimSuffix(rest, segmentEnd))
		if err == nil && n >= 0 && n <= blob.MaxSegment && s.path(session, n) == filepath.Join(s.segments, entry.Name()) {
			found[session] = append(found[session], n)
			if info, err := entry.Info(); err == nil {
				s.bytes += info.Size()
			}
		} else if "."+rest == openEnd || "."+rest == closedEnd {
			found[session] = append([]int{}, found[session]...) // there may be no segment beside the manifest
		}
	}
	for session, segments := range found {
		if err := errors.Join(ctx.Err(), s.surveySession(session, segments)); err != nil {
			return fmt.Errorf("look at %s: %w", session, err)
		}
	}
	slices.SortFunc(s.left, func(a, b Left) int { return strings.Compare(a.Session, b.Session) })
	return nil
}

// surveySession takes up a session where it was left.
func (s *Spool) surveySession(session string, segments []int) error {
	e := &entry{}
	s.sessions[session] = e
	if len(segments) > 0 {
		slices.Sort(segments)
		e.first, e.cut = segments[0], segments[len(segments)-1]+1
	}
	if _, err := os.Stat(s.manifestPath(session, true)); err == nil {
		e.final = true
		s.enqueue(session, e)
		return nil
	}
	left := Left{Session: session, First: e.first, Last: e.cut - 1}
	var err error
	if left.Manifest, err = os.ReadFile(s.manifestPath(session, false)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(segments) > 0 {
		if left.Whole, left.Dropped, err = s.trim(session, left.Last); err != nil {
			return err
		}
		if left.Whole.Frames == 0 && left.Last > 0 { // begun, and nothing more
			if err := s.removeSegment(session, left.Last); err != nil {
				return err
			}
			left.Last--
			e.cut--
		}
	}
	s.left = append(s.left, left)
	return nil
}

// trim cuts a segment's file after its last whole frame.
func (s *Spool) trim(session string, n int) (recording.Whole, int64, error) {
	file, err := os.OpenFile(s.path(session, n), os.O_RDWR, 0)
	if err != nil {
		return recording.Whole{}, 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return recording.Whole{}, 0, err
	}
	whole, err := recording.WholeFrames(io.NewSectionReader(file, 0, info.Size()), n == 0)
	if err != nil {
		return whole, 0, err
	}
	dropped := info.Size() - whole.Bytes
	if dropped > 0 {
		err = errors.Join(file.Truncate(whole.Bytes), file.Sync())
		s.bytes -= dropped
	}
	return whole, dropped, err
}
