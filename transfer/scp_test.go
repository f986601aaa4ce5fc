package transfer_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/sekisho/sekisho/transfer"
	"go.uber.org/goleak"
)

// overheard is a conversation with a watcher in it, and all that came out: operations, "> BYTES" for the target, "< BYTES"
// for the user, "<! BYTES" for the user as told.
type overheard struct {
	transfer.Watcher
	lines  []string
	ops    []transfer.Operation
	target []byte
	user   []byte
	told   []byte // of the user's bytes
	now    time.Duration
	fail   error // what Tell gives
}

func overhear(t testing.TB, command string) *overheard {
	t.Helper()
	cmd, ok := transfer.ParseCommand(command)
	if !ok {
		t.Fatalf("%q is not recognised", command)
	}
	o := &overheard{}
	o.Watcher = shellWatch(cmd, transfer.Outlet{
		Target: func(p []byte) error {
			o.target, o.lines = append(o.target, p...), append(o.lines, fmt.Sprintf("> %q", p))
			return nil
		},
		User: func(p []byte, told bool) error {
			o.user = append(o.user, p...)
			mark := "<"
			if told {
				o.told, mark = append(o.told, p...), "<!"
			}
			o.lines = append(o.lines, fmt.Sprintf("%s %q", mark, p))
			return nil
		},
		Tell: func(op transfer.Operation) error {
			if o.fail == nil {
				o.ops, o.lines = append(o.ops, op), append(o.lines, opLine(op))
			}
			return o.fail
		},
		Clock: func() time.Duration { o.now += time.Millisecond; return o.now },
	})
	return o
}

func opLine(op transfer.Operation) string {
	line := fmt.Sprintf("%s %s", op.Name, op.Path)
	if op.To != "" {
		line += " > " + op.To
	}
	line += fmt.Sprintf(" %d %s", op.Bytes, op.Result)
	if op.SHA256 != "" {
		line += " " + op.SHA256[:6]
	}
	return line
}

// say sends what each side says: "u" or "t" and the bytes.
func (o *overheard) say(t testing.TB, said ...string) {
	t.Helper()
	for _, s := range said {
		take := o.FromUser
		if s[0] == 't' {
			take = o.FromTarget
		}
		if err := take([]byte(s[1:])); err != nil {
			t.Fatal(err)
		}
	}
}

// opLines are what was told, one a line.
func (o *overheard) opLines() (lines []string) {
	for _, op := range o.ops {
		lines = append(lines, opLine(op))
	}
	return lines
}

// Everything goes on at once; an operation is told before the answer that completes it goes on.
func TestSCPOrder(t *testing.T) {
	o := overhear(t, "scp -f some/file")
	o.say(t, "u\x00", "tT1 0 2 0\n", "u\x00", "tC0644 3 file\n", "u\x00", "tab", "tc\x00", "u\x00")
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{`> "\x00"`, `< "T1 0 2 0\n"`, `> "\x00"`, `< "C0644 3 file\n"`, `> "\x00"`, `<! "ab"`, `<! "c\x00"`, "download some/file 3 ok ba7816", `> "\x00"`}
	if diff := cmp.Diff(want, o.lines); diff != "" {
		t.Error(diff)
	}
	if op := o.ops[0]; op.Started != time.Millisecond || op.Took != time.Millisecond {
		t.Errorf("%+v", op)
	}

	o = overhear(t, "scp -t some/file")
	o.say(t, "t\x00", "uC0644 3 file\n", "t\x00", "uabc", "u\x00", "t\x00")
	want = []string{`<! "\x00"`, `> "C0644 3 file\n"`, `<! "\x00"`, `> "abc"`, `> "\x00"`, "upload some/file > some/file/file 3 ok ba7816", `<! "\x00"`}
	if diff := cmp.Diff(want, o.lines); diff != "" {
		t.Error(diff)
	}
	o.Close()
}

