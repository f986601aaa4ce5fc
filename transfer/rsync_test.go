package transfer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sekisho/sekisho/transfer"
	"go.uber.org/goleak"
)

var recordTalks = flag.Bool("record-talks", false, "have the stock rsync say again what is in testdata/rsync")

// talks are what rsync was started with for each of the conversations in testdata/rsync.
var talks = map[string][]string{
	"upload":                {"-a", "--delete", "small/", "host:to/"},
	"upload-27":             {"-a", "--protocol=27", "--delete", "small/", "host:to/"},
	"upload-29":             {"-aH", "--protocol=29", "small/", "host:to/"},
	"upload-30-one-list":    {"-aHc", "--protocol=30", "--no-i-r", "small/", "host:to/"},
	"upload-31-attributes":  {"-aAXU", "--protocol=31", "small/", "host:to/"},
	"upload-secluded":       {"-as", "small/", "host:to/"},
	"download":              {"-a", "host:small/", "to/"},
	"download-29":           {"-a", "--protocol=29", "host:small/", "to/"},
	"download-attributes":   {"-aHAXU", "host:small/", "to/"},
	"download-compressed":   {"-az", "host:small/", "to/"},
	"download-and-remove":   {"-a", "--remove-source-files", "host:small", "to/"},
	"download-of-two":       {"-c", "host:small/a", ":small/deep/deeper/d", "to/"},
	"download-of-nothing":   {"-n", "host:small/a", "to/"},
	"download-what-is-gone": {"-a", "--stderr=client", "host:none", "host:small", "to/"},
}

// recordTalk has the stock rsync talk, in a folder where some of what is to be copied is there already. The file begins with
// the command's line.
func recordTalk(t *testing.T, name string, args []string) {
	t.Helper()
	start := t.TempDir()
	t.Chdir(start)
	for i, file := range []string{"a", "deep/deeper/d", "deep/e", "two words", "new\nline"} {
		layFile(t, "small/"+file, bytes.Repeat([]byte(file), i*100+1))
	}
	os.Link("small/a", "small/deep/linked")
	os.Symlink("a", "small/symbolic")
	attributes(t, "small")
	layFile(t, "to/extra", []byte("x"))
	layFile(t, "to/two words", append(bytes.Repeat([]byte("two words"), 295), "and more"...))
	work := shellWork{Start: start, Talk: filepath.Join(start, "talk"), Line: filepath.Join(start, "line")}
	run := stock(t, work, "rsync", args...)
	said, err := os.ReadFile(work.Talk)
	line, lost := os.ReadFile(work.Line)
	if err != nil || lost != nil {
		t.Fatal(err, lost, run.output)
	}
	keepFile(t, name+".talk", append(append(line, '\n'), said...))
}

var talkFolder, _ = filepath.Abs("testdata/rsync")

