// Package terminal is what a person sees when a program talks: a screen, and what can be read off it.
//
//   - [Filter] makes a program's bytes safe to be shown on somebody else's terminal.
//   - [Screen] is an emulated terminal that those bytes draw. A player repaints it after a jump with [Screen.Render].
//   - [Commands] reads the commands that were run in a shell off such a screen (COMMANDS.md).
//
// Everything here takes bytes that a stranger chose. No input makes it panic, keep more than a bounded amount, or work
// long on few bytes, and bytes give the same result however they are cut into pieces. The package is pure: bytes in,
// bytes out; it opens no file and reads no clock.
package terminal
