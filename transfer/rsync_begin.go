package transfer

import (
	"slices"
	"strings"
)

// fromUser reads what the user's end sends.
func (r *rsync) fromUser(s *rsyncStream) {
	if r.options.secluded {
		r.readWords(s)
	}
	r.versions[0] = s.int()
	s.wait()
	r.agree(s)
	if r.protocol >= 30 && !r.greeted {
		s.lose("the user's end goes on before the target's has begun")
	}
	r.readChoices(s, 0)
	s.framed = r.protocol >= 30
	s.wait()
	r.converse(s, !r.cmd.Sender)
}

// fromTarget reads what the target's end sends.
func (r *rsync) fromTarget(s *rsyncStream) {
	r.versions[1] = s.int()
	s.wait()
	r.agree(s)
	if r.protocol >= 30 {
		r.compat = s.varint()
	}
	r.greeted = true
	r.readChoices(s, 1)
	s.int() // the checksums' seed
	s.framed = true
	s.wait()
	r.converse(s, r.cmd.Sender)
}

// readWords reads the words that did not come with the command, each with a zero byte behind it; the first is the
// program's name (rsync.c, send_protected_args).
func (r *rsync) readWords(s *rsyncStream) {
	words, word := []string{}, []byte{}
	for size := 0; ; size++ {
		if size > maxCommand || len(words) > maxWords {
			s.lose("too many words")
		}
		b := s.byte()
		if b != 0 {
			word = append(word, b)
			continue
		}
		if len(word) == 0 {
			break
		}
		words, word = append(words, string(word)), word[:0]
	}
	if len(words) == 0 {
		s.lose("no words")
	}
	more := append(slices.Clone(r.cmd.Options), words[1:]...)
	options, n, ok := readRsyncOptions(more)
	if ok {
		r.cmd.Paths, ok = rsyncPaths(more[n:], r.cmd.Sender)
	}
	if !ok {
		s.lose("words that are not known")
	}
	r.options = options
}

// agree settles on the lower version.
func (r *rsync) agree(s *rsyncStream) {
	r.protocol = min(r.versions[0], r.versions[1])
	if r.protocol < rsyncOldest || r.protocol > rsyncNewest {
		s.lose("versions %d and %d", r.versions[0], r.versions[1])
	}
	s.protocol = r.protocol
}

// readChoices reads which checksums and compressions a side knows.
func (r *rsync) readChoices(s *rsyncStream, side int) {
	if r.compat&compatVarintFlags == 0 {
		return
	}
	if r.checksumChoice() == "" {
		r.checksums[side] = s.vstring(255)
	}
	if r.compressChoice() == "" && r.options.compress > 0 {
		r.compressors[side] = s.vstring(255)
	}
}

// converse reads from where there are frames. Both sides' choices are known by now.
func (r *rsync) converse(s *rsyncStream, sender bool) {
	if s.protocol < 31 && r.options.filesFrom {
		s.lose("names of files outside of frames")
	}
	if !sender {
		for {
			s.some(1 << 20)
		}
	}
	r.choose(s)
	if !r.cmd.Sender && r.wantsRules() {
		for n := s.int(); n != 0; n = s.int() {
			s.skip(s.count(n, rsyncTextSize))
		}
	}
	r.send(s)
}

// wantsRules says that an uploading end sends its filter rules.
func (r *rsync) wantsRules() bool {
	return r.options.prune || r.options.deletes && (!r.options.deleteExcluded || r.protocol >= 29)
}

// checksumSizes are the lengths of checksums by name (checksum.c).
var checksumSizes = map[string]int64{"xxh128": 16, "xxh3": 8, "xxh64": 8, "xxhash": 8, "md5": 16, "md4": 16, "sha1": 20, "none": 1}

func (r *rsync) checksumChoice() string {
	switch choice := strings.ToLower(r.options.checksumChoice); choice {
	case "auto", "auto,auto":
		return ""
	default:
		return choice
	}
}

func (r *rsync) compressChoice() string {
	choice := strings.ToLower(r.options.compressChoice)
	switch {
	case choice == "auto":
		return ""
	case choice == "" && r.options.compress > 1:
		return "zlibx"
	}
	return choice
}

// choose settles how long checksums are and whether contents are compressed.
func (r *rsync) choose(s *rsyncStream) {
	file, list, two := strings.Cut(r.checksumChoice(), ",")
	if file == "" && r.compat&compatVarintFlags != 0 {
		file = agreed(r.checksums)
	}
	if !two {
		list = file
	}
	r.fileSum, r.listSum = checksumSize(file), checksumSize(list)
	if r.fileSum == 0 || r.listSum == 0 {
		s.lose("checksums of unknown length")
	}
	r.chooseCompression(s)
}

func (r *rsync) chooseCompression(s *rsyncStream) {
	choice := r.compressChoice()
	if choice == "" && r.options.compress > 0 {
		if choice = "zlib"; r.compat&compatVarintFlags != 0 {
			choice = agreed(r.compressors)
		}
	}
	switch choice {
	case "zlib", "zlibx":
		r.compressed = r.options.compressLevel != "0"
	case "zstd", "lz4":
		r.compressed = true
	case "none", "":
	default:
		s.lose("compression of unknown form")
	}
}

// checksumSize is that of a checksum by name; without a name or with "auto", of the one that its protocol has. 0 is unknown.
func checksumSize(name string) int64 {
	if name == "" || name == "auto" {
		return 16 // MD5 since protocol 30, MD4 before
	}
	return checksumSizes[name]
}

// agreed is the first of the user's choices that the target has, too.
func agreed(choices [2][]byte) string {
	theirs := strings.Fields(strings.ToLower(string(choices[1])))
	for _, choice := range strings.Fields(strings.ToLower(string(choices[0]))) {
		if slices.Contains(theirs, choice) {
			return choice
		}
	}
	return "nothing agreed"
}
