package spool_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/store/blob"
	"github.com/sekisho/sekisho/store/spool"
)

// BenchmarkSync has sessions write frames of 200 bytes and sync each, in the spool and with an fdatasync for each
// session's own file. One operation is one sync of one session.
func BenchmarkSync(b *testing.B) {
	for _, sessions := range []int{1, 100, 1000} {
		b.Run(fmt.Sprintf("sessions=%d/spool", sessions), func(b *testing.B) { benchSpool(b, sessions) })
		b.Run(fmt.Sprintf("sessions=%d/files", sessions), func(b *testing.B) { benchFiles(b, sessions) })
	}
}

func benchSpool(b *testing.B, sessions int) {
	dir := b.TempDir()
	blobs, err := blob.Open(filepath.Join(dir, "recordings"))
	if err != nil {
		b.Fatal(err)
	}
	defer blobs.Close()
	s, err := spool.Open(context.Background(), spool.Config{Dir: filepath.Join(dir, "spool"), Blobs: blobs})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	files := make([]*spool.File, sessions)
	for i := range files {
		if files[i], err = s.Create(sekisho.NewID("ses")); err != nil {
			b.Fatal(err)
		}
		defer files[i].Discard()
	}
	before := s.Stats().Syncs
	took := spin(b, sessions, func(i int, p []byte) error {
		if _, err := files[i].Write(p); err != nil {
			return err
		}
		return files[i].Sync()
	})
	b.ReportMetric(float64(s.Stats().Syncs-before)/took.Seconds(), "fsyncs/s")
}

func benchFiles(b *testing.B, sessions int) {
	dir := b.TempDir()
	files := make([]*os.File, sessions)
	for i := range files {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	took := spin(b, sessions, func(i int, p []byte) error {
		if _, err := files[i].Write(p); err != nil {
			return err
		}
		return spool.Datasync(files[i])
	})
	b.ReportMetric(float64(b.N)/took.Seconds(), "fsyncs/s")
}

// spin divides b.N syncs among the sessions and reports how long one takes.
func spin(b *testing.B, sessions int, sync1 func(i int, p []byte) error) time.Duration {
	took := make([][]time.Duration, sessions)
	p := frame(200, 0)
	var work sync.WaitGroup
	b.ResetTimer()
	for i := range sessions {
		work.Go(func() {
			for n := i; n < b.N; n += sessions {
				begun := time.Now()
				if err := sync1(i, p); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], time.Since(begun))
			}
		})
	}
	work.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "syncs/s")
	return b.Elapsed()
}
