package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// quantile gives the value below which a share q of the list lies; the list is sorted in place.
func quantile[T cmp.Ordered](list []T, q float64) (v T) {
	if len(list) == 0 {
		return v
	}
	slices.Sort(list)
	return list[min(len(list)-1, int(q*float64(len(list))))]
}

func median[T cmp.Ordered](list []T) T { return quantile(slices.Clone(list), 0.5) }

// ratios gives the quotient of each round's pair.
func ratios(list, yard []float64) []float64 {
	r := make([]float64, 0, len(list))
	for i := range min(len(list), len(yard)) {
		r = append(r, list[i]/yard[i])
	}
	return r
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// table prints Markdown row by row, so that one sees it grow.
func table(title string, columns ...string) {
	fmt.Printf("\n%s\n\n", title)
	row(columns...)
	fmt.Println("|" + strings.Repeat("---|", len(columns)))
}

func row(cells ...string) { fmt.Println("| " + strings.Join(cells, " | ") + " |") }

func f(format string, v float64) string { return fmt.Sprintf(format, v) }
