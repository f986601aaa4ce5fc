package krl_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"math"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/sekisho/sekisho/krl"
)

func signer(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return sign(t, key, err)
}

func sign(t testing.TB, key any, err error) ssh.Signer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mixed gives signers of several types.
func mixed(t testing.TB) []ssh.Signer {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	out := []ssh.Signer{sign(t, r, err)}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	return append(out, sign(t, e, err), signer(t))
}

func certify(t testing.TB, ca ssh.Signer, key ssh.PublicKey, serial uint64, id string) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{
		Key: key, CertType: ssh.UserCert, Serial: serial, KeyId: id, ValidPrincipals: []string{"alice"},
		ValidBefore: ssh.CertTimeInfinity,
	}
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return c
}

func marshal(t testing.TB, l *krl.List) []byte {
	t.Helper()
	b, err := l.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func parse(t testing.TB, b []byte) *krl.List {
	t.Helper()
	l, err := krl.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCanonical(t *testing.T) {
	ca, cb, key, other := signer(t).PublicKey(), signer(t).PublicKey(), signer(t).PublicKey(), signer(t).PublicKey()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	one := &krl.List{
		Number: 7, Generated: at, Comment: "people",
		Authorities: []krl.Authority{
			{Key: ca, Serials: krl.Serials(1, 2, 3, 900), KeyIDs: []string{"a", "b"}},
			{Key: cb, Serials: []krl.Range{{First: 5, Last: math.MaxUint64}}},
			{KeyIDs: []string{"z"}},
		},
		Keys:   []ssh.PublicKey{key, other},
		SHA256: [][32]byte{{1}, {2}},
		SHA1:   [][20]byte{{1}, {2}},
	}
	two := &krl.List{
		Number: 7, Generated: at.Add(time.Millisecond).In(time.FixedZone("", 3600)), Comment: "people",
		Authorities: []krl.Authority{
			{KeyIDs: []string{"z", "z"}},
			{Key: cb, Serials: []krl.Range{{First: 1<<40 + 1, Last: math.MaxUint64}, {First: 5, Last: 1 << 40}, {First: 6, Last: 7}}},
			{Key: ca, Serials: krl.Serials(900, 3, 1), KeyIDs: []string{"b"}},
			{Key: ca, Serials: []krl.Range{{First: 1, Last: 2}}, KeyIDs: []string{"b", "a"}},
			{Key: signer(t).PublicKey()},
		},
		Keys:   []ssh.PublicKey{other, key, other},
		SHA256: [][32]byte{{2}, {1}, {2}},
		SHA1:   [][20]byte{{2}, {1}},
	}
	b := marshal(t, one)
	if !bytes.Equal(b, marshal(t, two)) {
		t.Error("lists that revoke the same have other bytes")
	}
	if two.Authorities[2].Serials[0].First != 900 || two.SHA256[0] != [32]byte{2} {
		t.Error("Marshal changed the list")
	}
	l := parse(t, b)
	if !bytes.Equal(b, marshal(t, l)) {
		t.Error("what was parsed has other bytes")
	}
	if diff := cmp.Diff(parse(t, marshal(t, l)), l); diff != "" {
		t.Error(diff)
	}
	if l.Number != 7 || !l.Generated.Equal(at) || l.Comment != "people" || len(l.Authorities) != 3 {
		t.Errorf("parsed %+v", l)
	}
	one.Authorities[0].Serials = krl.Serials(1, 2, 3, 901)
	if bytes.Equal(b, marshal(t, one)) {
		t.Error("another serial has the same bytes")
	}
}

func TestEmpty(t *testing.T) {
	b := marshal(t, &krl.List{})
	if len(b) != 44 {
		t.Errorf("an empty list has %d bytes", len(b))
	}
	if diff := cmp.Diff(&krl.List{}, parse(t, b)); diff != "" {
		t.Error(diff)
	}
}

func TestMarshalRefuses(t *testing.T) {
	ca := signer(t)
	cert := certify(t, ca, signer(t).PublicKey(), 1, "")
	serials := func(r ...krl.Range) *krl.List {
		return &krl.List{Authorities: []krl.Authority{{Key: ca.PublicKey(), Serials: r}}}
	}
	many := make([]krl.Range, krl.MaxEntries)
	for i := range many {
		many[i] = krl.Range{First: uint64(i)*1000 + 1, Last: uint64(i)*1000 + 1}
	}
	for name, l := range map[string]*krl.List{
		"serial 0":          serials(krl.Range{}),
		"range from 0":      serials(krl.Range{Last: 5}),
		"range backwards":   serials(krl.Range{First: 5, Last: 4}),
		"too many":          serials(many...),
		"too long":          {Comment: strings.Repeat("x", krl.MaxSize)},
		"comment":           {Comment: "a\x00"},
		"key ID":            {Authorities: []krl.Authority{{KeyIDs: []string{"a\x00b"}}}},
		"before 1970":       {Generated: time.Unix(-1, 0)},
		"after 9999":        {Generated: time.Unix(253402300800, 0)},
		"certificate":       {Keys: []ssh.PublicKey{cert}},
		"no key":            {Keys: []ssh.PublicKey{nil}},
		"certificate as CA": {Authorities: []krl.Authority{{Key: cert, KeyIDs: []string{"a"}}}},
	} {
		if _, err := l.Marshal(); err == nil {
			t.Errorf("%s: written", name)
		}
		if why, yes := l.Revoked(ca.PublicKey()); name != "too long" && (!yes || why != krl.Unreadable) {
			t.Errorf("%s: %q, %v, though the list is broken", name, why, yes)
		}
	}
	if _, err := serials(many[1:]...).Marshal(); err != nil {
		t.Errorf("as many as may be: %v", err)
	}
}

// str is SSH's string, section one with a type before it, numbers those of eight bytes.
func str(s string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(s)))) + s
}