func keepFile(t *testing.T, name string, data []byte) {
	t.Helper()
	os.MkdirAll(talkFolder, 0o755)
	if err := os.WriteFile(filepath.Join(talkFolder, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// readTalk gives a conversation, and the command it is with.
func readTalk(t testing.TB, name string) (command string, conversation []byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(talkFolder, name+".talk"))
	line, conversation, found := bytes.Cut(b, []byte("\n"))
	if err != nil || !found {
		t.Fatalf("%s: %v", name, err)
	}
	return string(line), conversation
}

// What is told of a conversation of the stock rsync stays as it is.
func TestRsyncTalks(t *testing.T) {
	for name, args := range talks {
		t.Run(name, func(t *testing.T) {
			if *recordTalks {
				recordTalk(t, name, args)
			}
			command, conversation := readTalk(t, name)
			o, said := overhear(t, command), talk(conversation)
			o.say(t, said...)
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			unchanged(t, o, said)
			got := strings.Join(o.opLines(), "\n") + "\n"
			if *recordTalks {
				keepFile(t, name+".told", []byte(got))
			}
			want, _ := os.ReadFile(filepath.Join(talkFolder, name+".told"))
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
			if len(o.told) > 0 {
				t.Errorf("%d bytes told", len(o.told))
			}
		})
	}
}

// How bytes are cut into pieces changes nothing, and wherever they end, all that came is passed on.
func TestRsyncAnyCut(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name := range talks {
		command, conversation := readTalk(t, name)
		said := talk(conversation)
		whole := overhear(t, command)
		whole.say(t, said...)
		whole.Close()
		for seed := range uint64(20) {
			pick := rand.New(rand.NewPCG(seed, 4)).IntN
			cut := cutUp(said, func(n int) int { return pick(1 + pick(n)) })
			o := overhear(t, command)
			o.say(t, cut...)
			o.Close()
			if diff := cmp.Diff(whole.opLines(), o.opLines()); diff != "" {
				t.Fatalf("%s: %s", name, diff)
			}
			unchanged(t, o, cut)
			some := cut[:pick(len(cut))]
			o = overhear(t, command)
			o.say(t, some...)
			o.Close()
			unchanged(t, o, some)
			wellTold(t, o)
			for _, op := range o.ops {
				if op.Result == "not followed" {
					t.Errorf("%s: %v", name, o.opLines())
				}
			}
		}
	}
}

// What cannot be told does not go on.
func TestRsyncTellFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	command, conversation := readTalk(t, "download")
	o := overhear(t, command)
	o.fail = errors.New("no room")
	var err error
	for _, s := range talk(conversation) {
		take := o.FromUser
		if s[0] == 't' {
			take = o.FromTarget
		}
		before := len(o.user)
		if err = take([]byte(s[1:])); err != nil {
			if len(o.user) != before {
				t.Error("it went on")
			}
			break
		}
	}
	if !errors.Is(err, o.fail) || !errors.Is(o.Close(), o.fail) || !errors.Is(o.FromUser([]byte("x")), o.fail) {
		t.Error(err)
	}
}

// speech puts together what one side of protocol 29 says.
type speech struct{ bytes.Buffer }

func (s *speech) ints(all ...int32) *speech {
	for _, n := range all {
		binary.Write(s, binary.LittleEndian, n)
	}
	return s
}

// framed gives it in frames of data.
func (s *speech) framed() string {
	var out speech
	for b := s.Bytes(); len(b) > 0; {
		n := min(len(b), 0xffff)
		out.ints(7<<24 | int32(n))
		out.Write(b[:n])
		b = b[n:]
	}
	return out.String()
}

// entry is one of a file list: flags, the same beginning, a name, and of the first also mode and time.
func (s *speech) entry(flags byte, name string, size int32) *speech {
	s.WriteByte(flags | 1<<3 | 1<<4 | 1<<6)
	s.ints(int32(len(name)))
	s.WriteString(name)
	return s.ints(size)
}

func greets(version int32) string { return new(speech).ints(version).String() }

// begun has both sides agree on protocol 29.
func begun(t *testing.T, command string) *overheard {
	t.Helper()
	o := overhear(t, command)
	o.say(t, "t"+greets(29), "u"+greets(29), "t"+new(speech).ints(4711).String())
	return o
}

// A list without end is followed up to a bound, and takes no more memory beyond.
func TestRsyncListIsBounded(t *testing.T) {
	o := begun(t, "rsync --server --sender -r . src")
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	first := new(speech)
	first.entry(0, "first", 1).ints(1, 0o100644)
	o.say(t, "t"+first.framed())
	name := make([]byte, 60)
	for i := range 20_000 {
		s := new(speech)
		for j := range 20 {
			for k := range name {
				name[k] = "abcdefgh"[(i*20+j)>>(k%20)&7]
			}
			s.entry(1<<1|1<<7, string(name), 1)
		}
		o.say(t, "t"+s.framed())
		o.user, o.lines = o.user[:0], nil
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("%d bytes are held after it is not followed any more", grown)
	}
	o.Close()
	if diff := cmp.Diff([]string{"download src 0 not followed"}, o.opLines()); diff != "" {
		t.Error(diff)
	}
}

// Files that wait to be known as received are bounded, too.
func TestRsyncPendingIsBounded(t *testing.T) {
	o := begun(t, "rsync --server -r . to")
	s := new(speech)
	s.entry(0, "f0", 1).ints(1, 0o100644)
	for i := range 20_000 {
		s.entry(1<<1|1<<7, "f"+strings.Repeat("x", 1+i%7)+string(rune('A'+i/7%26))+string(rune('A'+i/182%26))+string(rune('A'+i/4732%26)), 1)
	}
	s.WriteByte(0)
	s.ints(0)
	o.say(t, "u"+s.String())
	for i := range int32(20_000) {
		s := new(speech).ints(i)
		s.Write([]byte{0, 0x80})
		s.ints(0, 0, 0, 0, 1)
		s.WriteByte('x')
		s.ints(0)
		s.WriteString("0123456789abcdef")
		o.say(t, "u"+s.String())
	}
	o.Close()
	results := map[string]int{}
	for _, op := range o.ops {
		results[op.Result]++
	}
	if diff := cmp.Diff(map[string]int{"sent": 20_000 - 16<<10, "unfinished": 16 << 10}, results); diff != "" {
		t.Error(diff)
	}
}

// What is not rsync, or breaks its rules, is told once as not followed.
func TestRsyncMalice(t *testing.T) {
	list := func(build func(*speech)) string {
		s := new(speech)
		build(s)
		return "t" + s.framed()
	}
	file := func(more func(*speech)) string {
		return list(func(s *speech) {
			s.entry(0, "f", 3).ints(1, 0o100644).WriteByte(0)
			s.ints(0)
			more(s)
		})
	}
	item := func(s *speech, index int32) *speech {
		s.ints(index).Write([]byte{0, 0x80})
		return s
	}
	for name, said := range map[string]string{
		"a great frame of text":     "t" + new(speech).ints(9<<24|0xffffff).String(),
		"a frame of no code":        "t" + new(speech).ints(60<<24).String(),
		"a frame below all codes":   "t" + new(speech).ints(3<<24).String(),
		"a long name":               list(func(s *speech) { s.WriteByte(1 << 6); s.ints(1 << 20) }),
		"a negative name":           list(func(s *speech) { s.WriteByte(1 << 6); s.ints(-1) }),
		"a name of nothing":         list(func(s *speech) { s.Write([]byte{1, 0}) }),
		"a name like one before":    list(func(s *speech) { s.Write([]byte{1 << 5, 200, 1, 'x'}) }),
		"a negative size":           list(func(s *speech) { s.entry(0, "f", -5) }),
		"a mode of nothing":         list(func(s *speech) { s.entry(0, "f", 1).ints(1, 0o170000) }),
		"an index of nothing":       file(func(s *speech) { item(s, 5) }),
		"an index far off":          file(func(s *speech) { item(s, 1<<31-1) }),
		"a list of no folder":       file(func(s *speech) { s.ints(-101) }),
		"an index below":            file(func(s *speech) { s.ints(-50) }),
		"blocks below":              file(func(s *speech) { item(s, 0).ints(-1) }),
		"great blocks":              file(func(s *speech) { item(s, 0).ints(1, 1<<30) }),
		"a block that is not there": file(func(s *speech) { item(s, 0).ints(2, 700, 2, 0, -3) }),
		"literal data without end":  file(func(s *speech) { item(s, 0).ints(0, 0, 0, 0, 1<<30) }),
		"a text that is no index":   "t" + new(speech).ints(109<<24|3).String() + "abc",
		"an index before the list":  "t" + new(speech).ints(109<<24|4, 0).String(),
	} {
		t.Run(name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			o := begun(t, "rsync --server --sender . src/f")
			o.say(t, said, "tmore", "umore")
			o.Close()
			if n := len(o.ops); n != 1 || o.ops[0].Result != "not followed" {
				t.Error(o.opLines())
			}
			if !strings.HasSuffix(string(o.user), said[1:]+"more") || !strings.HasSuffix(string(o.target), "more") {
				t.Error("it did not go on unchanged")
			}
		})
	}
	for name, said := range map[string][]string{
		"a greeting":             {"tWelcome to the target\n", "u" + greets(32)},
		"a shell":                {"t$ ", "uls\n", "tfiles\n"},
		"an old version":         {"t" + greets(26), "u" + greets(32), "tx"},
		"a version from later":   {"t" + greets(33), "u" + greets(40), "tx"},
		"no answer waited for":   {"u" + greets(31), "umore"},
		"both without agreement": {"t" + greets(31), "u" + greets(31), "umore"},
		"no checksum in common":  {"t" + greets(31), "u" + greets(31), "t\x81\xff", "t\x03md5", "u\x03md4", "tseed", "tx"},
	} {
		t.Run(name, func(t *testing.T) {
			o := overhear(t, "rsync --server --sender . x")
			o.say(t, said...)
			o.Close()
			if diff := cmp.Diff([]string{"download x 0 not followed"}, o.opLines()); diff != "" {
				t.Error(diff)
			}
			unchanged(t, o, said)
		})
	}
}

