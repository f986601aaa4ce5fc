// Package transfer follows files on their way: SFTP, scp and rsync are read in passing, and every operation is told
// with path, size, result, duration and hash.
//
// A Watcher stands in the middle of one conversation. Bytes from the user and from the target are handed to it as they
// come, in pieces of any size; it passes them on, and tells each Operation before the answer that completes it is
// delivered. SFTP is held to its protocol and to limits: what is not SFTP ends the conversation, and what the limits
// refuse never reaches the target, while the user is answered as the target would. scp and rsync are only watched.
//
// The package is pure: bytes and the time go in, bytes and operations come out. It never keeps contents of files, and
// what it holds of a conversation is bounded, by constants in sftp.go, scp.go and rsync_list.go.
package transfer

import (
	"errors"
	"time"
)

// Protocols of an Operation.
const (
	SFTP  = "sftp"
	SCP   = "scp"
	Rsync = "rsync"
)

// Opened is the result of an Operation that has only begun.
const Opened = "opened"

// Operation is one thing that was done, or refused, to a file.
type Operation struct {
	Protocol string `json:"protocol"`
	// Name says what: "download" or "upload" of a file moved in one piece; "read", "write" (of parts), "open" (opened
	// and closed without either), "list", "rename", "remove", "mkdir", "rmdir", "link", "symlink", "mknod", "setstat",
	// "copy", or the name of a protocol extension that may change something. What only looks ("stat", "readlink",
	// "realpath", "statvfs", "home-directory", "limits", "users-groups-by-id") is told only when it was refused.
	Name string `json:"operation"`
	// Path is absolute where the wire says so; To is the second path of a rename, link, symlink or copy, the one that
	// is made. Of a symlink Path is what it points to, as written. What scp and rsync put into a folder that exists, and
	// onto a path that does not, looks the same: then Path is that of the command, and To where it is if that is a folder.
	Path string `json:"path"`
	To   string `json:"to,omitempty"`
	// Bytes that were moved.
	Bytes int64 `json:"bytes,omitempty"`
	// Result is "ok", Opened, "refused" by limits, "unfinished" where the conversation ended first, "not followed" where scp or
	// rsync stopped to make sense and is recorded as it is, or the target's error; rsync has a few more (see NewRsync).
	Result string `json:"result"`
	// Why says in a few words which limit refused it, for the person and the log; empty for every other result.
	Why string `json:"why,omitempty"`
	// Started is since the session's start, Took until the answer.
	Started time.Duration `json:"-"`
	Took    time.Duration `json:"took"`
	// SHA256 is the hex hash of a file that was moved in one piece, from its first byte to its end.
	SHA256 string `json:"sha256,omitempty"`
}

// Outlet is where a Watcher puts what comes out.
type Outlet struct {
	// Target writes to the target.
	Target func(p []byte) error
	// User writes to the user. told says that what p is has been told by Tell, so that its bytes need no keeping.
	User func(p []byte, told bool) error
	// Tell takes an operation; the answer that completes it is delivered after Tell has returned.
	Tell func(Operation) error
	// Begin takes what was opened by SFTP, with the result Opened, before anything can be done with it; may be nil. What
	// comes of it is told when it is closed.
	Begin func(Operation) error
	// Clock is the time since the session's start.
	Clock func() time.Duration
}

// Watcher follows one conversation. FromUser and FromTarget may run beside each other.
type Watcher interface {
	// FromUser takes what the user sent. p may be changed and is not kept.
	FromUser(p []byte) error
	// FromTarget takes what the target sent. p may be changed and is not kept.
	FromTarget(p []byte) error
	// Close tells what was under way.
	Close() error
}

// ErrProtocol is in errors about what is not the protocol that it should be.
var ErrProtocol = errors.New("not the protocol")
