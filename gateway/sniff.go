package gateway

// banner begins every identification string of SSH (RFC 4253, section 4.2).
const banner = "SSH-"

// Bounds on how far a direction is looked into. A server may send lines before its identification string (RFC 4253,
// section 4.2); OpenSSH sends none, and its client reads up to 1024.
const (
	maxSniffedLines = 64
	maxSniffedBytes = 8 << 10
)

// sniffer looks for SSH at the beginning of one direction of a forward: at its first bytes where it comes from the side
// that connected, at the start of each of its first lines where it comes from the side that was connected to. It holds
// back what may still become "SSH-" (three bytes at most) and lets everything else through at once.
//
// It sees SSH that is spoken openly. SSH inside TLS, HTTP or any other wrapping, and SSH between programs that were
// changed to begin otherwise, look like anything else, here as anywhere on the way: against those only the list of
// destinations helps.
type sniffer struct {
	lines   int  // starts of lines that may still be looked at; 0: decided, this is not SSH
	bytes   int  // that may still be looked at
	matched int  // bytes of banner that the current line begins with; they are held back
	inside  bool // the current line begins with something else
}

// newSniffer looks at what comes from the side that connected, or from the side that was connected to.
func newSniffer(connected bool) sniffer {
	if connected {
		return sniffer{lines: 1, bytes: maxSniffedBytes}
	}
	return sniffer{lines: maxSniffedLines, bytes: maxSniffedBytes}
}

// clear reports whether this direction is decided to be something else than SSH.
func (s *sniffer) clear() bool { return s.lines == 0 }

// found reports whether SSH begins in this direction.
func (s *sniffer) found() bool { return s.matched == len(banner) }

// feed takes the next bytes of the direction and gives those that may go on, in order, held ones first; it may be p
// itself. found says that SSH begins after them. From then on nothing goes on.
func (s *sniffer) feed(p []byte) (deliver []byte, found bool) {
	if s.found() {
		return nil, true
	}
	held := banner[:s.matched]
	for i, b := range p {
		if s.clear() {
			break
		}
		s.bytes--
		if !s.inside && b == banner[s.matched] {
			if s.matched++; s.found() {
				return first(held, p[:i+1], s.matched), true
			}
			continue
		}
		s.other(b)
	}
	return first(held, p, s.matched), false
}

// other takes in a byte that belongs to no banner.
func (s *sniffer) other(b byte) {
	if !s.inside {
		s.inside, s.matched = true, 0
		s.lines--
	}
	if b == '\n' {
		s.inside = false
	}
	if s.bytes <= 0 {
		s.lines = 0
	}
}

// first is what was held and p, without their last bytes, of which there are that many to hold back.
func first(held string, p []byte, hold int) []byte {
	n := len(held) + len(p) - hold
	switch {
	case n <= 0:
		return nil
	case held == "":
		return p[:n]
	}
	return append([]byte(held), p...)[:n]
}

// rest gives what is still held when the direction has ended: it was no banner.
func (s *sniffer) rest() []byte {
	if s.found() {
		return nil
	}
	held := banner[:s.matched]
	s.matched = 0
	return []byte(held)
}