func TestSCPConversations(t *testing.T) {
	deep := []string{"u\x00"}
	for range 257 {
		deep = append(deep, "tD0755 0 d\n", "u\x00")
	}
	for _, c := range []struct {
		name, command string
		said          []string
		want          []string
		told          string
	}{
		{"nothing", "scp -f x", nil, nil, ""},
		{"empty file", "scp -f x", []string{"u\x00", "tC0644 0 x\n", "u\x00", "t\x00", "u\x00"}, []string{"download x 0 ok e3b0c4"}, "\x00"},
		{"in a hurry", "scp -t d/", []string{"uC0644 1 a\nA\x00C0644 1 b\nB\x00", "t\x00\x00\x00\x00\x00"}, []string{"upload d/a 1 ok 559aea", "upload d/b 1 ok df7e70"}, "\x00\x00\x00\x00\x00"},
		{"folders", "scp -r -d -t to", []string{"t\x00", "uD0755 0 a\n", "t\x00", "uD0755 0 b\n", "t\x00", "uC0644 1 f\n", "t\x00", "uF\x00", "t\x00", "uE\n", "t\x00", "uE\n", "t\x00",
			"uC0644 1 g\n", "t\x00", "uG\x00", "t\x00"}, []string{"mkdir to/a 0 ok", "mkdir to/a/b 0 ok", "upload to/a/b/f 1 ok f67ab1", "upload to/g 1 ok 333e0a"}, strings.Repeat("\x00", 9)},
		{"a refused folder", "scp -r -t .", []string{"t\x00", "uD0755 0 a\n", "t\x01no\n", "uC0644 0 f\n", "t\x00"}, []string{"mkdir a 0 no", "upload f 0 unfinished"}, "\x00\x00"},
		{"a refused file", "scp -t .", []string{"t\x00", "uC0644 9 a\n", "t\x01scp: a: no\n", "uC0644 0 f\n", "t\x00", "u\x00", "t\x00"}, []string{"upload a 0 scp: a: no", "upload f 0 ok e3b0c4"}, "\x00\x00\x00"},
		{"the target cannot write", "scp -t .", []string{"t\x00", "uC0644 2 a\n", "t\x00", "uab", "u\x00", "t\x01scp: a: full\n"}, []string{"upload a 2 scp: a: full"}, "\x00\x00"},
		{"the target gives up", "scp -t .", []string{"t\x00", "uC0644 2 a\n", "t\x00", "ua", "t\x02full\n"}, []string{"upload a 1 full"}, "\x00\x00"},
		{"the target says so early", "scp -t .", []string{"t\x00", "uC0644 2 a\n", "t\x00", "ua", "t\x01full\n", "ub\x00", "uC0644 0 b\n", "t\x00"}, []string{"upload a 2 full", "upload b 0 unfinished"}, "\x00\x00\x00"},
		{"the source cannot read", "scp -f x", []string{"u\x00", "tC0644 2 x\n", "u\x00", "tab", "t\x01scp: x: broken\n", "u\x00"}, []string{"download x 2 scp: x: broken"}, "ab"},
		{"the user does not want it", "scp -f x", []string{"u\x00", "tC0644 2 x\n", "u\x01too big\n"}, []string{"download x 0 too big"}, ""},
		{"the start fails", "scp -d -t x", []string{"t\x01scp: x: Not a directory\n"}, []string{"upload x 0 scp: x: Not a directory"}, ""},
		{"an empty error", "scp -f x", []string{"u\x00", "t\x01\n"}, []string{"download x 0 failure"}, ""},
		{"an error with a bell", "scp -f x", []string{"u\x00", "t\x01a\x07b\x1b[31m\n"}, []string{"download x 0 a?b?[31m"}, ""},
		{"patterns", "scp -f *.c y/?", []string{"u\x00", "tC0644 0 a.c\n", "u\x00", "t\x00", "u\x00", "tC0644 0 b\n", "u\x00", "t\x00", "u\x00"}, []string{"download a.c 0 ok e3b0c4", "download y/b 0 ok e3b0c4"}, "\x00\x00"},
		{"what was not asked for", "scp -f a b", []string{"u\x00", "tC0644 0 .bashrc\n", "u\x00", "t\x00", "u\x00"}, []string{"download .bashrc 0 ok e3b0c4"}, "\x00"},
		{"a name that climbs", "scp -r -f a", []string{"u\x00", "tD0755 0 ..\n", "u\x00", "tC0644 0 ../../x\x1b[2J\xff\n", "u\x00", "t\x00", "u\x00"},
			[]string{"list .. 0 ok", `download ../../../x\x1b[2J\xff 0 ok e3b0c4`}, "\x00"},
		{"ends inside", "scp -f x", []string{"u\x00", "tC0644 10 x\n", "u\x00", "tabc"}, []string{"download x 3 unfinished"}, "abc"},

		{"a greeting", "scp -f x", []string{"u\x00", "tWelcome!\nC0644 0 x\n"}, []string{"download x 0 not followed"}, ""},
		{"a shell", "scp -t x", []string{"t$ ", "uid\n", "troot\n"}, []string{"upload x 0 not followed"}, ""},
		{"a shell behind a file", "scp -f x", []string{"u\x00", "tC0644 1 x\n", "u\x00", "tX\x00", "u\x00", "t$ ", "uid\n", "troot\n"}, []string{"download x 1 ok 4b68ab", "download x 0 not followed"}, "X\x00"},
		{"a content without end", "scp -f x", []string{"u\x00", "tC0644 1 x\n", "u\x00", "tXY\x00", "u\x00"}, []string{"download x 1 not followed"}, "X"},
		{"an answer to nothing", "scp -t x", []string{"t\x00\x00"}, []string{"upload x 0 not followed"}, "\x00"},
		{"typing", "scp -f x", []string{"u\x00", "uls\n"}, []string{"download x 0 not followed"}, ""},
		{"a long line", "scp -f x", []string{"u\x00", "tC0644 1 " + strings.Repeat("x", 2100), "t" + strings.Repeat("x", 5000)}, []string{"download x 0 not followed"}, ""},
		{"a bad mode", "scp -f x", []string{"u\x00", "tC0944 1 x\n"}, []string{"download x 0 not followed"}, ""},
		{"a short mode", "scp -f x", []string{"u\x00", "tC644 1 x\n"}, []string{"download x 0 not followed"}, ""},
		{"a negative size", "scp -f x", []string{"u\x00", "tC0644 -1 x\n"}, []string{"download x 0 not followed"}, ""},
		{"a great size", "scp -f x", []string{"u\x00", "tC0644 9223372036854775808 x\n"}, []string{"download x 0 not followed"}, ""},
		{"no name", "scp -f x", []string{"u\x00", "tC0644 1 \n"}, []string{"download x 0 not followed"}, ""},
		{"bad times", "scp -f x", []string{"u\x00", "tT1 0 x 0\n"}, []string{"download x 0 not followed"}, ""},
		{"an end too many", "scp -f x", []string{"u\x00", "tE\n"}, []string{"download x 0 not followed"}, ""},
		{"too deep", "scp -r -f d", deep, nil, ""},
		{"a long path", "scp -r -f d", []string{"u\x00", "tD0755 0 " + strings.Repeat("d", 2000) + "\n", "u\x00", "tD0755 0 " + strings.Repeat("d", 2000) + "\n", "u\x00",
			"tC0644 0 " + strings.Repeat("f", 100) + "\n"}, []string{"list " + strings.Repeat("d", 2000) + " 0 ok",
			"list " + strings.Repeat("d", 2000) + "/" + strings.Repeat("d", 2000) + " 0 ok", "download d 0 not followed"}, ""},
		{"too far ahead", "scp -t .", []string{"t\x00", "u" + strings.Repeat("T1 0 1 0\n", 65)}, []string{"upload . 0 not followed"}, "\x00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer goleak.VerifyNone(t)
			o := overhear(t, c.command)
			o.say(t, c.said...)
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			if c.name == "too deep" {
				c.want = append(o.opLines()[:256], "download d 0 not followed")
			}
			if diff := cmp.Diff(c.want, o.opLines()); diff != "" {
				t.Error(diff)
			}
			if string(o.told) != c.told {
				t.Errorf("told %q, not %q", o.told, c.told)
			}
			unchanged(t, o, c.said)
			o.say(t, "tmore", "umore") // after the end everything goes on
		})
	}
}

