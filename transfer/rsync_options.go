package transfer

import "strings"

// rsyncOptions is what the server's options say about the bytes on the wire and about what is done with them.
type rsyncOptions struct {
	links, hardLinks, owner, group, devices, specials bool
	atimes, createTimes, acls, xattrs, checksums      bool
	relative, numericIDs, appends, removeSource       bool
	deletes, deleteExcluded, prune                    bool
	nothing                                           bool // no content is moved: a dry run, a listing, a batch
	converted                                         bool // names are, so that both ends keep the order they came in
	secluded                                          bool // more words come over the input
	filesFrom                                         bool
	compress                                          int    // how often -z was given
	compressLevel                                     string // empty when none was given
	compressChoice, checksumChoice                    string
}

// readRsyncOptions reads the words before the "." that stands between options and paths, and says how many they are. Words
// that it does not know are not taken: they could mean anything.
func readRsyncOptions(words []string) (o rsyncOptions, n int, ok bool) {
	for n < len(words) && words[n] != "." {
		used := o.take(words[n:])
		if used == 0 {
			return o, 0, false
		}
		n += used
	}
	return o, n, true
}

// rsyncPaths gives the paths after the words' "."; without any, old ones mean the folder they start in.
func rsyncPaths(words []string, sender bool) ([]string, bool) {
	if len(words) == 0 || words[0] != "." || !sender && len(words) > 2 {
		return nil, false
	}
	if len(words) == 1 {
		return words, true
	}
	for _, w := range words[1:] {
		if strings.HasPrefix(w, "-") { // rsync takes options there, too
			return nil, false
		}
	}
	return words[1:], true
}

// take reads one option, and gives the number of its words, 0 for what it does not know.
func (o *rsyncOptions) take(words []string) int {
	word := words[0]
	if !strings.HasPrefix(word, "--") {
		return o.takeLetters(words)
	}
	name, value, has := strings.Cut(word[2:], "=")
	if act, ok := rsyncFlags[name]; ok && !has {
		act(o)
		return 1
	}
	act, ok := rsyncValues[name]
	switch {
	case !ok:
		return 0
	case has:
		act(o, value)
		return 1
	case len(words) < 2:
		return 0
	}
	act(o, words[1])
	return 2
}

// takeLetters reads a word such as -vlogDtprze.iLsfxCIvu; what follows an e are capabilities, and the last letter.
func (o *rsyncOptions) takeLetters(words []string) int {
	word := words[0]
	if len(word) < 2 || word[0] != '-' {
		return 0
	}
	for i := 1; i < len(word); i++ {
		letter := word[i]
		if letter == 'e' || letter == 'B' || letter == '@' || letter == 'T' {
			return valueWords(word[i+1:], len(words))
		}
		if !o.takeLetter(letter) {
			return 0
		}
	}
	return 1
}

// valueWords is how many words an option takes whose value is the rest of its word or the next one.
func valueWords(rest string, words int) int {
	switch {
	case rest != "":
		return 1
	case words < 2:
		return 0
	}
	return 2
}

func (o *rsyncOptions) takeLetter(letter byte) bool {
	switch letter {
	case 'a':
		o.links, o.owner, o.group, o.devices, o.specials = true, true, true, true, true
	case 'D':
		o.devices, o.specials = true, true
	case 'l':
		o.links = true
	case 'H':
		o.hardLinks = true
	case 'o':
		o.owner = true
	case 'g':
		o.group = true
	case 'U':
		o.atimes = true
	case 'N':
		o.createTimes = true
	case 'A':
		o.acls = true
	case 'X':
		o.xattrs = true
	case 'c':
		o.checksums = true
	case 'R':
		o.relative = true
	case 'm':
		o.prune = true
	case 'n':
		o.nothing = true
	case 's':
		o.secluded = true
	case 'z':
		o.compress++
	default:
		return strings.IndexByte("bCdEhIiJKkLOPpqrStuvWxy0468", letter) >= 0
	}
	return true
}

