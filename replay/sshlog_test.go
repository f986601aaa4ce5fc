package replay_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho/recording"
	"github.com/sekisho/sekisho/replay"
)

// sshLogKey is a pair of X25519 keys, the private half as its bytes.
func sshLogKey() ([]byte, replay.SSHLogKey) {
	raw := bytes.Repeat([]byte{7}, 32)
	private, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		panic(err)
	}
	to, err := replay.ParseSSHLogKey(base64.StdEncoding.EncodeToString(private.PublicKey().Bytes()))
	if err != nil {
		panic(err)
	}
	return raw, to
}

type sshLogMeta struct {
	StartedAt       *uint64 `json:"started_at"`
	DataSize        *uint64 `json:"data_size"`
	EncapsulatedKey string  `json:"encapsulated_key"`
	PTY             *struct {
		Term          *string
		Width, Height uint32
		Modes         []json.RawMessage
	}
	ExitData *struct {
		Timestamp  *int64
		Status     *uint32
		Signal     *string
		CoreDumped bool    `json:"core_dumped"`
		ErrorMsg   *string `json:"error_msg"`
	} `json:"exit_data"`
	Sekisho struct {
		Session, Command string
		Channel          uint32
	}
}

type sshLogPacket struct {
	Source byte
	Code   uint32
	At     uint64
	Data   string
}

// openSSHLog is a reader of the container, written from what is known of it.
func openSSHLog(b, private []byte) (meta sshLogMeta, packets []sshLogPacket, err error) {
	if len(b) < 4 || uint64(len(b)) < 4+uint64(binary.BigEndian.Uint32(b)) {
		return meta, nil, io.ErrUnexpectedEOF
	}
	size := binary.BigEndian.Uint32(b)
	text, err := base64.StdEncoding.DecodeString(string(b[4 : 4+size]))
	if err != nil {
		return meta, nil, err
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return meta, nil, err
	}
	enc, err := hex.DecodeString(meta.EncapsulatedKey)
	if err != nil {
		return meta, nil, err
	}
	key, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(private)
	if err != nil {
		return meta, nil, err
	}
	r, err := hpke.NewRecipient(enc, key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), nil)
	if err != nil {
		return meta, nil, err
	}
	b = b[4+size:]
	var plain []byte
	for len(b) > 0 {
		if len(b) < 4 || uint64(len(b)) < 4+uint64(binary.BigEndian.Uint32(b)) {
			return meta, nil, io.ErrUnexpectedEOF
		}
		n := binary.BigEndian.Uint32(b)
		block, err := r.Open(nil, b[4:4+n])
		if err != nil {
			return meta, nil, err
		}
		if len(block) == 0 || n > 64<<10 {
			return meta, nil, errors.New("a block is empty, or more than 64 KiB")
		}
		plain, b = append(plain, block...), b[4+n:]
	}
	for len(plain) > 0 {
		n := binary.BigEndian.Uint32(plain)
		if n < 13 {
			return meta, nil, errors.New("a packet is too short")
		}
		p := plain[4 : 4+n]
		packets = append(packets, sshLogPacket{p[0], binary.BigEndian.Uint32(p[1:]), binary.BigEndian.Uint64(p[5:]), string(p[13:])})
		plain = plain[4+n:]
	}
	return meta, packets, nil
}

