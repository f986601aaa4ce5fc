package transfer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/transfer"
)

// Packet types, as the draft numbers them.
const (
	pInit, pVersion                                      = 1, 2
	pOpen, pClose, pRead, pWrite, pLstat, pFstat         = 3, 4, 5, 6, 7, 8
	pSetstat, pFsetstat, pOpendir, pReaddir, pRemove     = 9, 10, 11, 12, 13
	pMkdir, pRmdir, pRealpath, pStat, pRename            = 14, 15, 16, 17, 18
	pReadlink, pSymlink                                  = 19, 20
	pStatus, pHandle, pData, pName, pAttrs, pExtended    = 101, 102, 103, 104, 105, 200
	pExtendedReply                                       = 201
	oRead, oWrite, oAppend, oCreate, oTrunc, oExcl       = 1, 2, 4, 8, 16, 32
	sOK, sEOF, sMissing, sDenied, sFailure, sUnsupported = 0, 1, 2, 3, 4, 8
)

type u32 = uint32
type u64 = uint64

// raw are bytes of a packet that are no string.
type raw []byte

// noAttrs are attributes that say nothing, sized some that say a size.
var noAttrs = raw{0, 0, 0, 0}

func sized(n uint64) raw { return binary.BigEndian.AppendUint64(raw{0, 0, 0, 1}, n) }

func mode(m uint32) raw { return binary.BigEndian.AppendUint32(raw{0, 0, 0, 4}, m) }

// moded are a size and a mode.
func moded(n uint64, mode uint32) raw {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(raw{0, 0, 0, 5}, n), mode)
}

// pkt makes a packet.
func pkt(kind byte, fields ...any) []byte {
	b := []byte{0, 0, 0, 0, kind}
	for _, field := range fields {
		switch v := field.(type) {
		case int:
			b = binary.BigEndian.AppendUint32(b, uint32(v))
		case uint32:
			b = binary.BigEndian.AppendUint32(b, v)
		case uint64:
			b = binary.BigEndian.AppendUint64(b, v)
		case string:
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
		case raw:
			b = append(b, v...)
		default:
			panic(fmt.Sprintf("field of %T", field))
		}
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func status(id, code int, text string) []byte { return pkt(pStatus, id, code, text, "") }
func ok(id int) []byte                        { return status(id, sOK, "Success") }
func name(id int, path string) []byte         { return pkt(pName, id, 1, path, path, noAttrs) }

var (
	hello   = pkt(pInit, 3)
	welcome = pkt(pVersion, 3, "posix-rename@openssh.com", "1", "expand-path@openssh.com", "1")
)

// rig is a watcher and what came out of it.
type rig struct {
	*transfer.SFTPWatcher
	mu               sync.Mutex
	toTarget, toUser bytes.Buffer
	told             []transfer.Operation
	clock            time.Duration
	onTell           func(transfer.Operation)
	onTarget, onUser func([]byte)
}

var everything = []sekisho.FileLimit{{}}

func newRig(limits []sekisho.FileLimit) *rig {
	r := new(rig)
	r.SFTPWatcher = transfer.NewSFTP(limits, transfer.Outlet{
		Target: func(p []byte) error {
			r.mu.Lock()
			r.toTarget.Write(p)
			hook := r.onTarget
			r.mu.Unlock()
			if hook != nil {
				hook(p)
			}
			return nil
		},
		User: func(p []byte, told bool) error {
			if !told {
				return errors.New("bytes for the user that are not told")
			}
			r.mu.Lock()
			r.toUser.Write(p)
			hook := r.onUser
			r.mu.Unlock()
			if hook != nil {
				hook(p)
			}
			return nil
		},
		Tell: func(op transfer.Operation) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.told = append(r.told, op)
			if r.onTell != nil {
				r.onTell(op)
			}
			return nil
		},
		Clock: r.clockNow,
	})
	return r
}

// step is what one side sends.
type step struct {
	fromTarget bool
	b          []byte
}

func user(packets ...[]byte) step   { return step{false, bytes.Join(packets, nil)} }
func target(packets ...[]byte) step { return step{true, bytes.Join(packets, nil)} }

// run plays steps, each cut into pieces of the sizes that cut gives.
func (r *rig) run(steps []step, cut func() int) error {
	for i, s := range steps {
		b := bytes.Clone(s.b) // a watcher may change it
		for len(b) > 0 {
			n := min(max(cut(), 1), len(b))
			take := r.FromUser
			if s.fromTarget {
				take = r.FromTarget
			}
			if err := take(b[:n:n]); err != nil {
				return fmt.Errorf("step %d: %w", i, err)
			}
			b = b[n:]
		}
	}
	return nil
}

// sides are all that each side sends.
func sides(steps []step) (user, target []byte) {
	for _, s := range steps {
		if s.fromTarget {
			target = append(target, s.b...)
		} else {
			user = append(user, s.b...)
		}
	}
	return user, target
}

// whole is a cut that leaves steps whole, every one that makes pieces of n bytes.
func whole() int { return 1 << 30 }

func every(n int) func() int { return func() int { return n } }

// within fails the test if do takes too long, as what blocks for ever does.
func within(t testing.TB, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not end", what)
	}
}

// packets cuts a stream into packets, and says why it is not one. Only the last may be cut off, and only in the payload of
// a READ's or WRITE's data.
func packets(b []byte, fromTarget bool) (all [][]byte, err error) {
	for len(b) > 0 {
		if len(b) < 9 {
			return all, fmt.Errorf("%d bytes at the end", len(b))
		}
		length, kind := int(binary.BigEndian.Uint32(b)), b[4]
		if length < 5 || length > 256<<10+1024+8192 {
			return all, fmt.Errorf("packet of %d bytes", length)
		}
		answer := kind == pVersion || kind >= pStatus && kind <= pAttrs || kind == pExtendedReply
		request := kind == pInit || kind >= pOpen && kind <= pSymlink || kind == pExtended
		if fromTarget && !answer || !fromTarget && !request {
			return all, fmt.Errorf("packet of type %d", kind)
		}
		if len(b) < 4+length {
			if kind != pData && kind != pWrite {
				return all, fmt.Errorf("packet of type %d is cut off", kind)
			}
			return append(all, b), nil
		}
		all = append(all, b[:4+length])
		b = b[4+length:]
	}
	return all, nil
}

func (r *rig) clockNow() time.Duration { return r.clock }
