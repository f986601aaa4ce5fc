package krl_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/krl"
)

func write(t testing.TB, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func keygen(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("ssh-keygen", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen %.200s: %v: %s", args, err, out)
	}
	return string(out)
}

// ask has ssh-keygen say of each key whether the list revokes it.
func ask(t testing.TB, list []byte, keys ...ssh.PublicKey) []bool {
	t.Helper()
	dir := t.TempDir()
	args := []string{"-Q", "-f", write(t, dir+"/krl", list)}
	for i, k := range keys {
		args = append(args, write(t, fmt.Sprintf("%s/%d.pub", dir, i), append(bytes.TrimSpace(ssh.MarshalAuthorizedKey(k)), " k\n"...)))
	}
	out, _ := exec.Command("ssh-keygen", args...).CombinedOutput() // fails when one is revoked
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != len(keys) {
		t.Fatalf("ssh-keygen says %.2000s", out)
	}
	said := make([]bool, len(keys))
	for i, line := range lines {
		prefix := fmt.Sprintf("%s/%d.pub (k): ", dir, i)
		if said[i] = line == prefix+"REVOKED"; !said[i] && line != prefix+"ok" {
			t.Fatalf("ssh-keygen says %q", line)
		}
	}
	return said
}

func tell(t testing.TB, list []byte) string {
	t.Helper()
	return keygen(t, "-Q", "-l", "-f", write(t, t.TempDir()+"/krl", list))
}

// Whatever we write in any form, ssh-keygen lists and applies.
func TestKeygenReads(t *testing.T) {
	for _, ca := range mixed(t) {
		kind := ca.PublicKey().Type()
		key, dead := signer(t).PublicKey(), signer(t)
		of := func(serials []krl.Range, ids ...string) *krl.List {
			return &krl.List{Authorities: []krl.Authority{{Key: ca.PublicKey(), Serials: serials, KeyIDs: ids}}}
		}
		for name, c := range map[string]struct {
			list    *krl.List
			says    []string
			revoked []ssh.PublicKey
			others  []ssh.PublicKey
		}{
			"nothing": {&krl.List{Number: 41, Comment: "ten years"}, []string{"# KRL version 41\n", "# Comment: ten years\n"}, nil,
				[]ssh.PublicKey{key, certify(t, ca, key, 1, "a")}},
			"serials": {of(krl.Serials(5, 70000, math.MaxUint64)),
				[]string{"# CA key " + kind, "serial: 5\n", "serial: 70000\n", "serial: 18446744073709551615\n"},
				[]ssh.PublicKey{certify(t, ca, key, 5, "a"), certify(t, ca, key, math.MaxUint64, "a")},
				[]ssh.PublicKey{certify(t, ca, key, 6, "a"), certify(t, dead, key, 5, "a"), key}},
			"range": {of([]krl.Range{{First: 1000, Last: math.MaxUint64}}), []string{"serial: 1000-18446744073709551615\n"},
				[]ssh.PublicKey{certify(t, ca, key, 1000, "a"), certify(t, ca, key, 1<<63, "a")},
				[]ssh.PublicKey{certify(t, ca, key, 999, "a"), certify(t, ca, key, 0, "a")}},
			"bitmap": {of(krl.Serials(10, 12, 14, 15, 16, 20)), []string{"serial: 10\n", "serial: 14-16\n", "serial: 20\n"},
				[]ssh.PublicKey{certify(t, ca, key, 10, "a"), certify(t, ca, key, 16, "a"), certify(t, ca, key, 20, "a")},
				[]ssh.PublicKey{certify(t, ca, key, 11, "a"), certify(t, ca, key, 17, "a"), certify(t, ca, key, 21, "a")}},
			"widest bitmap": {of([]krl.Range{{First: 10, Last: 2000}, {First: 2002, Last: 4000}, {First: 4002, Last: 6000}, {First: 6100, Last: 9000}, {First: 9002, Last: 16393}, {First: 16395, Last: 16400}}),
				[]string{"serial: 10-2000\n", "serial: 9002-16393\n", "serial: 16395-16400\n"},
				[]ssh.PublicKey{certify(t, ca, key, 10, "a"), certify(t, ca, key, 16393, "a")},
				[]ssh.PublicKey{certify(t, ca, key, 2001, "a"), certify(t, ca, key, 16394, "a")}},
			"key IDs": {of(nil, "mallory/-/x", ""), []string{"id: mallory/-/x\n"},
				[]ssh.PublicKey{certify(t, ca, key, 1, "mallory/-/x"), certify(t, ca, key, 1, "")},
				[]ssh.PublicKey{certify(t, ca, key, 1, "mallory"), certify(t, dead, key, 1, "mallory/-/x")}},
			"any CA": {&krl.List{Authorities: []krl.Authority{{KeyIDs: []string{"mallory"}, Serials: krl.Serials(9)}}},
				[]string{"# Wildcard CA\n", "id: mallory\n", "serial: 9\n"},
				[]ssh.PublicKey{certify(t, ca, key, 1, "mallory"), certify(t, dead, key, 9, "a")}, []ssh.PublicKey{certify(t, ca, key, 1, "a")}},
			"key": {&krl.List{Keys: []ssh.PublicKey{key, ca.PublicKey()}}, []string{ssh.FingerprintSHA256(key), ssh.FingerprintSHA256(ca.PublicKey())},
				[]ssh.PublicKey{key, ca.PublicKey(), certify(t, dead, key, 1, "a"), certify(t, ca, dead.PublicKey(), 1, "a")}, []ssh.PublicKey{dead.PublicKey()}},
			"hash": {&krl.List{SHA256: [][32]byte{sha256.Sum256(key.Marshal()), sha256.Sum256(ca.PublicKey().Marshal()), {}}}, []string{hexSHA256(key), hexSHA256(ca.PublicKey())},
				[]ssh.PublicKey{key, ca.PublicKey(), certify(t, dead, key, 1, "a"), certify(t, ca, dead.PublicKey(), 1, "a")}, []ssh.PublicKey{dead.PublicKey()}},
			"SHA-1": {&krl.List{SHA1: [][20]byte{sha1.Sum(key.Marshal()), {0xff}}}, nil,
				[]ssh.PublicKey{key, certify(t, dead, key, 1, "a")}, []ssh.PublicKey{dead.PublicKey()}},
		} {
			list := marshal(t, c.list)
			told := tell(t, list)
			for _, line := range c.says {
				if !strings.Contains(told, line) {
					t.Errorf("%s, %s: no %q in %s", kind, name, line, told)
				}
			}
			for i, said := range ask(t, list, append(c.revoked, c.others...)...) {
				if want := i < len(c.revoked); said != want {
					t.Errorf("%s, %s: ssh-keygen says %v of %d", kind, name, said, i)
				}
			}
		}
	}
}

func hexSHA256(k ssh.PublicKey) string {
	sum := sha256.Sum256(k.Marshal())
	return hex.EncodeToString(sum[:])
}

// keygenList has ssh-keygen write a list from its specification; ca "" is any CA, and a list that is there is added to.
func keygenList(t testing.TB, path string, ca ssh.PublicKey, spec string) []byte {
	t.Helper()
	args := []string{"-k", "-z", "12", "-f", path, "-s", "none"}
	if ca != nil {
		args[6] = write(t, path+".ca", ssh.MarshalAuthorizedKey(ca))
	}
	if _, err := os.Stat(path); err == nil {
		args = append(args, "-u")
	}
	keygen(t, append(args, write(t, path+".spec", []byte(spec)))...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever ssh-keygen writes, we read.
func TestReadsKeygen(t *testing.T) {
	for _, ca := range mixed(t) {
		path := filepath.Join(t.TempDir(), "krl")
		listed, old, hashed, free := signer(t).PublicKey(), signer(t).PublicKey(), signer(t).PublicKey(), signer(t).PublicKey()
		authorized := func(k ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(k)) }
		keygenList(t, path, ca.PublicKey(), strings.Join([]string{
			"serial: 3", "serial: 1000-18446744073709551615", "serial: 20", "serial: 22", "serial: 24", "serial: 26-27", "serial: 29",
			"id: mallory", "id: eve",
		}, "\n"))
		list := keygenList(t, path, nil, strings.Join([]string{
			"id: anywhere", "key: " + authorized(listed), "sha1: " + authorized(old), "sha256: " + authorized(hashed),
			"hash: " + ssh.FingerprintSHA256(signer(t).PublicKey()),
		}, "\n"))
		l := parse(t, list)
		if l.Number != 12 || l.Generated.IsZero() || len(l.Authorities) != 2 || len(l.Keys) != 1 || len(l.SHA1) != 1 || len(l.SHA256) != 2 {
			t.Errorf("read %+v", l)
		}
		keys := []ssh.PublicKey{listed, old, hashed, free, certify(t, signer(t), free, 1, "anywhere"), certify(t, signer(t), free, 1, "mallory"),
			certify(t, ca, free, 1, "mallory"), certify(t, ca, free, 1, "eve"), certify(t, ca, free, 1, "bob")}
		for n := range uint64(40) {
			keys = append(keys, certify(t, ca, free, n, "x"))
		}
		keys = append(keys, certify(t, ca, free, 999, "x"), certify(t, ca, free, 1000, "x"), certify(t, ca, free, math.MaxUint64, "x"))
		agree(t, list, keys)
		agree(t, marshal(t, l), keys)
		if told, again := tell(t, list), tell(t, marshal(t, l)); len(told) != len(again) {
			t.Errorf("ssh-keygen tells of its own\n%s and of ours\n%s", told, again)
		}
	}
}

// agree compares what ssh-keygen and we say, and gives how many are revoked.
func agree(t testing.TB, list []byte, keys []ssh.PublicKey) (revoked int) {
	t.Helper()
	check, err := parse(t, list).Checker()
	if err != nil {
		t.Fatal(err)
	}
	for i, said := range ask(t, list, keys...) {
		why, yes := check.Revoked(keys[i])
		if yes != said {
			t.Errorf("key %d: ssh-keygen says %v, we %v (%q): %+v", i, said, yes, why, keys[i])
		}
		if said {
			revoked++
		}
	}
	return revoked
}

// drawn is a list of anything and keys of which it revokes some.
func drawn(t testing.TB, r *mathrand.Rand, cas []ssh.Signer, keys []ssh.PublicKey) (*krl.List, []ssh.PublicKey) {
	t.Helper()
	l := &krl.List{Number: r.Uint64()}
	some := func(percent int) bool { return r.IntN(100) < percent }
	var edges []uint64
	for i, ca := range cas {
		a := krl.Authority{Key: ca.PublicKey(), Serials: scatter(r, r.IntN(60))}
		for _, s := range a.Serials {
			edges = append(edges, s.First-1, s.First, s.Last, s.Last+1)
		}
		if i == 0 {
			a.Key = nil
			a.Serials = nil
		}
		for n := range 5 {
			if some(30) {
				a.KeyIDs = append(a.KeyIDs, fmt.Sprint("id", n))
			}
		}
		l.Authorities = append(l.Authorities, a)
	}
	for _, k := range keys {
		switch {
		case some(5):
			l.Keys = append(l.Keys, k)
		case some(5):
			l.SHA256 = append(l.SHA256, sha256.Sum256(k.Marshal()))
		case some(5):
			l.SHA1 = append(l.SHA1, sha1.Sum(k.Marshal()))
		}
	}
	if some(30) {
		l.Keys = append(l.Keys, cas[len(cas)-1].PublicKey())
	}
	edges = append(edges, 0, 1, math.MaxUint64)
	asked := append([]ssh.PublicKey{}, keys...)
	for range 300 {
		asked = append(asked, certify(t, cas[r.IntN(len(cas))], keys[r.IntN(len(keys))], edges[r.IntN(len(edges))], fmt.Sprint("id", r.IntN(20))))
	}
	return l, asked
}

func TestAgainstKeygen(t *testing.T) {
	r := mathrand.New(mathrand.NewPCG(3, 4))
	cas := append(mixed(t), signer(t))
	var keys []ssh.PublicKey
	for range 20 {
		keys = append(keys, signer(t).PublicKey())
	}
	revoked, all := 0, 0
	for range 6 {
		l, asked := drawn(t, r, cas, keys)
		b := marshal(t, l)
		revoked += agree(t, b, asked)
		all += len(asked)
		if !bytes.Equal(b, marshal(t, parse(t, b))) {
			t.Error("what was parsed has other bytes")
		}
	}
	if revoked < all/10 || revoked > all*9/10 {
		t.Errorf("%d of %d are revoked: too few or too many to tell", revoked, all)
	}
}

// ssh-keygen writes bitmaps that it cannot read. It reads all of ours, and we take no list that it refuses.
func TestManySerials(t *testing.T) {
	ca, key := signer(t), signer(t).PublicKey()
	r := mathrand.New(mathrand.NewPCG(5, 6))
	for name, gap := range map[string]uint64{"dense": 4, "scattered": 60, "sparse": 4000} {
		var serials []uint64
		var asked []ssh.PublicKey
		var spec strings.Builder
		next := uint64(1)
		for range 20000 {
			next += 1 + r.Uint64N(gap)
			serials = append(serials, next)
			fmt.Fprintf(&spec, "serial: %d\n", next)
			if r.IntN(400) == 0 {
				asked = append(asked, certify(t, ca, key, next, "x"), certify(t, ca, key, next+1, "x"))
			}
		}
		b := marshal(t, &krl.List{Authorities: []krl.Authority{{Key: ca.PublicKey(), Serials: krl.Serials(serials...)}}})
		if n := agree(t, b, asked); n < len(asked)/2 {
			t.Errorf("%s: %d of %d are revoked", name, n, len(asked))
		}
		path := t.TempDir() + "/krl"
		theirs := keygenList(t, path, ca.PublicKey(), spec.String())
		l, err := krl.Parse(theirs)
		if refused := exec.Command("ssh-keygen", "-Q", "-l", "-f", path).Run(); (refused == nil) != (err == nil) {
			t.Errorf("%s: of its own list ssh-keygen says %v, we %v", name, refused, err)
		}
		if err == nil && !cmp.Equal(l.Authorities, parse(t, b).Authorities) {
			t.Errorf("%s: read other serials than ssh-keygen wrote", name)
		}
	}
}