// Names on the wire are told so that they can be seen, and are never resolved.
func TestRsyncNames(t *testing.T) {
	o := begun(t, "rsync --server --sender . src/*")
	s := new(speech)
	s.entry(0, "../\x1b[2J\xff\\x", 1).ints(1, 0o100644).WriteByte(0)
	s.ints(0, 0).Write([]byte{0, 0x80})
	s.ints(0, 0, 0, 0, 1).WriteByte('x')
	s.ints(0).WriteString("0123456789abcdef")
	o.say(t, "t"+s.framed())
	o.Close()
	if diff := cmp.Diff([]string{`download src/../\x1b[2J\xff\\x 1 ok 2d7116`}, o.opLines()); diff != "" {
		t.Error(diff)
	}
}

func FuzzRsync(f *testing.F) {
	for name := range talks {
		command, conversation := readTalk(f, name)
		f.Add(command, conversation)
	}
	f.Fuzz(func(t *testing.T, command string, conversation []byte) {
		if c, ok := transfer.ParseCommand(command); !ok || c.Protocol != transfer.Rsync {
			return
		}
		o, said := overhear(t, command), talk(conversation)
		o.say(t, said...)
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		unchanged(t, o, said)
		wellTold(t, o)
	})
}

// FuzzRsyncContent lets the sender say anything once both sides agree.
func FuzzRsyncContent(f *testing.F) {
	for _, options := range []string{"-logDtpr", "-logDtprHcz", "-logDtprAXU", "-R"} {
		for version := range int32(6) {
			f.Add(options, version+27, []byte("\x18\x01f\x03\x00\x00\x00\x01\x00\x00\x00\xa4\x81\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80"))
		}
	}
	f.Fuzz(func(t *testing.T, options string, version int32, content []byte) {
		command := "rsync --server --sender " + options + " . x"
		if c, ok := transfer.ParseCommand(command); !ok || c.Protocol != transfer.Rsync || len(content) > 0xffff {
			return
		}
		o := overhear(t, command)
		said := []string{"t" + greets(version), "u" + greets(version)}
		if version >= 30 {
			said = append(said, "t\x21") // incremental lists
		}
		said = append(said, "tseed", "t"+new(speech).ints(7<<24|int32(len(content))).String(), "t"+string(content))
		o.say(t, said...)
		o.Close()
		unchanged(t, o, said)
		wellTold(t, o)
	})
}
