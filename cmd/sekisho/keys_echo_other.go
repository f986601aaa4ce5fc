//go:build !linux

package main

import "golang.org/x/term"

// hideEcho does nothing here: readHidden turns the echo off, a moment after the question is on the screen.
func hideEcho(int) error { return nil }

func readHidden(fd int) ([]byte, error) { return term.ReadPassword(fd) }