func section(kind byte, body string) string { return string([]byte{kind}) + str(body) }

func numbers(all ...uint64) string {
	var b []byte
	for _, n := range all {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return string(b)
}

func header() string { return "SSHKRL\n\x00\x00\x00\x00\x01" + numbers(1, 2, 0) + str("") + str("") }

// of is a section of certificates of any CA.
func of(body ...string) string { return section(1, str("")+str("")+strings.Join(body, "")) }

func TestParseRefuses(t *testing.T) {
	key := string(signer(t).PublicKey().Marshal())
	cert := string(certify(t, signer(t), signer(t).PublicKey(), 1, "").Marshal())
	for name, text := range map[string]string{
		"nothing":                  "",
		"text":                     "ssh-ed25519 AAAA\n",
		"magic alone":              "SSHKRL\n\x00",
		"version 2":                "SSHKRL\n\x00\x00\x00\x00\x02" + header()[12:],
		"header cut":               header()[:40],
		"comment with zero":        header()[:40] + str("a\x00b"),
		"year 10000":               "SSHKRL\n\x00\x00\x00\x00\x01" + numbers(1, 253402300800, 0) + str("") + str(""),
		"type without section":     header() + "\x02",
		"section cut":              header() + section(2, str(key))[:20],
		"section of 4 GiB":         header() + "\x02\xff\xff\xff\xff",
		"unknown section":          header() + section(6, ""),
		"signature":                header() + section(4, key) + str("x"),
		"key cut":                  header() + section(2, str(key)[:20]),
		"key without type":         header() + section(2, str("")),
		"key with empty type":      header() + section(2, str(str(""))),
		"certificate as key":       header() + section(2, str(cert)),
		"hash too short":           header() + section(5, str("abc")),
		"SHA-256 as SHA-1":         header() + section(3, str(strings.Repeat("x", 32))),
		"CA cut":                   header() + section(1, str(key[:30])+str("")),
		"CA unknown":               header() + section(1, str(str("ssh-new")+str("x"))+str("")),
		"CA a certificate":         header() + section(1, str(cert)+str("")),
		"CA without reserved":      header() + section(1, str(key)),
		"unknown certificates":     header() + of(section(0x24, "")),
		"serial 0":                 header() + of(section(0x20, numbers(1, 0))),
		"serial cut":               header() + of(section(0x20, numbers(1)[:7])),
		"range from 0":             header() + of(section(0x21, numbers(0, 5))),
		"range backwards":          header() + of(section(0x21, numbers(6, 5))),
		"range cut":                header() + of(section(0x21, numbers(6))),
		"two ranges in one":        header() + of(section(0x21, numbers(1, 2, 4, 5))),
		"bitmap with serial 0":     header() + of(section(0x22, numbers(0)+str("\x01"))),
		"bitmap negative":          header() + of(section(0x22, numbers(1)+str("\x80"))),
		"bitmap over the end":      header() + of(section(0x22, numbers(math.MaxUint64)+str("\x02"))),
		"bitmap round the end":     header() + of(section(0x22, numbers(math.MaxUint64)+str("\x04"))),
		"bitmap too long":          header() + of(section(0x22, numbers(1)+str("\x01"+strings.Repeat("x", 2048)))),
		"bitmap and more":          header() + of(section(0x22, numbers(1)+str("\x01")+"x")),
		"key ID cut":               header() + of(section(0x23, str("abc")[:6])),
		"key ID with zero":         header() + of(section(0x23, str("a\x00b"))),
		"critical extension":       header() + section(255, str("a@b")+"\x01"+str("")),
		"critical in a CA":         header() + of(section(0x39, str("a@b")+"\x01"+str(""))),
		"extension and more":       header() + section(255, str("a@b")+"\x00"+str("")+"x"),
		"extension cut":            header() + section(255, str("a@b")+"\x00"),
		"too long":                 header() + section(255, str("a@b")+"\x00"+str(strings.Repeat("x", krl.MaxSize))),
		"too many empty key IDs":   header() + of(section(0x23, strings.Repeat(str(""), krl.MaxEntries))),
		"too many bits of serials": header() + of(strings.Repeat(section(0x22, numbers(1)+str("\x00"+strings.Repeat("\xaa", 2048))), 129)),
	} {
		if l, err := krl.Parse([]byte(text)); err == nil {
			t.Errorf("%s: parsed to %.200v", name, l)
		}
	}
}

func TestParseTakes(t *testing.T) {
	key := string(signer(t).PublicKey().Marshal())
	future := str("ssh-new") + "whatever"
	for name, c := range map[string]struct {
		text string
		want krl.List
	}{
		"extensions": {section(255, str("a@b")+"\x00"+str("x")) + of(section(0x39, str("a@b")+"\x00"+str("x")), section(0x20, numbers(4))),
			krl.List{Authorities: []krl.Authority{{Serials: krl.Serials(4)}}}},
		"empty sections": {section(2, "") + section(3, "") + section(5, "") + of() + section(1, str(key)+str("later")), krl.List{}},
		"all serials": {of(section(0x21, numbers(1, math.MaxUint64)), section(0x21, numbers(1, math.MaxUint64))),
			krl.List{Authorities: []krl.Authority{{Serials: []krl.Range{{First: 1, Last: math.MaxUint64}}}}}},
		"bitmaps": {of(section(0x22, numbers(0)+str("\x02")), section(0x22, numbers(9)+str("")), section(0x22, numbers(7)+str("\x00\x00\x85"))),
			krl.List{Authorities: []krl.Authority{{Serials: krl.Serials(1, 7, 9, 14)}}}},
		"several sections of one CA": {of(section(0x20, numbers(9, 4)), section(0x23, str("b"))) + of(section(0x23, str("a")+str("b\x00")), section(0x20, numbers(5))),
			krl.List{Authorities: []krl.Authority{{Serials: []krl.Range{{First: 4, Last: 5}, {First: 9, Last: 9}}, KeyIDs: []string{"a", "b"}}}}},
		"hashes that are not sorted": {section(5, str(strings.Repeat("b", 32))+str(strings.Repeat("a", 32))),
			krl.List{SHA256: [][32]byte{[32]byte(bytes.Repeat([]byte("a"), 32)), [32]byte(bytes.Repeat([]byte("b"), 32))}}},
	} {
		l, err := krl.Parse([]byte(header() + c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c.want.Number, c.want.Generated = 1, time.Unix(2, 0).UTC()
		if diff := cmp.Diff(&c.want, l); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	l := parse(t, []byte(header()+section(2, str(future))))
	if len(l.Keys) != 1 || l.Keys[0].Type() != "ssh-new" || string(l.Keys[0].Marshal()) != future || l.Keys[0].Verify(nil, nil) == nil {
		t.Errorf("a key of a type that is not known: %v", l.Keys)
	}
	if _, yes := l.Revoked(l.Keys[0]); !yes {
		t.Error("a key of a type that is not known is not revoked")
	}
	if !bytes.Equal(marshal(t, parse(t, marshal(t, l))), marshal(t, l)) {
		t.Error("a key of a type that is not known is lost")
	}
}

// sshd compares the bytes of keys: a number written in a longer way is another key.
func TestKeysAreBytes(t *testing.T) {
	key := mixed(t)[0].PublicKey()
	modulus := key.(ssh.CryptoPublicKey).CryptoPublicKey().(*rsa.PublicKey).N.Bytes()
	odd := str("ssh-rsa") + str("\x00\x01\x00\x01") + str("\x00"+string(modulus))
	if k, err := ssh.ParsePublicKey([]byte(odd)); err != nil || !bytes.Equal(k.Marshal(), key.Marshal()) {
		t.Fatalf("this is to be the same key: %v", err)
	}
	list := []byte(header() + section(2, str(odd)))
	l := parse(t, list)
	if _, yes := l.Revoked(key); yes || ask(t, list, key)[0] {
		t.Error("a key is revoked by other bytes")
	}
	list = []byte(header() + section(1, str(odd)+str("")+section(0x20, numbers(4))))
	agree(t, list, []ssh.PublicKey{key})
	if a := parse(t, list).Authorities[0]; !bytes.Equal(a.Key.Marshal(), key.Marshal()) {
		t.Error("sshd compares CAs by value")
	}
}

func TestParseKeepsNoInput(t *testing.T) {
	key := signer(t).PublicKey()
	list := marshal(t, &krl.List{Keys: []ssh.PublicKey{key}})
	l := parse(t, list)
	clear(list)
	if _, yes := l.Revoked(key); !yes {
		t.Error("the list has changed with the bytes that it was read from")
	}
}

func TestRevoked(t *testing.T) {
	ca, other := signer(t), signer(t)
	key, listed, hashed, old := signer(t).PublicKey(), signer(t).PublicKey(), signer(t).PublicKey(), signer(t).PublicKey()
	dead, gone := signer(t), signer(t)
	l := &krl.List{
		Authorities: []krl.Authority{
			{Key: ca.PublicKey(), Serials: []krl.Range{{First: 100, Last: 200}, {First: 7, Last: 7}}, KeyIDs: []string{"mallory", "eve"}},
			{KeyIDs: []string{"anywhere"}, Serials: krl.Serials(66)},
		},
		Keys:   []ssh.PublicKey{listed, dead.PublicKey()},
		SHA256: [][32]byte{sha256.Sum256(hashed.Marshal()), sha256.Sum256(gone.PublicKey().Marshal())},
		SHA1:   [][20]byte{sha1.Sum(old.Marshal())},
	}
	cert := certify(t, ca, key, 150, "x")
	broken := *cert
	broken.SignatureKey = nil
	for name, c := range map[string]struct {
		key  ssh.PublicKey
		want krl.Reason
	}{
		"key":                           {key, ""},
		"listed":                        {listed, krl.ByKey},
		"hashed":                        {hashed, krl.ByFingerprint},
		"hashed with SHA-1":             {old, krl.ByFingerprint},
		"certificate":                   {certify(t, ca, key, 1, "x"), ""},
		"certificate of listed":         {certify(t, ca, listed, 1, "x"), krl.ByKey},
		"certificate of hashed":         {certify(t, ca, hashed, 1, "x"), krl.ByFingerprint},
		"serial":                        {certify(t, ca, key, 7, "x"), krl.BySerial},
		"before the range":              {certify(t, ca, key, 99, "x"), ""},
		"range begins":                  {certify(t, ca, key, 100, "x"), krl.BySerial},
		"range ends":                    {certify(t, ca, key, 200, "x"), krl.BySerial},
		"after the range":               {certify(t, ca, key, 201, "x"), ""},
		"serial of another CA":          {certify(t, other, key, 150, "x"), ""},
		"serial 0":                      {certify(t, ca, key, 0, "x"), ""},
		"key ID":                        {certify(t, ca, key, 1, "mallory"), krl.ByKeyID},
		"key ID as C reads it":          {certify(t, ca, key, 1, "mallory\x00"), krl.ByKeyID},
		"key ID begins so":              {certify(t, ca, key, 1, "mallory2"), ""},
		"key ID of another CA":          {certify(t, other, key, 1, "mallory"), ""},
		"key ID of any CA":              {certify(t, other, key, 1, "anywhere"), krl.ByKeyID},
		"serial of any CA":              {certify(t, other, key, 66, "x"), krl.BySerial},
		"CA":                            {certify(t, dead, key, 1, "x"), krl.ByCA},
		"CA by hash":                    {certify(t, gone, key, 1, "x"), krl.ByCA},
		"as an agent has it":            {&agent.Key{Format: cert.Type(), Blob: cert.Marshal()}, krl.BySerial},
		"as an agent has it, unlabeled": {&agent.Key{Format: "ssh-ed25519", Blob: cert.Marshal()}, krl.BySerial},
		"broken, as an agent has it":    {&agent.Key{Format: cert.Type(), Blob: cert.Marshal()[:99]}, krl.Unreadable},
		"broken":                        {&broken, krl.Unreadable},
		"none":                          {nil, krl.Unreadable},
		"no certificate":                {(*ssh.Certificate)(nil), krl.Unreadable},
	} {
		for _, list := range []*krl.List{l, parse(t, marshal(t, l))} {
			if got, yes := list.Revoked(c.key); got != c.want || yes != (c.want != "") {
				t.Errorf("%s: %q, %v; want %q", name, got, yes, c.want)
			}
		}
	}
	check, err := l.Checker()
	if err != nil {
		t.Fatal(err)
	}
	l.SHA256[0], l.Authorities[0].Serials[0] = [32]byte{}, krl.Range{First: 1, Last: 1}
	if _, yes := check.Revoked(hashed); !yes {
		t.Error("a checker has changed with its list")
	}
	if _, yes := check.Revoked(cert); !yes {
		t.Error("a checker has changed with its list")
	}
}

// scatter gives sorted ranges of all kinds that do not meet.
func scatter(r *mathrand.Rand, n int) []krl.Range {
	var out []krl.Range
	next := 1 + r.Uint64N(1000)
	for range n {
		length := []uint64{1, 1, 1, 2, 3, 1 + r.Uint64N(30), 1 + r.Uint64N(500), 1 + r.Uint64N(20000)}[r.IntN(8)]
		out = append(out, krl.Range{First: next, Last: next + length - 1})
		next += length + []uint64{1, 2, 3, 1 + r.Uint64N(200), 1 + r.Uint64N(40000), 1 + r.Uint64N(1<<50)}[r.IntN(6)]
	}
	return out
}

// cheapest tries every way to write ranges, in bytes without the head of the list section.
func cheapest(ranges []krl.Range) uint64 {
	best := []uint64{0}
	for i, r := range ranges {
		least := best[i] + min(21, 8*min(r.Last-r.First+1, 1000))
		for begin := range i + 1 {
			if span := r.Last - ranges[begin].First + 1; span <= 16384 {
				least = min(least, best[begin]+18+span/8)
			}
		}
		best = append(best, least)
	}
	return best[len(ranges)]
}

func TestSerialsAreShort(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(1, 2))
	for range 2000 {
		ranges := scatter(r, 1+r.IntN(40))
		shuffled := slices.Clone(ranges)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		b := marshal(t, &krl.List{Authorities: []krl.Authority{{Serials: shuffled}}})
		if diff := cmp.Diff(ranges, parse(t, b).Authorities[0].Serials); diff != "" {
			t.Fatal(diff)
		}
		// The bits of each bitmap are rounded up at its end, which the writer's sums leave out.
		got, want := uint64(len(b)-44-13), cheapest(ranges)
		if got > want+5+uint64(len(ranges)) {
			t.Errorf("%d bytes where %d are enough: %v", got, want, ranges)
		}
	}
}
