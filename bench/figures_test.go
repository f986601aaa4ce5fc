package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A median is the middle, a quantile a value of the list, and neither changes the list.
func TestQuantiles(t *testing.T) {
	for _, c := range []struct {
		list             []float64
		median, p50, p99 float64
	}{
		{nil, 0, 0, 0},
		{[]float64{7}, 7, 7, 7},
		{[]float64{3, 1}, 2, 3, 3},
		{[]float64{9, 1, 5}, 5, 5, 9},
		{[]float64{4, 8, 2, 6}, 5, 6, 8},
	} {
		before := append([]float64(nil), c.list...)
		if m, p50, p99 := median(c.list), quantile(c.list, 0.5), quantile(c.list, 0.99); m != c.median || p50 != c.p50 || p99 != c.p99 {
			t.Errorf("%v: median %v, p50 %v, p99 %v, want %v, %v, %v", c.list, m, p50, p99, c.median, c.p50, c.p99)
		}
		if !cmp.Equal(c.list, before) {
			t.Errorf("%v has become %v", before, c.list)
		}
	}
}

// Together people do all that is to be done, also where there are more of them than things.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		n, people int
		want      []int
	}{{6, 3, []int{2, 2, 2}}, {7, 3, []int{3, 2, 2}}, {2, 3, []int{1, 1, 0}}} {
		var got []int
		for i := range c.people {
			got = append(got, share(c.n, c.people, i))
		}
		if !cmp.Equal(got, c.want) {
			t.Errorf("%d things, %d people: %v, want %v", c.n, c.people, got, c.want)
		}
	}
}
