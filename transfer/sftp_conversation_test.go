package transfer_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sekisho/sekisho/transfer"
)

func hash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "")))
	return hex.EncodeToString(sum[:])
}

func op(name, path, to, result string, bytes int64, sum string) transfer.Operation {
	return transfer.Operation{Protocol: "sftp", Name: name, Path: path, To: to, Result: result, Bytes: bytes, SHA256: sum}
}

var big = strings.Repeat("0123456789abcdef", 2048) // 32 KiB

func opened(id int, path string, flags int, handle string) []step {
	return []step{user(pkt(pOpen, id, path, flags, noAttrs)), target(pkt(pHandle, id, handle))}
}

func closed(id int, handle string) []step {
	return []step{user(pkt(pClose, id, handle)), target(ok(id))}
}

func join(parts ...[]step) (all []step) {
	all = append(all, user(hello), target(welcome))
	for _, part := range parts {
		all = append(all, part...)
	}
	return all
}

func ext(id int, name string, fields ...any) []byte {
	return pkt(pExtended, append([]any{id, name}, fields...)...)
}

var conversations = map[string]struct {
	steps []step
	told  []transfer.Operation
}{
	"download until its end": {join(
		opened(1, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 2, "h", u64(0), 32768), pkt(pRead, 3, "h", u64(32768), 32768), pkt(pRead, 4, "h", u64(65536), 32768)),
			target(pkt(pData, 2, big), pkt(pData, 3, "tail"), status(4, sEOF, "End of file")),
			user(pkt(pRead, 5, "h", u64(32772), 32764)), target(status(5, sEOF, "End of file"))},
		closed(6, "h")),
		[]transfer.Operation{op("download", "/f", "", "ok", 32772, hash(big, "tail"))}},
	"download of what its size said": {join(
		[]step{user(pkt(pStat, 1, "/f")), target(pkt(pAttrs, 1, moded(4, 0o100644)))},
		opened(2, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 3, "h", u64(0), 4)), target(pkt(pData, 3, "tail"))},
		closed(4, "h")),
		[]transfer.Operation{op("download", "/f", "", "ok", 4, hash("tail"))}},
	"the size of a link says nothing": {join(
		[]step{user(pkt(pLstat, 1, "/f")), target(pkt(pAttrs, 1, moded(4, 0o120777)))},
		opened(2, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 3, "h", u64(0), 4)), target(pkt(pData, 3, "tail"))},
		closed(4, "h")),
		[]transfer.Operation{op("read", "/f", "", "ok", 4, "")}},
	"a size from before a change says nothing": {join(
		[]step{user(pkt(pStat, 1, "/f")), target(pkt(pAttrs, 1, sized(4))),
			user(pkt(pSetstat, 9, "/f", sized(99))), target(ok(9))},
		opened(2, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 3, "h", u64(0), 4)), target(pkt(pData, 3, "tail"))},
		closed(4, "h")),
		[]transfer.Operation{op("setstat", "/f", "", "ok", 0, ""), op("read", "/f", "", "ok", 4, "")}},
	"download of what FSTAT said": {join(
		opened(2, "/f", oRead, "h"),
		[]step{user(pkt(pFstat, 1, "h")), target(pkt(pAttrs, 1, sized(4))),
			user(pkt(pRead, 3, "h", u64(0), 4)), target(pkt(pData, 3, "tail"))},
		closed(4, "h")),
		[]transfer.Operation{op("download", "/f", "", "ok", 4, hash("tail"))}},
	"download of an empty file": {join(
		opened(1, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 2, "h", u64(0), 9)), target(status(2, sEOF, ""))}, closed(3, "h")),
		[]transfer.Operation{op("download", "/f", "", "ok", 0, hash())}},
	"data asked for in any order, given in the file's": {join(
		opened(1, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 2, "h", u64(3), 3), pkt(pRead, 3, "h", u64(0), 3)), target(pkt(pData, 3, "abc"), pkt(pData, 2, "def")),
			user(pkt(pRead, 2, "h", u64(6), 3)), target(status(2, sEOF, ""))}, closed(3, "h")),
		[]transfer.Operation{op("download", "/f", "", "ok", 6, hash("abcdef"))}},
	"data given out of order": {join(
		opened(1, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 2, "h", u64(0), 3), pkt(pRead, 3, "h", u64(3), 3)), target(pkt(pData, 3, "def"), pkt(pData, 2, "abc")),
			user(pkt(pRead, 2, "h", u64(6), 3)), target(status(2, sEOF, ""))}, closed(3, "h")),
		[]transfer.Operation{op("read", "/f", "", "ok", 6, "")}},
	"a download broken off": {join(
		opened(1, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 2, "h", u64(0), 3)), target(pkt(pData, 2, "abc"))}, closed(3, "h")),
		[]transfer.Operation{op("read", "/f", "", "ok", 3, "")}},
	"a part of a file": {join(
		opened(1, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 2, "h", u64(7), 3)), target(pkt(pData, 2, "abc")),
			user(pkt(pRead, 2, "h", u64(10), 3)), target(status(2, sEOF, ""))}, closed(3, "h")),
		[]transfer.Operation{op("read", "/f", "", "ok", 3, "")}},
	"a part read twice": {join(
		opened(1, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 2, "h", u64(0), 3)), target(pkt(pData, 2, "abc")),
			user(pkt(pRead, 2, "h", u64(0), 3)), target(pkt(pData, 2, "abc")),
			user(pkt(pRead, 2, "h", u64(3), 3)), target(status(2, sEOF, ""))}, closed(3, "h")),
		[]transfer.Operation{op("read", "/f", "", "ok", 6, "")}},
	"a read that fails": {join(
		opened(1, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 2, "h", u64(0), 3)), target(status(2, sFailure, "bad\x07disk"))}, closed(3, "h")),
		[]transfer.Operation{op("download", "/f", "", "failure: bad?disk", 0, "")}},
	"an end that moved away": {join(
		opened(1, "/f", oRead, "h"),
		[]step{user(pkt(pRead, 2, "h", u64(0), 3)), target(status(2, sEOF, "")),
			user(pkt(pRead, 2, "h", u64(0), 3)), target(pkt(pData, 2, "abc"))}, closed(3, "h")),
		[]transfer.Operation{op("read", "/f", "", "ok", 3, "")}},
	"upload": {join(
		opened(1, "/f", oWrite|oCreate|oTrunc, "h"),
		[]step{user(pkt(pWrite, 2, "h", u64(0), big), pkt(pWrite, 3, "h", u64(32768), "tail")), target(ok(2), ok(3))},
		closed(4, "h")),
		[]transfer.Operation{op("upload", "/f", "", "ok", 32772, hash(big, "tail"))}},
	"upload of a file that is new": {join(
		opened(1, "/f", oWrite|oCreate|oExcl, "h"),
		[]step{user(pkt(pWrite, 2, "h", u64(0), "tail")), target(ok(2))}, closed(4, "h")),
		[]transfer.Operation{op("upload", "/f", "", "ok", 4, hash("tail"))}},
	"upload of nothing": {join(opened(1, "/f", oWrite|oCreate|oTrunc, "h"), closed(4, "h")),
		[]transfer.Operation{op("upload", "/f", "", "ok", 0, hash())}},
	"upload into room made before": {join(
		opened(1, "/f", oWrite|oTrunc, "h"),
		[]step{user(pkt(pFsetstat, 5, "h", sized(4))), target(ok(5)), user(pkt(pWrite, 2, "h", u64(0), "tail")), target(ok(2))}, closed(4, "h")),
		[]transfer.Operation{op("setstat", "/f", "", "ok", 0, ""), op("upload", "/f", "", "ok", 4, hash("tail"))}},
	"upload into too much room": {join(
		opened(1, "/f", oWrite|oTrunc, "h"),
		[]step{user(pkt(pFsetstat, 5, "h", sized(5))), target(ok(5)), user(pkt(pWrite, 2, "h", u64(0), "tail")), target(ok(2))}, closed(4, "h")),
		[]transfer.Operation{op("setstat", "/f", "", "ok", 0, ""), op("write", "/f", "", "ok", 4, "")}},
	"upload cut short": {join(
		opened(1, "/f", oWrite|oTrunc, "h"),
		[]step{user(pkt(pWrite, 2, "h", u64(0), "tail")), target(ok(2)), user(pkt(pFsetstat, 5, "h", sized(1))), target(ok(5))}, closed(4, "h")),
		[]transfer.Operation{op("setstat", "/f", "", "ok", 0, ""), op("write", "/f", "", "ok", 4, "")}},
	"upload over what was there, cut to its size, as scp does": {join(
		opened(1, "/f", oWrite|oCreate, "h"),
		[]step{user(pkt(pWrite, 2, "h", u64(0), "tail"), pkt(pFsetstat, 3, "h", sized(4))), target(ok(2), ok(3))}, closed(4, "h")),
		[]transfer.Operation{op("setstat", "/f", "", "ok", 0, ""), op("upload", "/f", "", "ok", 4, hash("tail"))}},
	"a write over what was there, not cut to its size": {join(
		opened(1, "/f", oWrite|oCreate, "h"),
		[]step{user(pkt(pWrite, 2, "h", u64(0), "tail"), pkt(pFsetstat, 3, "h", sized(4))), target(ok(2), status(3, sDenied, "Permission denied"))}, closed(4, "h")),
		[]transfer.Operation{op("setstat", "/f", "", "permission denied", 0, ""), op("write", "/f", "", "ok", 4, "")}},
	"an append to what was there, cut to its size": {join(
		opened(1, "/f", oWrite|oAppend, "h"),
		[]step{user(pkt(pWrite, 2, "h", u64(0), "tail"), pkt(pFsetstat, 3, "h", sized(4))), target(ok(2), ok(3))}, closed(4, "h")),
		[]transfer.Operation{op("setstat", "/f", "", "ok", 0, ""), op("write", "/f", "", "ok", 4, "")}},
	"a write to what was there": {join(
		opened(1, "/f", oWrite|oCreate, "h"),
		[]step{user(pkt(pWrite, 2, "h", u64(0), "tail")), target(ok(2))}, closed(4, "h")),
		[]transfer.Operation{op("write", "/f", "", "ok", 4, "")}},
	"a write with a gap": {join(
		opened(1, "/f", oWrite|oTrunc, "h"),
		[]step{user(pkt(pWrite, 2, "h", u64(1), "tail")), target(ok(2))}, closed(4, "h")),
		[]transfer.Operation{op("write", "/f", "", "ok", 4, "")}},
	"a write that fails": {join(
		opened(1, "/f", oWrite|oTrunc, "h"),
		[]step{user(pkt(pWrite, 2, "h", u64(0), "ab"), pkt(pWrite, 3, "h", u64(2), "cd")), target(ok(2), status(3, sFailure, "Failure"))}, closed(4, "h")),
		[]transfer.Operation{op("upload", "/f", "", "failure", 2, "")}},
	"reads and writes": {join(
		opened(1, "/f", oRead|oWrite|oTrunc, "h"),
		[]step{user(pkt(pWrite, 2, "h", u64(0), "tail")), target(ok(2)), user(pkt(pRead, 2, "h", u64(0), 9)), target(pkt(pData, 2, "tail"))}, closed(4, "h")),
		[]transfer.Operation{op("write", "/f", "", "ok", 8, "")}},
	"open and no more": {join(opened(1, "/f", oRead, "h"), closed(4, "h")),
		[]transfer.Operation{op("open", "/f", "", "ok", 0, "")}},
	"no open": {join([]step{user(pkt(pOpen, 1, "/f", oRead, noAttrs)), target(status(1, sDenied, "Permission denied"))}),
		[]transfer.Operation{op("open", "/f", "", "permission denied", 0, "")}},
	"list": {join(
		[]step{user(pkt(pRealpath, 9, ".")), target(name(9, "/home/u")), user(pkt(pOpendir, 1, "d")), target(pkt(pHandle, 1, "h")),
			user(pkt(pReaddir, 2, "h")), target(pkt(pName, 2, 2, "a", "-rw a", moded(1, 0o100600), "b", "-rw b", noAttrs)),
			user(pkt(pReaddir, 2, "h")), target(status(2, sEOF, ""))}, closed(4, "h"),
		[]step{user(pkt(pOpendir, 1, "e")), target(status(1, sMissing, "No such file"))}),
		[]transfer.Operation{op("list", "/home/u/d", "", "ok", 0, ""), op("list", "/home/u/e", "", "no such file", 0, "")}},
	"names": {join(
		[]step{user(pkt(pRename, 1, "a", "b"), ext(2, "posix-rename@openssh.com", "b", "/c"), ext(3, "hardlink@openssh.com", "x", "y"),
			pkt(pSymlink, 4, "points", "link"), pkt(pRemove, 5, "gone"), pkt(pMkdir, 6, "d", noAttrs), pkt(pRmdir, 7, "d"),
			pkt(pSetstat, 8, "s", moded(1, 0o600)), ext(9, "lsetstat@openssh.com", "l", noAttrs)),
			target(ok(1), ok(2), ok(3), ok(4), status(5, sMissing, "No such file"), ok(6), status(7, sFailure, "Directory not empty"), ok(8), ok(9))}),
		[]transfer.Operation{op("rename", "a", "b", "ok", 0, ""), op("rename", "b", "/c", "ok", 0, ""), op("link", "x", "y", "ok", 0, ""),
			op("symlink", "points", "link", "ok", 0, ""), op("remove", "gone", "", "no such file", 0, ""), op("mkdir", "d", "", "ok", 0, ""),
			op("rmdir", "d", "", "failure: Directory not empty", 0, ""), op("setstat", "s", "", "ok", 0, ""), op("setstat", "l", "", "ok", 0, "")}},
	"copy": {join(
		opened(1, "/a", oRead, "1"), opened(2, "/b", oWrite|oTrunc, "2"),
		[]step{user(ext(3, "copy-data", "1", u64(0), u64(77), "2", u64(0))), target(ok(3))}, closed(4, "2"), closed(5, "1")),
		[]transfer.Operation{op("copy", "/a", "/b", "ok", 77, ""), op("open", "/b", "", "ok", 0, ""), op("open", "/a", "", "ok", 0, "")}},
	"what is not told": {join(
		opened(1, "/a", oRead, "1"),
		[]step{user(pkt(pStat, 2, "/x"), pkt(pLstat, 3, "/x"), pkt(pRealpath, 4, "/x"), pkt(pReadlink, 5, "/x"), ext(6, "limits@openssh.com"),
			ext(7, "statvfs@openssh.com", "/"), ext(8, "fstatvfs@openssh.com", "1"), ext(9, "home-directory", ""), ext(10, "fsync@openssh.com", "1"),
			ext(11, "expand-path@openssh.com", "~"), ext(12, "users-groups-by-id@openssh.com", "\x00\x00\x00\x00", "")),
			target(pkt(pAttrs, 2, noAttrs), status(3, sMissing, ""), name(4, "/x"), name(5, "y"), pkt(pExtendedReply, 6, raw("limits")),
				pkt(pExtendedReply, 7, raw("statvfs")), pkt(pExtendedReply, 8, raw{}), name(9, "/home"), ok(10), name(11, "/home"), pkt(pExtendedReply, 12, raw{}))},
		closed(13, "1")),
		[]transfer.Operation{op("open", "/a", "", "ok", 0, "")}},
	"an extension nobody knows": {join(
		[]step{user(ext(1, "frobnicate@example.com", raw{1, 2, 3})), target(pkt(pExtendedReply, 1, raw{9})), user(ext(1, "frob\nnicate")), target(status(1, sUnsupported, ""))}),
		[]transfer.Operation{op("frobnicate@example.com", "", "", "ok", 0, ""), op("frob?nicate", "", "", "operation unsupported", 0, "")}},
	"names that are no text": {join(
		[]step{user(pkt(pRemove, 1, "/a\xffb"), pkt(pRemove, 2, "/"+strings.Repeat("é", 4096))), target(ok(1), ok(2))}),
		[]transfer.Operation{op("remove", `/a\xffb`, "", "ok", 0, ""), op("remove", "/"+strings.Repeat("é", 2047), "", "ok", 0, "")}},
	"what is under way at the end": {join(
		opened(1, "/a", oRead, "1"), opened(2, "/b", oWrite|oTrunc, "2"),
		[]step{user(pkt(pRead, 3, "1", u64(0), 3)), target(pkt(pData, 3, "abc")), user(pkt(pWrite, 4, "2", u64(0), "abc")), target(ok(4)),
			user(pkt(pRemove, 5, "/c"), pkt(pOpen, 6, "/d", oRead, noAttrs), pkt(pStat, 7, "/e"), pkt(pClose, 8, "1"))}),
		[]transfer.Operation{op("upload", "/b", "", "unfinished", 3, ""), op("remove", "/c", "", "unfinished", 0, ""), op("open", "/d", "", "unfinished", 0, ""),
			op("download", "/a", "", "unfinished", 3, "")}},
}

