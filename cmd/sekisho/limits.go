package main

import "github.com/sekisho/sekisho"

// limited tells a decision's limits in a few words.
func limited(l sekisho.Limits) string { return l.Brief() }
