package gateway_test

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Numbers of messages (RFC 4250, section 4.1.2), as far as mallory says them.
const (
	sayIgnore, sayUnimplemented, sayDebug             = 2, 3, 4
	sayService, sayKexInit, sayNewKeys, sayECDH       = 5, 20, 21, 30
	sayAuth, hearAuthFailure, hearAuthSuccess         = 50, 51, 52
	hearBanner, hearKeyOK                             = 53, 60
	sayGlobal, hearSuccess, hearFailure               = 80, 81, 82
	sayOpen, hearOpened, hearOpenFailure, sayWindow   = 90, 91, 92, 93
	sayData, sayExtended, sayEOF, sayClose, sayAsk    = 94, 95, 96, 97, 98
	hearAskSuccess, hearAskFailure, sayPing, hearPong = 99, 100, 192, 193
)

// wire is mallory's SSH: a client that does what the protocol says only where she wants it to. It speaks curve25519 and
// AES-GCM (RFC 5647, RFC 8731) and believes every host key.
type wire struct {
	t       *testing.T
	conn    net.Conn
	r       *bufio.Reader
	out, in *sealed // nil before the first key exchange
	session []byte
	hello   string // of the server
}

// sealed is one direction after a key exchange.
type sealed struct {
	cipher.AEAD
	nonce []byte
}

func (s *sealed) next() []byte {
	nonce := append([]byte(nil), s.nonce...)
	binary.BigEndian.PutUint64(s.nonce[4:], binary.BigEndian.Uint64(s.nonce[4:])+1)
	return nonce
}

func newWire(t *testing.T, conn net.Conn) *wire {
	return &wire{t: t, conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
}

const malloryVersion = "SSH-2.0-mallory"

// greet exchanges versions.
func (w *wire) greet() error {
	if _, err := io.WriteString(w.conn, malloryVersion+"\r\n"); err != nil {
		return err
	}
	line, err := w.r.ReadString('\n')
	w.hello = strings.TrimRight(line, "\r\n")
	return err
}

// packet puts a payload into its form on the wire (RFC 4253, section 6).
func (w *wire) packet(payload []byte) []byte {
	unit, aside := 8, 0
	if w.out != nil {
		unit, aside = 16, 4 // the length is not part of what is sealed
	}
	pad := unit - (5+len(payload)-aside)%unit
	if pad < 4 {
		pad += unit
	}
	p := binary.BigEndian.AppendUint32(nil, uint32(1+len(payload)+pad))
	p = append(append(append(p, byte(pad)), payload...), make([]byte, pad)...)
	if w.out == nil {
		return p
	}
	return w.out.Seal(p[:4:4], w.out.next(), p[4:], p[:4])
}

// say sends payloads, all in one write.
func (w *wire) say(payloads ...[]byte) error {
	var all []byte
	for _, p := range payloads {
		all = append(all, w.packet(p)...)
	}
	_, err := w.conn.Write(all)
	return err
}

// hear reads the next packet's payload.
func (w *wire) hear() ([]byte, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(w.r, head); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head))
	if n < 2 || n > 1<<20 {
		return nil, fmt.Errorf("packet of %d bytes", n)
	}
	if w.in == nil {
		return w.body(make([]byte, n), nil, nil)
	}
	return w.body(make([]byte, n+w.in.Overhead()), w.in, head)
}

func (w *wire) body(p []byte, in *sealed, head []byte) ([]byte, error) {
	if _, err := io.ReadFull(w.r, p); err != nil {
		return nil, err
	}
	if in != nil {
		var err error
		if p, err = in.Open(p[:0], in.next(), p, head); err != nil {
			return nil, err
		}
	}
	if len(p) < 2 || int(p[0]) > len(p)-2 {
		return nil, errors.New("packet without payload")
	}
	return p[1 : len(p)-int(p[0])], nil
}

// await hears until a message of one of the kinds.
func (w *wire) await(kinds ...byte) ([]byte, error) {
	for {
		p, err := w.hear()
		if err != nil {
			return nil, err
		}
		for _, k := range kinds {
			if p[0] == k {
				return p, nil
			}
		}
	}
}

func kexInit() []byte {
	lists := struct {
		Cookie                                  [16]byte
		Kex, Keys, C2S, S2C, MAC1, MAC2, Z1, Z2 string
		L1, L2                                  string
		Follows                                 bool
		Reserved                                uint32
	}{
		Kex: "curve25519-sha256", Keys: "ssh-ed25519-cert-v01@openssh.com,ssh-ed25519",
		C2S: "aes128-gcm@openssh.com", S2C: "aes128-gcm@openssh.com",
		MAC1: "hmac-sha2-256", MAC2: "hmac-sha2-256", Z1: "none", Z2: "none",
	}
	return append([]byte{sayKexInit}, ssh.Marshal(lists)...)
}

// exchange takes a whole key exchange, the first one or another.
func (w *wire) exchange() error {
	own := kexInit()
	if err := w.say(own); err != nil {
		return err
	}
	theirs, err := w.await(sayKexInit)
	if err != nil {
		return err
	}
	return w.agree(own, theirs)
}

