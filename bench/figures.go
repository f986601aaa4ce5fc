package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// quantile gives the value below which a share q of the list lies; 0 of none.
func quantile(list []float64, q float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return list[min(len(list)-1, int(q*float64(len(list))))]
}

// median gives the middle of the list, or the mean of the two that are.
func median(list []float64) float64 {
	if len(list) == 0 {
		return 0
	}
	list = slices.Sorted(slices.Values(list))
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

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
