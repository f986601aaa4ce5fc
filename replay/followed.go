package replay

import (
	"maps"
	"slices"
)

// maxScreens is how many channels are followed at once; when there are more, the one that was quiet for longest is taken
// to have ended. A gateway has fewer open in one session.
const maxScreens = 128

// followed is what is known of each channel that is open. The zero value is ready.
type followed[T any] struct {
	channels map[uint32]*T
	used     map[uint32]uint64 // the turn in which the channel was last
	turn     uint64
}

// of gives what is known of a channel that something happens on, nil for one that is not followed.
func (f *followed[T]) of(channel uint32) *T {
	c := f.channels[channel]
	if c != nil {
		f.turn++
		f.used[channel] = f.turn
	}
	return c
}

// add follows one channel more. Where that is one too many, end is told which was quiet for longest, and drops it.
func (f *followed[T]) add(channel uint32, c *T, end func(quietest uint32)) {
	if len(f.channels) >= maxScreens {
		end(f.quietest())
	}
	if f.channels == nil {
		f.channels, f.used = map[uint32]*T{}, map[uint32]uint64{}
	}
	f.channels[channel] = c
	f.of(channel)
}

func (f *followed[T]) quietest() (channel uint32) {
	least := f.turn + 1
	for n, used := range f.used {
		if used < least {
			channel, least = n, used
		}
	}
	return channel
}

// drop forgets a channel.
func (f *followed[T]) drop(channel uint32) {
	delete(f.channels, channel)
	delete(f.used, channel)
}

// sorted gives the channels that are followed, in order.
func (f *followed[T]) sorted() []uint32 { return slices.Sorted(maps.Keys(f.channels)) }
