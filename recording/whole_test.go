package recording_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sekisho/sekisho/recording"
)

// Wherever a recording is cut, as many frames are whole as its reader accepts, and no half of one.
func TestWholeFrames(t *testing.T) {
	for name, v := range vectors(t) {
		if v.Error != "" || len(v.file) > 8<<10 {
			continue
		}
		for cut := range len(v.file) + 1 {
			got, err := recording.WholeFrames(bytes.NewReader(v.file[:cut]), true)
			if err != nil {
				t.Fatalf("%s cut at %d: %v", name, cut, err)
			}
			want, err := recording.Intact(bytes.NewReader(v.file[:cut]))
			if err != nil {
				if !errors.Is(err, recording.ErrCut) || got != (recording.Whole{}) {
					t.Fatalf("%s cut at %d: %+v, and a reader says %v", name, cut, got, err)
				}
				continue
			}
			if got.Frames != want.Frames || got.Bytes != want.Bytes || got.Ended != want.Complete {
				t.Fatalf("%s cut at %d: %+v, want %d frames in %d bytes", name, cut, got, want.Frames, want.Bytes)
			}
		}
	}
}

// A frame of which a block never reached the disk is not whole, nor is what stands behind it.
func TestWholeFramesNeverWritten(t *testing.T) {
	frame := append([]byte{0, 0, 8, 0, 0}, bytes.Repeat([]byte{0xa5}, 2048)...)
	three := bytes.Repeat(frame, 3)
	for name, hole := range map[string][2]int{
		"nothing": {0, 0}, "a block": {1024, 1536}, "its last bytes": {len(frame) - 16, len(frame)}, "all of it": {0, len(frame)},
	} {
		segment := bytes.Clone(three)
		clear(segment[len(frame):][hole[0]:hole[1]])
		want := recording.Whole{Frames: 1, Bytes: int64(len(frame))}
		if name == "nothing" {
			want = recording.Whole{Frames: 3, Bytes: int64(len(three))}
		}
		if got, err := recording.WholeFrames(bytes.NewReader(segment), false); err != nil || got != want {
			t.Errorf("%s was never written: %+v, %v; want %+v", name, got, err, want)
		}
	}
}

func FuzzWholeFrames(f *testing.F) {
	for _, v := range vectors(f) {
		if len(v.file) < 4<<10 {
			f.Add(v.file, true)
			f.Add(v.file[len(v.file)/2:], false)
		}
	}
	f.Fuzz(func(t *testing.T, segment []byte, first bool) {
		w, err := recording.WholeFrames(bytes.NewReader(segment), first)
		if err != nil || w.Bytes > int64(len(segment)) || w.Frames > w.Bytes {
			t.Fatalf("%+v, %v", w, err)
		}
		again, err := recording.WholeFrames(bytes.NewReader(segment[:w.Bytes]), first)
		if err != nil || again != w {
			t.Fatalf("%+v, and of that %+v", w, again)
		}
	})
}