// unchanged wants what was said to have gone on as it is.
func unchanged(t testing.TB, o *overheard, said []string) {
	t.Helper()
	var user, target strings.Builder
	for _, s := range said {
		if s[0] == 'u' {
			user.WriteString(s[1:])
		} else {
			target.WriteString(s[1:])
		}
	}
	if string(o.target) != user.String() || string(o.user) != target.String() {
		t.Errorf("%q and %q came out", o.target, o.user)
	}
}

// What cannot be told does not go on, and neither does anything after it.
func TestSCPTellFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	o := overhear(t, "scp -f x")
	o.say(t, "u\x00", "tC0644 1 x\n", "u\x00", "tX\x00")
	o.fail = errors.New("no room")
	for range 2 {
		if err := o.FromUser([]byte{0}); !errors.Is(err, o.fail) {
			t.Error(err)
		}
		if err := o.FromTarget([]byte{0}); !errors.Is(err, o.fail) {
			t.Error(err)
		}
	}
	if string(o.target) != "\x00\x00" || string(o.user) != "C0644 1 x\nX\x00" {
		t.Errorf("%q, %q", o.target, o.user)
	}
	if err := o.Close(); !errors.Is(err, o.fail) {
		t.Error(err)
	}
}

// cutUp gives the same said in other pieces, in an order that keeps each side's.
func cutUp(said []string, pick func(int) int) (cut []string) {
	for _, s := range said {
		rest := s[1:]
		for rest != "" {
			n := 1 + pick(len(rest))
			cut = append(cut, s[:1]+rest[:n])
			rest = rest[n:]
		}
	}
	return cut
}

