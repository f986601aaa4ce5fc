package storetest

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
)

// Issued is certificate n of many: the hundredth person's on the tenth target, and so on. It is valid for an hour.
func Issued(n int64) *sekisho.Event {
	id := sekisho.KeyID{Subject: fmt.Sprintf("p%d@example.com", n%100), Issuer: "people", SignIn: fmt.Sprintf("sin_%d", n/10), Request: fmt.Sprintf("tok_%d", n)}
	at := now.Add(time.Duration(n) * time.Second)
	c := &sekisho.CertificateRecord{
		Issuer: "people", Type: "user", Key: fmt.Sprintf("SHA256:key%d", n), CA: "SHA256:user",
		Principals: []string{fmt.Sprintf("root:t%d", n%10)}, ValidAfter: at.Add(-time.Minute), ValidBefore: at.Add(time.Hour),
	}
	ev := &sekisho.Event{Seq: n, Time: at, Kind: sekisho.EventCertificate, SignIn: id.SignIn, Target: fmt.Sprintf("t%d", n%10), Certificate: c}
	if n%1000 == 7 {
		id = sekisho.KeyID{Subject: ev.Target, Issuer: "hosts"}
		c.Issuer, c.Type, c.CA, c.Principals, ev.SignIn = "hosts", "host", "SHA256:host", []string{ev.Target, ev.Target + ".example.com"}, ""
	}
	c.KeyID = id.Prefix()
	return ev
}

// commit appends the events as lines.
func commit(t testing.TB, s Store, events ...*sekisho.Event) {
	t.Helper()
	b := &audit.Batch{Checkpoint: "c"}
	for _, ev := range events {
		line, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		b.Leaves = append(b.Leaves, audit.Leaf{Seq: ev.Seq, Time: ev.Time, Kind: ev.Kind, Actor: ev.Actor, Target: ev.Target, Line: line})
	}
	if err := s.CommitEvents(t.Context(), func(string, tlog.HashReader) (*audit.Batch, error) { return b, nil }); err != nil {
		t.Fatal(err)
	}
}

// Issue appends lines of certificates from one serial up to another, without it.
func Issue(t testing.TB, s Store, from, to int64) {
	t.Helper()
	for from < to {
		var events []*sekisho.Event
		for ; from < to && len(events) < 2000; from++ {
			events = append(events, Issued(from))
		}
		commit(t, s, events...)
	}
}

func serials(events []*sekisho.Event) []int64 {
	all := []int64{}
	for _, ev := range events {
		all = append(all, ev.Seq)
	}
	return all
}

// certificates: each field of a query, alone and with others.
func certificates(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	commit(t, s, &sekisho.Event{Seq: 0, Time: now, Kind: sekisho.EventStarted})
	Issue(t, s, 1, 30)
	commit(t, s, &sekisho.Event{Seq: 30, Time: now, Kind: sekisho.EventCertificate}) // nobody can read it
	Issue(t, s, 31, 40)
	at := func(n int64) time.Time { return now.Add(time.Duration(n) * time.Second) }
	for what, c := range map[string]struct {
		q    sekisho.CertificateQuery
		want []int64
	}{
		"newest":            {sekisho.CertificateQuery{Limit: 3}, []int64{39, 38, 37}},
		"before":            {sekisho.CertificateQuery{Limit: 2, Before: 32}, []int64{31, 29}},
		"subject":           {sekisho.CertificateQuery{Subject: "p12@example.com"}, []int64{12}},
		"a host's":          {sekisho.CertificateQuery{Subject: "t7"}, []int64{7}},
		"issuer":            {sekisho.CertificateQuery{Issuer: "hosts"}, []int64{7}},
		"type":              {sekisho.CertificateQuery{Type: "host"}, []int64{7}},
		"principal":         {sekisho.CertificateQuery{Principal: "root:t3"}, []int64{33, 23, 13, 3}},
		"second principal":  {sekisho.CertificateQuery{Principal: "t7.example.com"}, []int64{7}},
		"part of one":       {sekisho.CertificateQuery{Principal: "t7.example"}, []int64{}},
		"principal, before": {sekisho.CertificateQuery{Principal: "root:t3", Before: 23}, []int64{13, 3}},
		"key":               {sekisho.CertificateQuery{Key: "SHA256:key5"}, []int64{5}},
		"sign-in":           {sekisho.CertificateQuery{SignIn: "sin_1"}, []int64{19, 18, 17, 16, 15, 14, 13, 12, 11, 10}},
		"request":           {sekisho.CertificateQuery{Request: "tok_22"}, []int64{22}},
		"target":            {sekisho.CertificateQuery{Target: "t7"}, []int64{37, 27, 17, 7}},
		"CA":                {sekisho.CertificateQuery{CA: "SHA256:host"}, []int64{7}},
		"since":             {sekisho.CertificateQuery{Since: at(37)}, []int64{39, 38, 37}},
		"until":             {sekisho.CertificateQuery{Until: at(3)}, []int64{2, 1}},
		"between":           {sekisho.CertificateQuery{Since: at(4), Until: at(6)}, []int64{5, 4}},
		"later":             {sekisho.CertificateQuery{Since: at(40)}, []int64{}},
		"earlier":           {sekisho.CertificateQuery{Until: at(1)}, []int64{}},
		"valid then":        {sekisho.CertificateQuery{ValidAt: at(2)}, []int64{2, 1}},
		"valid later":       {sekisho.CertificateQuery{ValidAt: at(3600 + 37)}, []int64{39, 38}},
		"valid no more":     {sekisho.CertificateQuery{ValidAt: at(9999)}, []int64{}},
		"several":           {sekisho.CertificateQuery{SignIn: "sin_1", Target: "t3", Principal: "root:t3", Type: "user", ValidAt: at(100)}, []int64{13}},
		"several, none":     {sekisho.CertificateQuery{SignIn: "sin_1", Subject: "p20@example.com"}, []int64{}},
	} {
		got, err := s.Certificates(ctx, c.q)
		ok(t, err)
		same(t, what, serials(got), c.want)
	}
	got, err := s.Certificates(ctx, sekisho.CertificateQuery{Request: "tok_22"})
	ok(t, err)
	same(t, "event", got[0], Issued(22))
}

