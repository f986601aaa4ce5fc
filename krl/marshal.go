package krl

import "encoding/binary"

const magic = "SSHKRL\n\x00"

const version = 1

// Sections, and those within a section of certificates.
const (
	sectionCertificates = 1
	sectionKeys         = 2
	sectionSHA1         = 3
	sectionSignature    = 4
	sectionSHA256       = 5
	sectionExtension    = 255

	certificateList      = 0x20
	certificateRange     = 0x21
	certificateBitmap    = 0x22
	certificateKeyIDs    = 0x23
	certificateExtension = 0x39
)

// Marshal writes the list as a file for RevokedKeys. Lists that revoke the same give the same bytes, whatever the order
// of what they hold, if number, time and comment are the same. It refuses a serial of 0, a text with a zero byte, a
// certificate for a key, and more than MaxEntries or MaxSize.
func (l *List) Marshal() ([]byte, error) {
	f, err := l.form()
	if err != nil {
		return nil, err
	}
	b := append([]byte(magic), 0, 0, 0, version)
	b = binary.BigEndian.AppendUint64(b, f.number)
	b = binary.BigEndian.AppendUint64(b, f.generated)
	b = binary.BigEndian.AppendUint64(b, 0) // flags
	b = appendString(b, "")                 // reserved
	b = appendString(b, f.comment)
	for _, a := range f.authorities {
		b = appendSection(b, sectionCertificates, a.append)
	}
	b = appendStrings(b, sectionKeys, f.keys)
	b = appendStrings(b, sectionSHA1, f.sha1)
	b = appendStrings(b, sectionSHA256, f.sha256)
	if len(b) > MaxSize {
		return nil, errSize
	}
	return b, nil
}

func (a authority) append(b []byte) []byte {
	b = appendString(b, a.blob)
	b = appendString(b, "") // reserved
	b = appendSerials(b, a.serials)
	return appendStrings(b, certificateKeyIDs, a.keyIDs)
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// appendStrings writes a section of strings, and none of no strings.
func appendStrings[T string | []byte](b []byte, kind byte, all []T) []byte {
	if len(all) == 0 {
		return b
	}
	return appendSection(b, kind, func(b []byte) []byte {
		for _, s := range all {
			b = appendString(b, s)
		}
		return b
	})
}

// appendSection writes what body appends, behind its type and length.
func appendSection(b []byte, kind byte, body func([]byte) []byte) []byte {
	b = append(b, kind, 0, 0, 0, 0)
	start := len(b)
	b = body(b)
	binary.BigEndian.PutUint32(b[start-4:], uint32(len(b)-start))
	return b
}