var timeless = cmpopts.IgnoreFields(transfer.Operation{}, "Started", "Took")

// What the sides say goes through as it was, and is told, however it is cut into pieces.
func TestSFTPConversations(t *testing.T) {
	for name, c := range conversations {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 2, 3, 7, 64, 1000, 1 << 20} {
				r := newRig(everything)
				if err := r.run(c.steps, every(size)); err != nil {
					t.Fatalf("pieces of %d: %v", size, err)
				}
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				user, target := sides(c.steps)
				if !bytes.Equal(r.toTarget.Bytes(), user) || !bytes.Equal(r.toUser.Bytes(), target) {
					t.Errorf("pieces of %d: what came out is not what was sent", size)
				}
				if diff := cmp.Diff(c.told, r.told, timeless); diff != "" {
					t.Errorf("pieces of %d: told (-want +got):\n%s", size, diff)
				}
			}
		})
	}
}

// An operation is told before the last byte of the answer that completes it is delivered.
func TestSFTPTellsFirst(t *testing.T) {
	for name, c := range conversations {
		for _, size := range []int{1, 1 << 20} {
			r := newRig(everything)
			r.onTell = func(op transfer.Operation) {
				_, target := sides(c.steps)
				if op.Result != "unfinished" && r.toUser.Len() >= len(target) {
					t.Errorf("%s: %s is told when all is delivered", name, op.Name)
				}
			}
			if err := r.run(c.steps, every(size)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Random conversations with random cuts come out as they do in one piece.
func TestSFTPAnyCut(t *testing.T) {
	for seed := range uint64(200) {
		steps := randomConversation(rand.New(rand.NewPCG(seed, 1)))
		plain := newRig(everything)
		if err := plain.run(steps, whole); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		plain.Close()
		cuts := rand.New(rand.NewPCG(seed, 2))
		r := newRig(everything)
		if err := r.run(steps, func() int { return 1 + cuts.IntN(1+cuts.IntN(5000)) }); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		r.Close()
		if !bytes.Equal(r.toTarget.Bytes(), plain.toTarget.Bytes()) || !bytes.Equal(r.toUser.Bytes(), plain.toUser.Bytes()) {
			t.Errorf("seed %d: other bytes", seed)
		}
		if diff := cmp.Diff(plain.told, r.told, timeless); diff != "" {
			t.Errorf("seed %d: other operations:\n%s", seed, diff)
		}
	}
}

// randomConversation asks many things at once, and has them answered in any order.
func randomConversation(rnd *rand.Rand) []step {
	all := join()
	var waiting []step
	var open []string
	id := 10
	ask := func(packet []byte, answers ...[]byte) {
		all = append(all, user(packet))
		waiting = append(waiting, target(answers[rnd.IntN(len(answers))]))
		id++
	}
	answer := func() {
		i := rnd.IntN(len(waiting))
		all = append(all, waiting[i])
		waiting = append(waiting[:i], waiting[i+1:]...)
	}
	for i := range 60 {
		path := fmt.Sprint("/f", rnd.IntN(5))
		switch n := rnd.IntN(10); {
		case n < 2 && len(open) < 5:
			handle := fmt.Sprint("handle", i)
			for len(waiting) > 0 {
				answer()
			}
			all = append(all, opened(id, path, []int{oRead, oWrite | oTrunc, oRead | oWrite | oCreate}[rnd.IntN(3)], handle)...)
			open, id = append(open, handle), id+1
		case n < 7 && len(open) > 0:
			handle, offset, data := open[rnd.IntN(len(open))], u64(rnd.IntN(3)*100), big[:rnd.IntN(101)]
			if n < 5 {
				ask(pkt(pRead, id, handle, offset, 100), pkt(pData, id, data), status(id, sEOF, ""), status(id, sFailure, ""))
			} else {
				ask(pkt(pWrite, id, handle, offset, data), ok(id), ok(id), status(id, sFailure, ""))
			}
		case n == 7 && len(open) > 0:
			ask(pkt(pClose, id, open[0]), ok(id))
			open = open[1:]
		default:
			ask(pkt(pRename, id, path, path+"x"), ok(id), status(id, sFailure, "no"))
			ask(pkt(pStat, id, path), pkt(pAttrs, id, sized(100)))
		}
		for len(waiting) > 0 && rnd.IntN(3) > 0 {
			answer()
		}
	}
	return all
}
