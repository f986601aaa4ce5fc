package krl_test

import (
	mathrand "math/rand/v2"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/sekisho/sekisho/krl"
)

// 100,000 serials of one CA: one in ten of those issued, as an index of a log has them, and numbers drawn by lot.
func loads(b *testing.B) map[string]*krl.List {
	r := mathrand.New(mathrand.NewPCG(9, 10))
	ca := signer(b).PublicKey()
	index, lot := make([]uint64, 100_000), make([]uint64, 100_000)
	for i := range index {
		index[i], lot[i] = 1+r.Uint64N(1_000_000), 1+r.Uint64N(1<<63)
	}
	list := func(n []uint64) *krl.List {
		return &krl.List{Authorities: []krl.Authority{{Key: ca, Serials: krl.Serials(n...)}}}
	}
	return map[string]*krl.List{"index": list(index), "lot": list(lot)}
}

func BenchmarkMarshal(b *testing.B) {
	for name, l := range loads(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = len(marshal(b, l))
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for name, l := range loads(b) {
		text := marshal(b, l)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				parse(b, text)
			}
		})
	}
}

func BenchmarkRevoked(b *testing.B) {
	for name, l := range loads(b) {
		ca := signer(b)
		l.Authorities[0].Key = ca.PublicKey()
		l = parse(b, marshal(b, l))
		l.Keys = []ssh.PublicKey{signer(b).PublicKey()}
		cert := certify(b, ca, signer(b).PublicKey(), 77, "x")
		check, err := l.Checker()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/checker", func(b *testing.B) {
			for b.Loop() {
				check.Revoked(cert)
			}
		})
		b.Run(name+"/list", func(b *testing.B) {
			for b.Loop() {
				l.Revoked(cert)
			}
		})
	}
}