func TestSSHLog(t *testing.T) {
	private, to := sshLogKey()
	long := strings.Repeat("x", 70000)
	tape := newTape(
		recording.Entry{Kind: recording.PTYRequest, Channel: 2, Data: recording.PTY{
			Term: "xterm", Cols: 90, Rows: 30, Modes: []byte{53, 0, 0, 0, 1, 42, 0, 0, 0, 1, 53, 0, 0, 0, 0, 0, 9}}.Encode()},
		recording.Entry{Kind: recording.Exec, Channel: 2, Data: []byte("top")},
		recording.Entry{Kind: recording.Output, Channel: 2, At: time.Second, Data: []byte("a\xff")},
		recording.Entry{Kind: recording.Output, Channel: 3, At: time.Second, Data: []byte("another's")},
		recording.Entry{Kind: recording.Input, Channel: 2, At: 2 * time.Second, Data: []byte("q")},
		recording.Entry{Kind: recording.Output, Channel: 2, At: 2 * time.Second},
		recording.Entry{Kind: recording.Stderr, Channel: 2, At: time.Second, Data: []byte("no")},
		recording.Entry{Kind: recording.Output, Channel: 2, At: 3 * time.Second, Data: []byte(long)},
		recording.Entry{Kind: recording.ExitStatus, Channel: 2, At: 3 * time.Second, Data: recording.EncodeExitStatus(4)},
	)
	var file seekable
	if err := replay.SSHLog(&file, tape, replay.AnyChannel, to); err != nil {
		t.Fatal(err)
	}
	meta, packets, err := openSSHLog(file.data, private)
	if err != nil {
		t.Fatal(err)
	}
	want := []sshLogPacket{
		{1, 0, 1e6, "a\xff"}, {0, 0, 2e6, "q"}, {1, 1, 2e6, "no"},
		{1, 0, 3e6, long[:32768]}, {1, 0, 3e6, long[:32768]}, {1, 0, 3e6, long[65536:]},
	}
	if d := cmp.Diff(want, packets); d != "" {
		t.Errorf("packets (-want +got)\n%s", d)
	}
	switch {
	case *meta.StartedAt != 1772600767 || *meta.DataSize != 70005 || meta.Sekisho.Command != "top" || meta.Sekisho.Channel != 2:
		t.Errorf("%+v", meta)
	case *meta.PTY.Term != "xterm" || meta.PTY.Width != 90 || string(meta.PTY.Modes[0]) != `["ECHO",1]` || len(meta.PTY.Modes) != 2:
		t.Errorf("%+v", meta.PTY)
	case *meta.ExitData.Status != 4 || meta.ExitData.Signal != nil || *meta.ExitData.Timestamp != 1772600770:
		t.Errorf("%+v", meta.ExitData)
	}
	file.data[len(file.data)-1] ^= 1
	if _, _, err := openSSHLog(file.data, private); err == nil {
		t.Error("a changed block opens")
	}
}

func TestSSHLogExitSignal(t *testing.T) {
	private, to := sshLogKey()
	var file seekable
	tape := newTape(recording.Entry{Kind: recording.Shell}, recording.Entry{Kind: recording.ExitSignal,
		Data: recording.Exit{Signal: "KILL", CoreDumped: true, Message: strings.Repeat("\x00", 5000)}.Encode()})
	if err := replay.SSHLog(&file, tape, replay.AnyChannel, to); err != nil {
		t.Fatal(err)
	}
	meta, packets, err := openSSHLog(file.data, private)
	if err != nil || len(packets) != 0 || *meta.ExitData.Signal != "KILL" || !meta.ExitData.CoreDumped || meta.ExitData.Status != nil || meta.PTY != nil {
		t.Errorf("%v %v %+v", err, packets, meta)
	}
}

// Nobody keeps a session from being exported by what they call things.
func TestSSHLogLongNames(t *testing.T) {
	private, to := sshLogKey()
	long := strings.Repeat("\x01", 4000)
	var modes []byte
	for mode := range byte(159) {
		modes = append(modes, mode+1, 255, 255, 255, 255)
	}
	var file seekable
	if err := replay.SSHLog(&file, newTape(
		recording.Entry{Kind: recording.PTYRequest, Data: recording.PTY{Term: long, Cols: 1 << 31, Rows: 1 << 31, Modes: modes}.Encode()},
		recording.Entry{Kind: recording.Exec, Data: []byte(long)},
		recording.Entry{Kind: recording.ExitSignal, Data: recording.Exit{Signal: long, Message: strings.Repeat("<\xff", 4000)}.Encode()},
	), replay.AnyChannel, to); err != nil {
		t.Fatal(err)
	}
	if meta, _, err := openSSHLog(file.data, private); err != nil || !strings.HasPrefix(meta.Sekisho.Command, "\x01\x01") || !strings.HasPrefix(*meta.ExitData.Signal, "\x01\x01") {
		t.Errorf("%v %+v", err, meta)
	}
}

func TestSSHLogRefuses(t *testing.T) {
	_, to := sshLogKey()
	for name, entries := range map[string][]recording.Entry{
		"a subsystem": {{Kind: recording.Subsystem, Data: []byte("sftp")}},
		"files":       {{Kind: recording.File, Channel: 0, Data: []byte("{}")}},
		"nothing":     nil,
	} {
		if err := replay.SSHLog(&seekable{}, newTape(entries...), replay.AnyChannel, to); !errors.Is(err, replay.ErrInexpressible) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, line := range []string{"", "AAAA", strings.Repeat("A", 44), "ssh-ed25519 AAAA"} {
		if _, err := replay.ParseSSHLogKey(line); err == nil {
			t.Errorf("%q is a key", line)
		}
	}
	if err := replay.SSHLog(&seekable{}, golden(), 0, replay.SSHLogKey{}); err == nil {
		t.Error("sealed to nobody")
	}
}
