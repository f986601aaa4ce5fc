package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

// noting is a recording of which, while it is read, is noted what the person is told besides.
type noting struct {
	replay.Source
	programs []uint32 // the channels that have one
	files    int      // operations on files
	lost     uint64   // bytes that are missing
	typed    int64    // bytes of keystrokes
}

// maxPrograms is how many channels are noted.
const maxPrograms = 10

func (n *noting) Next() (recording.Entry, error) {
	e, err := n.Source.Next()
	if err != nil {
		return e, err
	}
	switch e.Kind {
	case recording.Shell, recording.Exec:
		if len(n.programs) <= maxPrograms && !slices.Contains(n.programs, e.Channel) {
			n.programs = append(n.programs, e.Channel)
		}
	case recording.Input:
		n.typed += int64(len(e.Data))
	case recording.File:
		n.files++
	case recording.Lost:
		n.lost += replay.LostBytes(e)
	}
	return e, nil
}

// tellPrograms says that there is more than what was written.
func (n *noting) tellPrograms(w io.Writer) {
	if len(n.programs) < 2 {
		return
	}
	var all []string
	for _, channel := range n.programs[:min(len(n.programs), maxPrograms)] {
		all = append(all, fmt.Sprint(channel))
	}
	more := ""
	if len(n.programs) > maxPrograms {
		more = " and others"
	}
	fmt.Fprintf(w, "Only the first channel was written. There are programs on channels %s%s: --channel N.\n", strings.Join(all, ", "), more)
}

// tellLost says that not all of a session was recorded, as a policy may allow.
func tellLost(w io.Writer, bytes uint64) {
	if bytes > 0 {
		fmt.Fprintf(w, "Bytes that are missing from this recording: %d. It was made with best effort, and the disk did not take them.\n", bytes)
	}
}

// channelOf is the channel that a person named, or else that of the first program.
func channelOf(named *uint32) uint32 {
	if named != nil {
		return *named
	}
	return replay.AnyChannel
}
