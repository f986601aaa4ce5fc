package e2e_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

func init() {
	tools["besiege"] = besiege
	tools["weigh"] = weigh
}

// besiege opens connections to a port and goes no further: "besiege PORT N FROM HOW FILE". FROM is an address of loopback,
// or 127.0.1.* for many. HOW is "mute", which does not even listen, "silent", "greeting" or "exchange", which stops in the
// key exchange. When all are open, FILE says how many are held and how many were turned away. It ends once the other side
// has closed those that were held.
func besiege(_ *traveller, args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	var held []net.Conn
	turned := 0
	for i := range n {
		from := strings.Replace(args[2], "*", strconv.Itoa(1+i%250), 1)
		conn, err := knock(args[0], from, args[3])
		switch {
		case errors.Is(err, errTurnedAway):
			turned++
		case err != nil:
			return err
		default:
			held = append(held, conn)
		}
	}
	if err := appear(args[4], fmt.Sprintf("%d held, %d turned away\n", len(held), turned)); err != nil {
		return err
	}
	for _, conn := range held {
		conn.SetReadDeadline(time.Now().Add(2 * patience))
		if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%d connections are held for ever", len(held))
		}
		conn.Close()
	}
	return nil
}

var errTurnedAway = errors.New("turned away")

func knock(port, from, how string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	conn, err := dialer.Dial("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil || how == "mute" {
		return conn, err
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if !strings.HasPrefix(line, "SSH-2.0-") {
		conn.Close()
		if strings.HasPrefix(line, "Too many connections") {
			return nil, errTurnedAway
		}
		return nil, fmt.Errorf("heard %q: %w", line, err)
	}
	if how != "silent" {
		_, err = io.WriteString(conn, "SSH-2.0-mallory\r\n")
	}
	if how == "exchange" && err == nil {
		_, err = conn.Write(keyExchange())
	}
	return conn, err
}

// keyExchange is SSH_MSG_KEXINIT in its packet (RFC 4253, sections 6 and 7).
func keyExchange() []byte {
	payload := append([]byte{20}, ssh.Marshal(struct {
		Cookie                                  [16]byte
		Kex, Keys, C2S, S2C, MAC1, MAC2, Z1, Z2 string
		L1, L2                                  string
		Follows                                 bool
		Reserved                                uint32
	}{
		Kex: "curve25519-sha256", Keys: "ssh-ed25519", C2S: "aes128-gcm@openssh.com", S2C: "aes128-gcm@openssh.com",
		MAC1: "hmac-sha2-256", MAC2: "hmac-sha2-256", Z1: "none", Z2: "none",
	})...)
	pad := 16 - (5+len(payload))%8
	return append(ssh.Marshal(struct {
		Length uint32
		Pad    byte
	}{uint32(1 + len(payload) + pad), byte(pad)}), append(payload, make([]byte, pad)...)...)
}

// weigh says what sekishod takes: "weigh FILE" writes it down, "weigh FILE MB" waits until it is no more again than that
// many megabytes, and a few open files, above what was written down.
func weigh(p *traveller, args []string) error {
	now, err := p.weight()
	if err != nil {
		return err
	}
	if len(args) == 1 {
		return os.WriteFile(args[0], []byte(fmt.Sprintln(now.kB, now.files)), 0o600)
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var before weight
	if _, err := fmt.Sscan(string(text), &before.kB, &before.files); err != nil {
		return err
	}
	more, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(100 * time.Millisecond) {
		if now, err = p.weight(); err != nil {
			return err
		}
		if now.kB <= before.kB+more<<10 && now.files <= before.files+10 {
			fmt.Printf("%d kB and %d files before, %d kB and %d files now\n", before.kB, before.files, now.kB, now.files)
			return nil
		}
	}
	return fmt.Errorf("it took %+v before, and takes %+v now", before, now)
}

type weight struct{ kB, files int }

// weight reads it from proc(5).
func (p *traveller) weight() (w weight, err error) {
	proc := fmt.Sprintf("/proc/%d/", p.house.Processes["sekishod"].PID)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return w, err
	}
	_, rest, _ := strings.Cut(string(status), "\nVmRSS:")
	if _, err := fmt.Sscan(rest, &w.kB); err != nil {
		return w, fmt.Errorf("VmRSS in %q: %w", status, err)
	}
	files, err := filepath.Glob(proc + "fd/*")
	w.files = len(files)
	return w, err
}
