package replay

import (
	"bufio"
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sekisho/sekisho/recording"
)

// SSHLogKey is the public key that an ssh-log container is sealed to.
type SSHLogKey struct{ key hpke.PublicKey }

// ParseSSHLogKey reads a public key as ssh-log-cli writes it: the 32 bytes of an X25519 key in standard base64. White
// space around it is left out.
func ParseSSHLogKey(line string) (SSHLogKey, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(line))
	if err != nil || len(raw) != 32 {
		return SSHLogKey{}, errors.New("parse ssh-log key: want 32 bytes of X25519 in base64")
	}
	public, err := ecdh.X25519().NewPublicKey(raw)
	if err != nil {
		return SSHLogKey{}, fmt.Errorf("parse ssh-log key: %w", err)
	}
	key, err := hpke.NewDHKEMPublicKey(public)
	if err != nil {
		return SSHLogKey{}, fmt.Errorf("parse ssh-log key: %w", err)
	}
	return SSHLogKey{key}, nil
}

// ErrInexpressible is what errors wrap that mean: the format that was asked for has no way to say this.
var ErrInexpressible = errors.New("the format cannot express it")

const (
	// sshLogHeader is how many bytes of metadata there is room for. The metadata say how the program ended, but stand in
	// front: they are written last, and filled up with spaces, which JSON allows.
	sshLogHeader = 12 << 10
	// maxSSHLogData is how many bytes of a stream go into one packet.
	maxSSHLogData = 32 << 10
	// maxSSHLogText is how many bytes of a name or message the metadata hold, and half of how many it may take in JSON: there is
	// room for all of them, whatever somebody put in.
	maxSSHLogText = 1024
)

// SSHLog writes one channel of a recording as a container that ssh-log-cli decrypts: HPKE in base mode with
// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305, without info and additional data; big-endian
//
//	u32 ‖ base64 of the metadata in JSON ‖ blocks of u32 ‖ ciphertext, each with one packet:
//	u32 length ‖ u8 0 from the client, 1 from the target ‖ u32 0, or 1 for standard error ‖ u64 microseconds ‖ data
//
// The metadata are in the clear. The container has no place for window changes, signals and variables: their number is in
// the metadata under "sekisho", and how many bytes are missing from the session. A channel without a shell or command, such as one for files, is refused with an
// error that wraps ErrInexpressible. Of a cut recording and of a channel that is not there SSHLog says the same as
// Asciicast.
func SSHLog(w io.WriteSeeker, r Source, channel uint32, to SSHLogKey) error {
	c, err := newSSHLog(w, r.Header(), channel, to)
	if err != nil {
		return fmt.Errorf("write ssh-log: %w", err)
	}
	end, err := each(r, c.entry)
	if err != nil {
		return fmt.Errorf("write ssh-log: %w", err)
	}
	if err := c.choice.Missing(end); err != nil {
		return err
	}
	if err := c.finish(); err != nil {
		return fmt.Errorf("write ssh-log: %w", err)
	}
	return whole(end)
}

// sshLogMeta are the metadata; ssh-log-cli overlooks those that it does not know.
type sshLogMeta struct {
	StartedAt       int64       `json:"started_at"` // Unix seconds
	DataSize        uint64      `json:"data_size"`  // bytes of data
	EncapsulatedKey string      `json:"encapsulated_key"`
	PTY             *sshLogPTY  `json:"pty"`
	ExitData        *sshLogExit `json:"exit_data"`
	Sekisho         sshLogMore  `json:"sekisho"`
}

type sshLogPTY struct {
	Term   string   `json:"term"`
	Width  uint32   `json:"width"`
	Height uint32   `json:"height"`
	Modes  [][2]any `json:"modes"`
}

type sshLogExit struct {
	Timestamp  int64   `json:"timestamp"` // Unix seconds
	Status     *uint32 `json:"status"`
	Signal     *string `json:"signal"`
	CoreDumped bool    `json:"core_dumped"`
	ErrorMsg   *string `json:"error_msg"`
}

