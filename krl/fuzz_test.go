package krl_test

import (
	"bytes"
	"math"
	mathrand "math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/krl"
)

// What is parsed marshals, and parses and marshals to the same again.
func FuzzParse(f *testing.F) {
	r := mathrand.New(mathrand.NewPCG(7, 8))
	cas := mixed(f)
	l, asked := drawn(f, r, cas, []ssh.PublicKey{signer(f).PublicKey(), signer(f).PublicKey()})
	f.Add(marshal(f, l))
	f.Add(marshal(f, &krl.List{}))
	f.Add([]byte(header() + of(section(0x21, numbers(1, math.MaxUint64)), section(0x20, numbers(1, 2, 9)))))
	f.Add([]byte(header() + of(section(0x22, numbers(7)+str("\x00\x00\x85")), section(0x23, str("a")+str("b\x00")))))
	f.Add([]byte(header() + section(255, str("a@b")+"\x00"+str("x")) + section(2, str(str("ssh-new")+"x"))))
	f.Add([]byte(header() + section(4, str("x")) + str("y")))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := krl.Parse(b)
		if err != nil {
			return
		}
		written, err := l.Marshal()
		if err != nil {
			t.Fatalf("parsed, and not marshalled: %v", err)
		}
		again, err := krl.Parse(written)
		if err != nil {
			t.Fatalf("marshalled, and not parsed: %v", err)
		}
		if twice, err := again.Marshal(); err != nil || !bytes.Equal(written, twice) {
			t.Fatalf("marshalled in two ways: %v", err)
		}
		bytesOf := cmp.Transformer("bytes", func(k ssh.PublicKey) []byte { return k.Marshal() })
		if diff := cmp.Diff(l, again, cmp.FilterValues(func(a, b ssh.PublicKey) bool { return a != nil && b != nil }, bytesOf)); diff != "" {
			t.Fatal(diff)
		}
		for _, k := range append(asked[:9:9], l.Keys...) {
			why, yes := l.Revoked(k)
			if other, too := again.Revoked(k); why != other || yes != too {
				t.Fatalf("revoked: %q and %q", why, other)
			}
		}
	})
}
