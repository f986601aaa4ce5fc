package transfer

// sftpAct is what a request does to files, the harmless first.
type sftpAct uint8

const (
	sftpReads   sftpAct = iota // changes nothing
	sftpChanges                // changes a file, a folder or an attribute
	sftpRemoves                // takes away a file, its name, or what it holds
)

// Fields of a request, after its id (draft-ietf-secsh-filexfer-02 §6). Paths differ in how they are resolved:
const (
	fieldFollowed = 'f' // a path whose links are followed to the end
	fieldEntry    = 'e' // a path that means the link itself, if it is one
	fieldNamed    = 'n' // a name that is made or taken away: the folder that holds it is changed
	fieldPointed  = 't' // what a symbolic link is to point to
	fieldExpanded = 'x' // a path that may start with "~"
	fieldHandle   = 'h'
	fieldText     = 's'
	fieldAttrs    = 'a'
	fieldNumber   = '4' // uint32
	fieldLong     = '8' // uint64
	fieldAnything = '*' // all that is left
)

// What may answer a request beside STATUS.
const (
	byHandle = 1 << iota
	byData
	byName
	byAttrs
	byExtended
	byStatus // STATUS may say that all went well
)

// sftpSpec is one kind of request.
type sftpSpec struct {
	// name is that of its Operation.
	name string
	// tells says that it is an Operation, told with its answer. What else there is, is told only when it is refused.
	tells  bool
	fields string
	by     uint8
	act    sftpAct
}

var sftpSpecs = [256]*sftpSpec{
	fxpOpen:     {name: "open", fields: "f4a", by: byHandle},
	fxpClose:    {name: "close", fields: "h", by: byStatus},
	fxpRead:     {name: "read", fields: "h84", by: byData},
	fxpWrite:    {name: "write", fields: "h84", by: byStatus, act: sftpChanges},
	fxpLstat:    {name: "stat", fields: "e", by: byAttrs},
	fxpFstat:    {name: "stat", fields: "h", by: byAttrs},
	fxpSetstat:  {name: "setstat", tells: true, fields: "fa", by: byStatus, act: sftpChanges},
	fxpFsetstat: {name: "setstat", tells: true, fields: "ha", by: byStatus, act: sftpChanges},
	fxpOpendir:  {name: "list", fields: "f", by: byHandle},
	fxpReaddir:  {name: "list", fields: "h", by: byName},
	fxpRemove:   {name: "remove", tells: true, fields: "n", by: byStatus, act: sftpRemoves},
	fxpMkdir:    {name: "mkdir", tells: true, fields: "na", by: byStatus, act: sftpChanges},
	fxpRmdir:    {name: "rmdir", tells: true, fields: "n", by: byStatus, act: sftpRemoves},
	fxpRealpath: {name: "realpath", fields: "f", by: byName},
	fxpStat:     {name: "stat", fields: "f", by: byAttrs},
	fxpRename:   {name: "rename", tells: true, fields: "nn", by: byStatus, act: sftpRemoves},
	fxpReadlink: {name: "readlink", fields: "e", by: byName},
	// OpenSSH's order, the reverse of the draft's: what is pointed to, then the link (PROTOCOL §4.1).
	fxpSymlink: {name: "symlink", tells: true, fields: "tn", by: byStatus, act: sftpChanges},
	// The extension's name says more.
	fxpExtended: {},
}

// Extensions of OpenSSH (PROTOCOL §4.3–4.12).
var sftpExtensions = map[string]*sftpSpec{
	"posix-rename@openssh.com":       {name: "rename", tells: true, fields: "nn", by: byStatus, act: sftpRemoves},
	"hardlink@openssh.com":           {name: "link", tells: true, fields: "fn", by: byStatus, act: sftpChanges},
	"lsetstat@openssh.com":           {name: "setstat", tells: true, fields: "ea", by: byStatus, act: sftpChanges},
	"copy-data":                      {name: "copy", tells: true, fields: "h88h8", by: byStatus, act: sftpChanges},
	"fsync@openssh.com":              {name: "fsync", fields: "h", by: byStatus},
	"expand-path@openssh.com":        {name: "realpath", fields: "x", by: byName},
	"home-directory":                 {name: "home-directory", fields: "s", by: byName},
	"limits@openssh.com":             {name: "limits", by: byExtended},
	"statvfs@openssh.com":            {name: "statvfs", fields: "f", by: byExtended},
	"fstatvfs@openssh.com":           {name: "statvfs", fields: "h", by: byExtended},
	"users-groups-by-id@openssh.com": {name: "users-groups-by-id", fields: "ss", by: byExtended},
}

// Requests that are looked up by what they are.
var (
	sftpOpen     = sftpSpecs[fxpOpen]
	sftpClose    = sftpSpecs[fxpClose]
	sftpRead     = sftpSpecs[fxpRead]
	sftpWrite    = sftpSpecs[fxpWrite]
	sftpFstat    = sftpSpecs[fxpFstat]
	sftpFsetstat = sftpSpecs[fxpFsetstat]
	sftpOpendir  = sftpSpecs[fxpOpendir]
	sftpRealpath = sftpSpecs[fxpRealpath]
	sftpExpand   = sftpExtensions[expandPath]
	sftpHome     = sftpExtensions["home-directory"]
	sftpReaddir  = sftpSpecs[fxpReaddir]
	sftpCopy     = sftpExtensions["copy-data"]
)

// versionSelect would change the protocol under way (draft-ietf-secsh-filexfer-13 §5.5); it is never passed on.
const versionSelect = "version-select"

// unknownSpec is of an extension that is not known: it is told under its own name, and may change something.
func unknownSpec(name []byte) *sftpSpec {
	return &sftpSpec{name: printable(name, 64), tells: true, fields: string(fieldAnything),
		by: byName | byAttrs | byExtended | byStatus, act: sftpRemoves}
}

func (s *sftpSpec) unknown() bool { return s.fields == string(fieldAnything) }

// requestTypes are those that may come once the version is agreed.
func requestTypes(t byte) bool { return sftpSpecs[t] != nil }

func answerTypes(t byte) bool { return t >= fxpStatus && t <= fxpAttrs || t == fxpExtendedReply }

func onlyType(only byte) func(byte) bool { return func(t byte) bool { return t == only } }

// answeredBy is the bit for an answer's type.
func answeredBy(t byte) uint8 {
	switch t {
	case fxpHandle:
		return byHandle
	case fxpData:
		return byData
	case fxpName:
		return byName
	case fxpAttrs:
		return byAttrs
	case fxpExtendedReply:
		return byExtended
	}
	return byStatus
}
