package recording

import "encoding/binary"

const endContext = "sekisho-recording-end-v2\x00"

// totals are in the end record, so that a reader can check that it saw all.
type totals struct {
	frames  uint64 // before the one with the end record
	entries uint64 // the session's entry and the end record not counted
	data    uint64 // bytes of their data
}

func (t *totals) add(e Entry) {
	t.entries++
	t.data += uint64(len(e.Data))
}

// encode gives the data of the end record: frames, entries, bytes of data, reason.
func (t totals) encode(end End) []byte {
	b := binary.BigEndian.AppendUint64(nil, t.frames)
	b = binary.BigEndian.AppendUint64(b, t.entries)
	b = binary.BigEndian.AppendUint64(b, t.data)
	return appendString(b, string(end))
}

// checkEnd reads an end record and compares it with what the reader counted itself. A reader that did not begin at the
// beginning knows the number of frames only.
func checkEnd(data []byte, counted totals, partial bool) (End, error) {
	d := decoder{b: data}
	said := totals{frames: d.uint64(), entries: d.uint64(), data: d.uint64()}
	end := End(d.string())
	if err := d.end("end record"); err != nil {
		return "", err
	}
	if partial {
		counted.entries, counted.data = said.entries, said.data
	}
	if said != counted {
		return "", invalid("end record tells of %d frames, %d entries, %d bytes; the file has %d, %d, %d",
			said.frames, said.entries, said.data, counted.frames, counted.entries, counted.data)
	}
	if end == "" {
		return "", invalid("end record gives no reason")
	}
	return end, nil
}

// endMessage is what the signature after the end record signs.
func endMessage(c *chain) []byte { return append([]byte(endContext), c.now[:]...) }
