package e2e_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// recut makes a changed copy of a recording, whose form is public (recording/FORMAT.md): "recut HOW FILE NEWFILE".
func recut(_ *traveller, args []string) error {
	file, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	header, frames, end, err := split(file)
	if err != nil {
		return err
	}
	if len(frames) < 4 {
		return fmt.Errorf("only %d frames: too few to play with", len(frames))
	}
	middle := len(frames) / 2
	switch how := args[0]; how {
	case "forge": // one bit of what was said
		frames[middle][len(frames[middle])-20] ^= 1
	case "drop":
		frames = append(frames[:middle:middle], frames[middle+1:]...)
	case "repeat":
		frames = append(frames[:middle+1:middle+1], frames[middle:]...)
	case "swap":
		frames[middle], frames[middle-1] = frames[middle-1], frames[middle]
	case "cut": // clean, between two frames
		frames, end = frames[:middle], nil
	case "tear": // in the middle of a frame
		frames[middle] = frames[middle][:len(frames[middle])/2]
		frames, end = frames[:middle+1], nil
	case "unsign":
		end = nil
	case "swap-signature":
		end[3] ^= 1
	default:
		return fmt.Errorf("nobody knows how to %s a recording", how)
	}
	changed := append([]byte{}, header...)
	for _, f := range frames {
		changed = append(changed, f...)
	}
	return os.WriteFile(args[2], append(changed, end...), 0o600)
}

func split(file []byte) (header []byte, frames [][]byte, end []byte, err error) {
	short := errors.New("that is no whole recording")
	if len(file) < 16 {
		return nil, nil, nil, short
	}
	n := 16 + int(binary.BigEndian.Uint32(file[12:])) + ed25519.SignatureSize
	if len(file) < n {
		return nil, nil, nil, short
	}
	header, file = file[:n], file[n:]
	for len(file) > 5 {
		n := 5 + int(binary.BigEndian.Uint32(file))
		if len(file) < n {
			return nil, nil, nil, short
		}
		last := file[4] == 1
		frames, file = append(frames, file[:n]), file[n:]
		if last {
			return header, frames, file, nil
		}
	}
	return nil, nil, nil, short
}

// resign makes a recording from nothing that says it is of that session, sealed to the right reader and signed by a
// key of mallory's own: "resign SESSION READER NEWFILE".
func resign(p *traveller, args []string) error {
	line, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	reader, err := recording.ParseRecipient(strings.TrimSpace(string(line)))
	if err != nil {
		return err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	f, err := os.Create(args[2])
	if err != nil {
		return err
	}
	defer f.Close()
	session := sekisho.Session{ID: args[0], Identity: sekisho.Identity{Subject: "mei@example.com"}, Target: "db1",
		Login: p.house.Login, Audit: sekisho.AuditStrict, Gateway: "main", Started: time.Now().UTC()}
	w, err := recording.NewWriter(f, recording.Header{Session: session}, []recording.Recipient{reader}, key)
	if err != nil {
		return err
	}
	for i := range 5 {
		said := recording.Entry{Kind: recording.Output, Channel: 1, Data: []byte("mallory was never here " + strconv.Itoa(i))}
		if err := errors.Join(w.Append(said), w.Flush()); err != nil {
			return err
		}
	}
	_, err = w.Close(recording.EndDone, time.Second)
	return err
}