// sshLogMore is what we know besides.
type sshLogMore struct {
	Session string `json:"session"`
	Channel uint32 `json:"channel"`
	Type    string `json:"program_type"` // shell or exec
	Command string `json:"command,omitempty"`
	LeftOut int    `json:"entries_left_out,omitempty"`
	Lost    uint64 `json:"bytes_lost,omitempty"` // that are missing from the session
}

type sshLog struct {
	file    io.WriteSeeker
	out     *bufio.Writer
	sender  *hpke.Sender
	choice  Choice
	meta    sshLogMeta
	started time.Time
	files   bool // file operations or forwards were seen
	at      time.Duration
	packet  []byte
}

func newSSHLog(w io.WriteSeeker, h recording.Header, channel uint32, to SSHLogKey) (*sshLog, error) {
	if to.key == nil {
		return nil, errors.New("no key to seal it to")
	}
	enc, sender, err := hpke.NewSender(to.key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), nil)
	if err != nil {
		return nil, err
	}
	c := &sshLog{file: w, out: bufio.NewWriter(w), sender: sender, choice: Choose(channel), started: h.Session.Started}
	c.meta.StartedAt, c.meta.EncapsulatedKey = h.Session.Started.Unix(), hex.EncodeToString(enc)
	c.meta.Sekisho.Session = h.Session.ID
	return c, c.header()
}

// header writes the metadata as they are now, always in the same number of bytes.
func (c *sshLog) header() error {
	text, err := json.Marshal(c.meta)
	if err != nil {
		return err
	}
	if len(text) > sshLogHeader {
		return fmt.Errorf("metadata of %d bytes, more than %d: %w", len(text), sshLogHeader, ErrInexpressible)
	}
	text = append(text, bytes.Repeat([]byte(" "), sshLogHeader-len(text))...)
	encoded := base64.StdEncoding.EncodeToString(text)
	head := binary.BigEndian.AppendUint32(nil, uint32(len(encoded)))
	_, err = c.out.Write(append(head, encoded...))
	return err
}

func (c *sshLog) entry(e recording.Entry) (err error) {
	if !c.choice.Takes(e) {
		return nil
	}
	c.at = max(c.at, e.At)
	switch e.Kind {
	case recording.Output:
		return c.data(1, 0, e.Data)
	case recording.Stderr:
		return c.data(1, 1, e.Data)
	case recording.Input:
		return c.data(0, 0, e.Data)
	case recording.PTYRequest:
		return c.terminal(e.Data)
	case recording.Shell:
		c.meta.Sekisho.Type = "shell"
	case recording.Exec:
		c.meta.Sekisho.Type, c.meta.Sekisho.Command = "exec", cut(string(e.Data))
	case recording.Subsystem:
		return fmt.Errorf("the subsystem %s: %w", printable(cut(string(e.Data))), ErrInexpressible)
	case recording.ExitStatus, recording.ExitSignal:
		return c.exited(e)
	case recording.File, recording.Forward:
		c.files = true
	case recording.Resize, recording.Signal, recording.Env:
		c.meta.Sekisho.LeftOut++
	case recording.Lost:
		c.meta.Sekisho.Lost += LostBytes(e)
	}
	return nil
}

func (c *sshLog) data(source byte, code uint32, data []byte) error {
	for len(data) > 0 {
		piece := data[:min(len(data), maxSSHLogData)]
		data = data[len(piece):]
		b := binary.BigEndian.AppendUint32(c.packet[:0], uint32(13+len(piece)))
		b = append(b, source)
		b = binary.BigEndian.AppendUint32(b, code)
		b = binary.BigEndian.AppendUint64(b, uint64(c.at/time.Microsecond))
		c.packet = append(b, piece...)
		sealed, err := c.sender.Seal(nil, c.packet)
		if err != nil {
			return err
		}
		c.meta.DataSize += uint64(len(piece))
		c.out.Write(binary.BigEndian.AppendUint32(nil, uint32(len(sealed)))) // an error stays in out
		if _, err := c.out.Write(sealed); err != nil {
			return err
		}
	}
	return nil
}

