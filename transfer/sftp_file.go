package transfer

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"time"
)

// sftpFile is an open file or folder, from the HANDLE that named it until the answer to its CLOSE.
type sftpFile struct {
	path    string
	order   uint64
	started time.Duration
	folder  bool
	flags   uint32
	may     sftpAct // the furthest that limits let be done through the handle

	read, wrote bool   // something was
	failed      string // the first error of a READ or WRITE
	bytes       int64  // moved: passed on to the user, or written as the target says
	down, up    sftpPiece
	unanswered  int    // WRITEs under way
	ended       bool   // the target said that the file ends where down does
	size        uint64 // as the target said last, if sized
	sized       bool
	reach       uint64 // size that the user gave the file, beyond what it had written
	fitted      bool   // the user gave the file the size that it had written, and nothing else is left in it
	refused     bool   // a refused WRITE was told
}

// sftpPiece are the data of one direction, as long as they come from offset 0 on without gap or overlap.
type sftpPiece struct {
	next   uint64
	broken bool
	sum    hash.Hash
}

// take says that n bytes at offset come now; it is true if they are to be hashed.
func (p *sftpPiece) take(offset uint64, n uint32) bool {
	if p.broken || offset != p.next {
		p.spoil()
		return false
	}
	if p.sum == nil {
		p.sum = sha256.New()
	}
	p.next += uint64(n)
	return true
}

// spoil says that the data are not in one piece.
func (p *sftpPiece) spoil() { p.broken, p.sum = true, nil }

func (p *sftpPiece) hex() string {
	if p.sum == nil {
		return hex.EncodeToString(sha256.New().Sum(nil))
	}
	return hex.EncodeToString(p.sum.Sum(nil))
}

// fresh says that nothing is in the file that was there when it was opened: it was empty then, or was cut to what had
// been written, as scp does.
func (f *sftpFile) fresh() bool {
	return f.fitted || f.flags&fxfTrunc != 0 || f.flags&(fxfCreate|fxfExcl) == fxfCreate|fxfExcl
}

// cut takes in that the user gave the file a size; it is true if that is what was written in one piece. What is
// appended does not go where the WRITE says, so that of it nothing is known.
func (f *sftpFile) cut(size uint64) (fits bool) {
	f.reach = max(f.reach, size)
	if size < f.up.next {
		f.up.spoil()
	}
	return size == f.up.next && !f.up.broken && f.flags&fxfAppend == 0
}

// fit takes in that the file has the size that the user gave it.
func (f *sftpFile) fit(fits bool) {
	if fits {
		f.fitted = true
	}
}

// end takes in that the target said at offset that the file ends.
func (f *sftpFile) end(offset uint64) {
	f.read = true
	switch {
	case offset == f.down.next:
		f.ended = true
	case offset < f.down.next:
		f.down.spoil()
	}
}

func (f *sftpFile) fail(result string) {
	if f.failed == "" {
		f.failed = result
	}
}

// uploading says that the file was only written, in one piece so far.
func (f *sftpFile) uploading() bool { return !f.read && f.fresh() && !f.up.broken }

// downloading says that the file was only read, in one piece so far.
func (f *sftpFile) downloading() bool { return f.read && !f.wrote && !f.down.broken }

// uploaded says that what was written is the whole file.
func (f *sftpFile) uploaded() bool {
	return f.uploading() && f.unanswered == 0 && f.reach <= f.up.next && f.failed == ""
}

// downloaded says that what was read is the whole file, as far as the target told its end.
func (f *sftpFile) downloaded() bool {
	return f.downloading() && (f.ended || f.sized && f.size == f.down.next) && f.failed == ""
}

// operation is what was done with the file, once it is closed.
func (f *sftpFile) operation(closed string) Operation {
	op := f.begun(closed)
	switch {
	case op.Result != "ok":
	case f.uploaded():
		op.SHA256 = f.up.hex()
	case f.downloaded():
		op.SHA256 = f.down.hex()
	case f.wrote:
		op.Name = "write"
	case f.read:
		op.Name = "read"
	}
	return op
}

// begun is what was done with the file, with a result that came before all was done.
func (f *sftpFile) begun(result string) Operation {
	op := Operation{Protocol: SFTP, Name: "open", Path: f.path, Bytes: f.bytes, Result: result, Started: f.started}
	if f.failed != "" && result == "ok" {
		op.Result = f.failed
	}
	switch {
	case f.folder:
		op.Name = "list"
	case f.uploading():
		op.Name = "upload"
	case f.wrote:
		op.Name = "write"
	case f.downloading():
		op.Name = "download"
	case f.read:
		op.Name = "read"
	}
	return op
}