func TestSCPAnyCut(t *testing.T) {
	said := []string{"t\x00", "uT1 0 1 0\n", "t\x00", "uD0755 0 a\n", "t\x00", "uC0644 5 f\n", "t\x00", "uhello\x00", "t\x00", "uC0600 2 g\n", "t\x01no\n", "uE\n", "t\x00", "u\x01scp: gone\n",
		"uC0644 3 h\n", "t\x00", "uabc\x01broken\n", "t\x00", "uC0644 9 i\n", "t\x00", "uab"}
	whole := overhear(t, "scp -r -t to")
	whole.say(t, said...)
	whole.Close()
	for seed := range uint64(200) {
		o := overhear(t, "scp -r -t to")
		cut := cutUp(said, rand.New(rand.NewPCG(seed, 3)).IntN)
		o.say(t, cut...)
		o.Close()
		if diff := cmp.Diff(whole.opLines(), o.opLines()); diff != "" || string(o.told) != string(whole.told) {
			t.Fatalf("%q: %s", cut, diff)
		}
		unchanged(t, o, cut)
	}
}

// talk reads a conversation from fuzzed bytes: each piece has a byte before it, the side in its highest bit, its length in
// the others.
func talk(b []byte) (said []string) {
	for len(b) > 0 {
		side, n := "u", int(b[0]&0x7f)
		if b[0]&0x80 != 0 {
			side = "t"
		}
		n = min(n, len(b)-1)
		said = append(said, side+string(b[1:1+n]))
		b = b[1+n:]
	}
	return said
}

// written is the reverse of talk.
func written(said []string) (b []byte) {
	for _, s := range said {
		for rest := s[1:]; rest != ""; {
			n := min(len(rest), 127)
			head := byte(n)
			if s[0] == 't' {
				head |= 0x80
			}
			b, rest = append(append(b, head), rest[:n]...), rest[n:]
		}
	}
	return b
}

// wellTold wants operations to be within bounds and printable.
func wellTold(t testing.TB, o *overheard) {
	t.Helper()
	for _, op := range o.ops {
		for _, text := range []string{op.Name, op.Path, op.To, op.Result, op.SHA256} {
			if len(text) > 4096 || !utf8.ValidString(text) || strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
				t.Errorf("%q", text)
			}
		}
		if op.Result == "" || len(op.Result) > 256 || op.Bytes < 0 || op.Took < 0 || op.Started <= 0 || op.Name == "" {
			t.Errorf("%+v", op)
		}
	}
}

func FuzzSCP(f *testing.F) {
	for _, said := range [][]string{
		{"u\x00", "tT1 0 2 0\n", "u\x00", "tC0644 3 file\n", "u\x00", "tab", "tc\x00", "u\x00"},
		{"t\x00", "uD0755 0 a\n", "t\x00", "uC0644 1 f\n", "t\x00", "uF\x00", "t\x00", "uE\n", "t\x00"},
		{"t\x00", "uC0644 9 a\n", "t\x01scp: a: no\n", "uC0644 0 f\n", "t\x00", "u\x00", "t\x02x\n"},
	} {
		f.Add(true, written(said))
		f.Add(false, written(said))
	}
	f.Fuzz(func(t *testing.T, sender bool, conversation []byte) {
		command := "scp -r -t to"
		if sender {
			command = "scp -r -f from *.x"
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
