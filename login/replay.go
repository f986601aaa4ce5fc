package login

import (
	"encoding/binary"
	"errors"
	"sync"
	"time"
)

// replayShards keeps the locks short; a power of two.
const replayShards = 16

// replayed remembers what was seen in the last window, with a bound on how much that can be. Each shard has two
// generations: the young one is written, the old one only read, and when a window has passed the old one is dropped
// whole. So everything is remembered for one window at least and two at most, and nothing is ever searched for its age.
type replayed struct {
	window time.Duration
	most   int // entries per generation and shard
	shards [replayShards]struct {
		sync.Mutex
		since      time.Time
		young, old map[[16]byte]struct{}
	}
}

var errReplayFull = errors.New("replay memory is full")

func newReplayed(window time.Duration, most int) *replayed {
	return &replayed{window: window, most: max(1, most/replayShards)}
}

// spend remembers a key that is the beginning of a cryptographic hash. It reports false when the key was seen before,
// and errReplayFull when there is no room: what cannot be remembered must be refused.
func (r *replayed) spend(key [16]byte, now time.Time) (bool, error) {
	s := &r.shards[binary.LittleEndian.Uint64(key[:])%replayShards]
	s.Lock()
	defer s.Unlock()
	// A clock that was set back must not make us forget, so only time that has passed turns the generations.
	if s.young == nil || now.Sub(s.since) > r.window {
		old := s.young
		if now.Sub(s.since) > 2*r.window {
			old = nil
		}
		s.young, s.old, s.since = make(map[[16]byte]struct{}), old, now
	}
	if _, seen := s.young[key]; seen {
		return false, nil
	}
	if _, seen := s.old[key]; seen {
		return false, nil
	}
	if len(s.young) >= r.most {
		return false, errReplayFull
	}
	s.young[key] = struct{}{}
	return true, nil
}
