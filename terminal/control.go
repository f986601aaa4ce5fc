package terminal

// control is a C0 control character.
func (s *Screen) control(b byte) {
	switch b {
	case '\b':
		if s.wrap {
			s.wrap = false // xterm: the cursor stands on the last column, not behind it
		}
		s.x = max(s.x-1, 0)
	case '\t':
		s.tab(1)
	case '\n', '\v', '\f':
		s.feed()
		if s.mode.newline {
			s.x = 0
		}
	case '\r':
		s.x, s.wrap = 0, false
	case 0x0e, 0x0f: // SO, SI
		s.shift = int(0x0f - b)
	}
}

// feed moves the cursor one row down, and scrolls at the bottom of the region.
func (s *Screen) feed() {
	if s.watch != nil {
		s.watch.feed()
	}
	s.wrap = false
	s.down()
}

func (s *Screen) down() {
	switch {
	case s.y == s.bottom-1:
		s.grid.scrollUp(s.top, s.bottom, 1, s.blank())
	case s.y < s.rows-1:
		s.y++
	}
	s.place()
}

// escape is the character after ESC.
func (s *Screen) escape(b byte) {
	s.state = inText
	if s.armed && (b == 'c' || b == 'M' || b == '8') {
		s.watch.drawing()
	}
	switch b {
	case '[':
		s.state, s.params, s.digits, s.private, s.inter = inControl, params{}, false, 0, 0
	case ']':
		s.state, s.osc = inOSC, s.osc[:0]
	case 'P', 'X', '^', '_':
		s.state = inString
	case '7':
		s.save()
	case '8':
		s.restore()
	case 'D':
		s.feed()
	case 'E':
		s.feed()
		s.x = 0
	case 'H':
		s.tabs[s.x] = true
	case 'M':
		s.reverseFeed()
	case 'c':
		s.reset()
	default:
		if b <= 0x2f {
			s.state, s.inter = inSet, b
		}
	}
}

// set is the end of ESC with an intermediate byte: a character set, or something that is not done here.
func (s *Screen) set(b byte) {
	if b <= 0x2f {
		s.inter = '#'
		return
	}
	s.state = inText
	if s.inter == '(' || s.inter == ')' {
		s.sets[s.inter-'('] = b
	}
}

func (s *Screen) reverseFeed() {
	s.wrap = false
	switch {
	case s.y == s.top:
		s.grid.scrollDown(s.top, s.bottom, 1, s.blank())
	case s.y > 0:
		s.y--
	}
	s.place()
}

func (s *Screen) screen() int {
	if s.Alternate() {
		return 1
	}
	return 0
}

func (s *Screen) save() { s.saved[s.screen()] = s.cursor }

func (s *Screen) restore() {
	s.cursor = s.saved[s.screen()]
	s.place()
}

// tab moves the cursor n stops on.
func (s *Screen) tab(n int) {
	for ; n > 0 && s.x < s.cols-1; n-- {
		for s.x++; s.x < s.cols-1 && !s.tabs[s.x]; s.x++ {
		}
	}
}

func (s *Screen) backTab(n int) {
	for ; n > 0 && s.x > 0; n-- {
		for s.x--; s.x > 0 && !s.tabs[s.x]; s.x-- {
		}
	}
	s.wrap = false
}

// blank is how erased cells look.
func (s *Screen) blank() style { return style{bg: s.pen.bg} }

// goTo puts the cursor to a place, within the region in origin mode.
func (s *Screen) goTo(x, y int) {
	low, high := 0, s.rows-1
	if s.origin {
		low, high = s.top, s.bottom-1
		y += low
	}
	s.x, s.y, s.wrap = max(0, min(x, s.cols-1)), max(low, min(y, high)), false
	s.place()
}

// up and moveDown stop at the region's border when they start within it.
func (s *Screen) up(n int) {
	low := 0
	if s.y >= s.top {
		low = s.top
	}
	s.y, s.wrap = max(low, s.y-n), false
	s.place()
}

func (s *Screen) moveDown(n int) {
	high := s.rows - 1
	if s.y < s.bottom {
		high = s.bottom - 1
	}
	s.y, s.wrap = min(high, s.y+n), false
	s.place()
}
