package krl

import (
	"encoding/binary"
	"slices"
)

// What the ways to write serials cost, in bits: each serial of the one list, a section for a range, a section for a
// bitmap, to which each serial from its first to its last adds a bit.
const (
	bitsListed = 64
	bitsRange  = (5 + 16) * 8
	bitsBitmap = (5 + 8 + 4 + 1) * 8
	// mostBits is how many serials a bitmap spans at the most: OpenSSH reads no mpint of more.
	mostBits = 16384
)

// appendSerials writes ranges, which are sorted and do not meet, in the fewest bytes: a list of those that stand alone,
// then ranges and bitmaps in order.
func appendSerials(b []byte, ranges []Range) []byte {
	var listed, others []choice
	from := plan(ranges)
	for end := len(ranges); end > 0; end = from[end-1].begin {
		if how := from[end-1]; how.kind == certificateList {
			listed = append(listed, how)
		} else {
			others = append(others, how)
		}
	}
	if len(listed) > 0 {
		b = appendSection(b, certificateList, func(b []byte) []byte {
			for _, how := range slices.Backward(listed) {
				b = ranges[how.begin].appendEach(b)
			}
			return b
		})
	}
	for _, how := range slices.Backward(others) {
		body := ranges[how.begin].append
		if how.kind == certificateBitmap {
			body = func(b []byte) []byte { return appendBitmap(b, ranges[how.begin:how.end]) }
		}
		b = appendSection(b, how.kind, body)
	}
	return b
}

// choice is how the ranges from begin to before end are written.
type choice struct {
	begin, end int
	kind       byte
}

// plan finds the cheapest way to write the ranges up to each. One range is listed or has a section; a bitmap may take
// several. Of the bitmaps that end at one place, queue holds the beginnings that can still be the cheapest, the cheapest
// first, so that each range is looked at a few times, however many there are.
func plan(ranges []Range) []choice {
	from := make([]choice, len(ranges))
	best := make([]uint64, len(ranges)+1)
	queue := make([]int, 0, len(ranges))
	for i, r := range ranges {
		best[i+1], from[i] = best[i]+bitsRange, choice{i, i + 1, certificateRange}
		if n := r.Last - r.First; n < bitsRange/bitsListed { // n+1 serials
			if cost := best[i] + (n+1)*bitsListed; cost < best[i+1] {
				best[i+1], from[i] = cost, choice{i, i + 1, certificateList}
			}
		}
		for len(queue) > 0 && r.Last-ranges[queue[0]].First >= mostBits {
			queue = queue[1:]
		}
		for n := len(queue); n > 0 && best[queue[n-1]]+r.First-ranges[queue[n-1]].First >= best[i]; n = len(queue) {
			queue = queue[:n-1]
		}
		if r.Last-r.First < mostBits {
			queue = append(queue, i)
		}
		if len(queue) == 0 {
			continue
		}
		begin := queue[0]
		if cost := best[begin] + bitsBitmap + r.Last - ranges[begin].First + 1; cost < best[i+1] {
			best[i+1], from[i] = cost, choice{begin, i + 1, certificateBitmap}
		}
	}
	return from
}

func (r Range) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, r.First), r.Last)
}

func (r Range) appendEach(b []byte) []byte {
	for n := range r.Last - r.First + 1 {
		b = binary.BigEndian.AppendUint64(b, r.First+n)
	}
	return b
}

// appendBitmap writes the first serial and an mpint, in which bit n stands for the serial n after the first. The last
// bit is set, so that the number is as short as an mpint must be, and not negative.
func appendBitmap(b []byte, group []Range) []byte {
	first := group[0].First
	bits := group[len(group)-1].Last - first + 1
	number := make([]byte, bits/8+1)
	for _, r := range group {
		for n := r.First - first; n <= r.Last-first; n++ {
			number[len(number)-1-int(n/8)] |= 1 << (n % 8)
		}
	}
	return appendString(binary.BigEndian.AppendUint64(b, first), number)
}
