package db_test

import (
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/storetest"
)

// BenchmarkInventory brings a million certificates into the inventory, then asks for some of them.
func BenchmarkInventory(b *testing.B) {
	const many = 1_000_000
	d := open(b, b.TempDir())
	storetest.Issue(b, d, 1, many)
	began := time.Now()
	if err := d.CatchUpCertificates(b.Context()); err != nil {
		b.Fatal(err)
	}
	caught := time.Since(began)
	b.Run("catch-up", func(b *testing.B) { // measured once, above
		b.ReportMetric(many/caught.Seconds(), "certificates/s")
		b.ReportMetric(0, "ns/op")
	})
	last := storetest.Issued(many - 1)
	for _, c := range []struct {
		name string
		q    sekisho.CertificateQuery
	}{
		{"newest", sekisho.CertificateQuery{}},
		{"request", sekisho.CertificateQuery{Request: "tok_12345"}},
		{"key", sekisho.CertificateQuery{Key: "SHA256:key12345"}},
		{"subject", sekisho.CertificateQuery{Subject: "p12@example.com"}},
		{"principal", sekisho.CertificateQuery{Principal: "root:t3"}},
		{"host-principal", sekisho.CertificateQuery{Principal: "t7.example.com"}},
		{"subject-and-target", sekisho.CertificateQuery{Subject: "p12@example.com", Target: "t2"}},
		{"hosts", sekisho.CertificateQuery{Type: "host"}},
		{"old-day", sekisho.CertificateQuery{Since: last.Time.Add(-300 * time.Hour), Until: last.Time.Add(-276 * time.Hour)}},
		{"valid", sekisho.CertificateQuery{ValidAt: last.Time}},
		{"valid-subject", sekisho.CertificateQuery{ValidAt: last.Time, Subject: "p12@example.com"}},
		{"nobody", sekisho.CertificateQuery{Subject: "nobody@example.com"}},
		{"nobody-valid", sekisho.CertificateQuery{Subject: "nobody@example.com", ValidAt: last.Time}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := d.CertificateLines(b.Context(), c.q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