// certificatesCatchUp: a query sees every certificate whose line was there before it, whoever wrote it and whoever asks, while
// others go on writing.
func certificatesCatchUp(t *testing.T, open Opener) {
	place := t.TempDir()
	stores := []Store{open(t, place), open(t, place), open(t, place)}
	const each, batches = 20, 60
	var mu sync.Mutex
	next := int64(1)
	var all sync.WaitGroup
	for _, s := range stores {
		all.Go(func() {
			for range batches / len(stores) {
				mu.Lock()
				from := next
				next += each
				Issue(t, s, from, next)
				mu.Unlock()
				got, err := s.Certificates(t.Context(), sekisho.CertificateQuery{Limit: 1})
				if err != nil || len(got) != 1 || got[0].Seq < from+each-1 {
					t.Errorf("the newest is %v, %v: want %d or newer", serials(got), err, from+each-1)
				}
			}
		})
	}
	all.Wait()
	for _, s := range append(stores, open(t, place)) {
		n, before := 0, int64(0)
		for {
			got, err := s.Certificates(t.Context(), sekisho.CertificateQuery{Before: before, Limit: 1000})
			ok(t, err)
			if n += len(got); len(got) == 0 {
				break
			}
			before = got[len(got)-1].Seq
		}
		same(t, "certificates", n, each*batches)
	}
}

// certificatesMany: what is rare among very many is found, and what is common gives the newest.
func certificatesMany(t *testing.T, open Opener) {
	ctx, s := t.Context(), open(t, t.TempDir())
	const many = 20_000
	Issue(t, s, 1, many)
	ok(t, s.CatchUpCertificates(ctx))
	at := now.Add((many - 1) * time.Second)
	for what, c := range map[string]struct {
		q     sekisho.CertificateQuery
		n     int
		first int64
	}{
		"newest":         {sekisho.CertificateQuery{}, 100, many - 1},
		"hosts":          {sekisho.CertificateQuery{Type: "host", Limit: 1000}, 20, 19007},
		"first person's": {sekisho.CertificateQuery{Subject: "p1@example.com", Until: now.Add(200 * time.Second)}, 2, 101},
		"valid":          {sekisho.CertificateQuery{ValidAt: at, Limit: 1000}, 1000, many - 1},
		"valid, one's":   {sekisho.CertificateQuery{ValidAt: at, Subject: "p2@example.com"}, 36, 19902},
		"old key":        {sekisho.CertificateQuery{Key: "SHA256:key3"}, 1, 3},
	} {
		got, err := s.Certificates(ctx, c.q)
		ok(t, err)
		same(t, what, []int64{int64(len(got)), got[0].Seq}, []int64{int64(c.n), c.first})
	}
}