// rsyncFlags are the long options without a value that a server may get.
var rsyncFlags = func() map[string]func(*rsyncOptions) {
	flags := map[string]func(*rsyncOptions){
		"acls":                func(o *rsyncOptions) { o.acls = true },
		"append":              func(o *rsyncOptions) { o.appends = true },
		"append-verify":       func(o *rsyncOptions) { o.appends = true },
		"archive":             func(o *rsyncOptions) { o.takeLetter('a') },
		"atimes":              func(o *rsyncOptions) { o.atimes = true },
		"checksum":            func(o *rsyncOptions) { o.checksums = true },
		"compress":            func(o *rsyncOptions) { o.compress++ },
		"crtimes":             func(o *rsyncOptions) { o.createTimes = true },
		"delete-excluded":     func(o *rsyncOptions) { o.deletes, o.deleteExcluded = true, true },
		"devices":             func(o *rsyncOptions) { o.devices = true },
		"dry-run":             func(o *rsyncOptions) { o.nothing = true },
		"group":               func(o *rsyncOptions) { o.group = true },
		"hard-links":          func(o *rsyncOptions) { o.hardLinks = true },
		"links":               func(o *rsyncOptions) { o.links = true },
		"list-only":           func(o *rsyncOptions) { o.nothing = true },
		"new-compress":        func(o *rsyncOptions) { o.compressChoice = "zlibx" },
		"no-append":           func(o *rsyncOptions) { o.appends = false },
		"no-compress":         func(o *rsyncOptions) { o.compress, o.compressChoice = 0, "" },
		"no-devices":          func(o *rsyncOptions) { o.devices = false },
		"no-numeric-ids":      func(o *rsyncOptions) { o.numericIDs = false },
		"no-relative":         func(o *rsyncOptions) { o.relative = false },
		"no-R":                func(o *rsyncOptions) { o.relative = false },
		"no-specials":         func(o *rsyncOptions) { o.specials = false },
		"numeric-ids":         func(o *rsyncOptions) { o.numericIDs = true },
		"old-compress":        func(o *rsyncOptions) { o.compressChoice = "zlib" },
		"owner":               func(o *rsyncOptions) { o.owner = true },
		"protect-args":        func(o *rsyncOptions) { o.secluded = true },
		"prune-empty-dirs":    func(o *rsyncOptions) { o.prune = true },
		"relative":            func(o *rsyncOptions) { o.relative = true },
		"remove-sent-files":   func(o *rsyncOptions) { o.removeSource = true },
		"remove-source-files": func(o *rsyncOptions) { o.removeSource = true },
		"secluded-args":       func(o *rsyncOptions) { o.secluded = true },
		"specials":            func(o *rsyncOptions) { o.specials = true },
		"xattrs":              func(o *rsyncOptions) { o.xattrs = true },
	}
	for _, name := range []string{"del", "delete", "delete-before", "delete-during", "delete-delay", "delete-after"} {
		flags[name] = func(o *rsyncOptions) { o.deletes = true }
	}
	for _, name := range rsyncOtherFlags {
		flags[name] = func(*rsyncOptions) {}
	}
	return flags
}()

// rsyncOtherFlags change nothing that is looked at here.
var rsyncOtherFlags = []string{"copy-devices", "copy-dirlinks", "copy-links", "copy-unsafe-links", "cvs-exclude", "delay-updates",
	"delete-missing-args", "dirs", "drop-D", "executability", "existing", "fake-super", "force", "from0", "fsync", "fuzzy",
	"human-readable", "i-d", "i-r", "ignore-errors", "ignore-existing", "ignore-missing-args", "ignore-non-existing", "ignore-times",
	"implied-dirs", "inc-recursive", "inplace", "insecure-links", "itemize-changes", "keep-dirlinks", "mkpath", "msgs2stderr",
	"munge-links", "no-W", "no-i-d", "no-i-r", "no-implied-dirs", "no-inc-recursive", "no-msgs2stderr", "no-r", "no-recursive",
	"no-super", "no-whole-file", "old-d", "old-dirs", "omit-dir-times", "omit-link-times", "one-file-system", "open-noatime",
	"partial", "perms", "preallocate", "progress", "qsort", "quiet", "recursive", "safe-links", "size-only", "sparse", "stats", "super",
	"times", "trust-sender", "update", "use-qsort", "verbose", "whole-file", "write-devices"}

// rsyncValues are the long options with a value that a server may get.
var rsyncValues = func() map[string]func(*rsyncOptions, string) {
	values := map[string]func(*rsyncOptions, string){
		"cc":               func(o *rsyncOptions, v string) { o.checksumChoice = v },
		"checksum-choice":  func(o *rsyncOptions, v string) { o.checksumChoice = v },
		"compress-choice":  func(o *rsyncOptions, v string) { o.compressChoice = v },
		"compress-level":   func(o *rsyncOptions, v string) { o.compressLevel = v },
		"files-from":       func(o *rsyncOptions, _ string) { o.filesFrom = true },
		"iconv":            func(o *rsyncOptions, _ string) { o.converted = true },
		"only-write-batch": func(o *rsyncOptions, _ string) { o.nothing = true },
		"zc":               func(o *rsyncOptions, v string) { o.compressChoice = v },
		"zl":               func(o *rsyncOptions, v string) { o.compressLevel = v },
	}
	for _, name := range rsyncOtherValues {
		values[name] = func(*rsyncOptions, string) {}
	}
	return values
}()

// rsyncOtherValues change nothing that is looked at here.
var rsyncOtherValues = []string{"backup-dir", "block-size", "bwlimit", "checksum-seed", "chmod", "chown", "compare-dest", "compress-threads",
	"confine-root", "copy-as", "copy-dest", "debug", "groupmap", "info", "link-dest", "log-file", "log-file-format", "log-format", "max-alloc",
	"max-delete", "max-size", "min-size", "modify-window", "out-format", "outbuf", "partial-dir", "skip-compress", "stop-after", "stop-at",
	"suffix", "temp-dir", "time-limit", "timeout", "usermap", "zt"}