func (w *wire) agree(own, theirs []byte) error {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	public := key.PublicKey().Bytes()
	if err := w.say(message(sayECDH, struct{ Q []byte }{public})); err != nil {
		return err
	}
	answer, err := w.await(31)
	if err != nil {
		return err
	}
	var reply struct{ HostKey, Q, Signature []byte }
	if err := ssh.Unmarshal(answer[1:], &reply); err != nil {
		return err
	}
	other, err := ecdh.X25519().NewPublicKey(reply.Q)
	if err != nil {
		return err
	}
	secret, err := key.ECDH(other)
	if err != nil {
		return err
	}
	k := ssh.Marshal(struct{ K *big.Int }{new(big.Int).SetBytes(secret)})
	h := sha256.New()
	h.Write(ssh.Marshal(struct {
		VC, VS         string
		IC, IS, KS     []byte
		Public, Theirs []byte
	}{malloryVersion, w.hello, own, theirs, reply.HostKey, public, reply.Q}))
	h.Write(k)
	return w.rekey(k, h.Sum(nil))
}

// rekey lets the new keys come into force in both directions.
func (w *wire) rekey(k, hash []byte) error {
	if w.session == nil {
		w.session = hash
	}
	derive := func(letter byte) []byte {
		h := sha256.New()
		h.Write(k)
		h.Write(hash)
		h.Write([]byte{letter})
		h.Write(w.session)
		return h.Sum(nil)
	}
	if err := w.say([]byte{sayNewKeys}); err != nil {
		return err
	}
	w.out = newSealed(derive('C'), derive('A'))
	if _, err := w.await(sayNewKeys); err != nil {
		return err
	}
	w.in = newSealed(derive('D'), derive('B'))
	return nil
}

func newSealed(key, nonce []byte) *sealed {
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		panic(err) // the key has 16 bytes
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &sealed{gcm, nonce[:12]}
}

func message(kind byte, fields any) []byte { return append([]byte{kind}, ssh.Marshal(fields)...) }

// service asks for authentication (RFC 4253, section 10).
func (w *wire) service() error {
	if err := w.say(message(sayService, struct{ Name string }{"ssh-userauth"})); err != nil {
		return err
	}
	_, err := w.await(6)
	return err
}

// publicKey is an authentication request (RFC 4252, section 7): an offer where by is nil, else signed by that key, which
// need not be the one shown.
func (w *wire) publicKey(user string, shown ssh.PublicKey, by ssh.Signer) []byte {
	req := struct {
		User, Service, Method string
		Signed                bool
		Algorithm             string
		Key                   []byte
	}{user, "ssh-connection", "publickey", by != nil, shown.Type(), shown.Marshal()}
	p := message(sayAuth, req)
	if by == nil {
		return p
	}
	signature, err := by.Sign(rand.Reader, append(ssh.Marshal(struct{ Session []byte }{w.session}), p...))
	if err != nil {
		w.t.Fatal(err)
	}
	return append(p, ssh.Marshal(struct{ Blob []byte }{ssh.Marshal(*signature)})...)
}

// enter takes a connection through greeting, key exchange and authentication.
func (w *wire) enter(user string, key ssh.Signer) error {
	for _, step := range []func() error{w.greet, w.exchange, w.service} {
		if err := step(); err != nil {
			return err
		}
	}
	return w.prove(user, key)
}

// prove authenticates with a key.
func (w *wire) prove(user string, key ssh.Signer) error {
	if err := w.say(w.publicKey(user, key.PublicKey(), key)); err != nil {
		return err
	}
	p, err := w.await(hearAuthFailure, hearAuthSuccess)
	if err == nil && p[0] == hearAuthFailure {
		err = errors.New("not let in")
	}
	return err
}

// mallory is inside by the stream, with a certificate of her own.
func (h *house) mallory() *wire {
	h.t.Helper()
	key, _ := h.user()
	conn, _, err := h.stream("ok")
	if err != nil {
		h.t.Fatal(err)
	}
	w := newWire(h.t, conn)
	if err := w.enter("root", key); err != nil {
		h.t.Fatal(err)
	}
	return w
}

// open asks for a channel, with a window and a largest packet.
func open(kind string, id, window, packet uint32, payload []byte) []byte {
	return append(message(sayOpen, struct {
		Kind               string
		ID, Window, Packet uint32
	}{kind, id, window, packet}), payload...)
}

// opened hears of a channel's opening; the number is the gateway's.
func (w *wire) opened() uint32 {
	w.t.Helper()
	p, err := w.await(hearOpened, hearOpenFailure)
	if err != nil || p[0] == hearOpenFailure {
		w.t.Fatalf("channel is not opened: %v, %q", err, p)
	}
	return binary.BigEndian.Uint32(p[5:])
}

// ask is a request on a channel.
func ask(channel uint32, kind string, reply bool, fields any) []byte {
	p := message(sayAsk, struct {
		Channel uint32
		Kind    string
		Reply   bool
	}{channel, kind, reply})
	if fields != nil {
		p = append(p, ssh.Marshal(fields)...)
	}
	return p
}

// run is a request to run a command.
func run(channel uint32, command string) []byte {
	return ask(channel, "exec", true, struct{ Command string }{command})
}