func (c *sshLog) terminal(data []byte) error {
	p, err := recording.DecodePTY(data)
	if err != nil || c.meta.PTY != nil {
		return err
	}
	c.meta.PTY = &sshLogPTY{cut(p.Term), p.Cols, p.Rows, terminalModes(p.Modes)}
	return nil
}

func (c *sshLog) exited(e recording.Entry) error {
	end := &sshLogExit{Timestamp: c.started.Add(c.at).Unix()}
	c.meta.ExitData = end
	if e.Kind == recording.ExitStatus {
		status, err := recording.DecodeExitStatus(e.Data)
		end.Status = &status
		return err
	}
	x, err := recording.DecodeExit(e.Data)
	signal, message := cut(x.Signal), cut(x.Message)
	end.Signal, end.CoreDumped, end.ErrorMsg = &signal, x.CoreDumped, &message
	return err
}

// finish writes the metadata again, now that all of them are known.
func (c *sshLog) finish() error {
	if c.meta.Sekisho.Type == "" {
		what := "there is no program to write"
		if c.files {
			what = "operations on files, and forwards"
		}
		return fmt.Errorf("%s: %w", what, ErrInexpressible)
	}
	c.meta.Sekisho.Channel = c.choice.channel
	if err := c.out.Flush(); err != nil {
		return err
	}
	if _, err := c.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := c.header(); err != nil {
		return err
	}
	if err := c.out.Flush(); err != nil {
		return err
	}
	_, err := c.file.Seek(0, io.SeekEnd)
	return err
}

// cut keeps as much of a name or message as the metadata hold.
func cut(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), maxSSHLogText)], "\ufffd")
	for {
		if text, err := json.Marshal(s); err != nil || len(text) <= 2*maxSSHLogText {
			return s
		}
		s = strings.ToValidUTF8(s[:len(s)/2], "")
	}
}

// modeNames are the terminal modes by their number (RFC 4254 §8, RFC 8160).
var modeNames = map[byte]string{
	1: "VINTR", 2: "VQUIT", 3: "VERASE", 4: "VKILL", 5: "VEOF", 6: "VEOL", 7: "VEOL2", 8: "VSTART", 9: "VSTOP", 10: "VSUSP",
	11: "VDSUSP", 12: "VREPRINT", 13: "VWERASE", 14: "VLNEXT", 15: "VFLUSH", 16: "VSWTCH", 17: "VSTATUS", 18: "VDISCARD",
	30: "IGNPAR", 31: "PARMRK", 32: "INPCK", 33: "ISTRIP", 34: "INLCR", 35: "IGNCR", 36: "ICRNL", 37: "IUCLC", 38: "IXON",
	39: "IXANY", 40: "IXOFF", 41: "IMAXBEL", 42: "IUTF8", 50: "ISIG", 51: "ICANON", 52: "XCASE", 53: "ECHO", 54: "ECHOE",
	55: "ECHOK", 56: "ECHONL", 57: "NOFLSH", 58: "TOSTOP", 59: "IEXTEN", 60: "ECHOCTL", 61: "ECHOKE", 62: "PENDIN",
	70: "OPOST", 71: "OLCUC", 72: "ONLCR", 73: "OCRNL", 74: "ONOCR", 75: "ONLRET", 90: "CS7", 91: "CS8", 92: "PARENB",
	93: "PARODD", 128: "TTY_OP_ISPEED", 129: "TTY_OP_OSPEED",
}

// terminalModes gives the encoded modes with their names, each once; those without one are left out, and so is all after a
// byte that no mode begins with.
func terminalModes(encoded []byte) [][2]any {
	modes := [][2]any{}
	seen := map[byte]bool{}
	for len(encoded) >= 5 && encoded[0] > 0 && encoded[0] < 160 {
		if name := modeNames[encoded[0]]; name != "" && !seen[encoded[0]] {
			seen[encoded[0]] = true
			modes = append(modes, [2]any{name, binary.BigEndian.Uint32(encoded[1:])})
		}
		encoded = encoded[5:]
	}
	return modes
}
