package e2e_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// neighbour is a program beside a target, reached through it: "neighbour FILE" listens on a port of loopback, which is
// then in FILE, and "neighbour FILE PATH" on a Unix socket. Whoever connects gets back what they say, in capitals, until
// they say no more.
func neighbour() {
	network, address := "tcp", "127.0.0.1:0"
	if len(os.Args) == 3 {
		network, address = "unix", os.Args[2]
	}
	fail("neighbour", beside(network, address, os.Args[1], shout))
}

func shout(conn net.Conn) {
	said := make([]byte, 32<<10)
	for {
		n, err := conn.Read(said)
		if _, werr := conn.Write(bytes.ToUpper(said[:n])); err != nil || werr != nil {
			return
		}
	}
}

// beside listens beside a target, leaves the port in a file, and serves whoever connects.
func beside(network, address, file string, serve func(net.Conn)) error {
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := appear(file, port+"\n"); err != nil {
		return err
	}
	return welcome(l, serve)
}

// appear writes a file that others wait for: it is there whole, or not at all.
func appear(file, text string) error {
	return errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file))
}

// welcome serves whoever connects, until nobody can.
func welcome(l net.Listener, serve func(net.Conn)) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			serve(conn)
		}()
	}
}

// call is the other end: "call ADDRESS" says its standard input and prints the answer. An address is a port of loopback
// or the path of a Unix socket.
func call() {
	said, err := io.ReadAll(os.Stdin)
	if err == nil {
		err = converse(os.Args[1], said)
	}
	if err != nil {
		fail("call", err)
	}
}

func reach(address string) (net.Conn, error) {
	if strings.HasPrefix(address, "/") {
		return net.Dial("unix", address)
	}
	return net.Dial("tcp", net.JoinHostPort("127.0.0.1", address))
}

func converse(address string, said []byte) error {
	conn, err := reach(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(said); err != nil {
		return err
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// freePort prints a port that is free.
func freePort() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fail("free-port", err)
	}
	defer l.Close()
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
}

// window is a program that opens a window on $DISPLAY: it says hello as X11 begins, with the cookie that xauth has, and
// then the words of its arguments, and prints what the display answers.
func window() {
	if err := draw(os.Getenv("DISPLAY"), strings.Join(os.Args[1:], " ")); err != nil {
		fail("window", err)
	}
}

func draw(display, words string) error {
	_, number, _ := strings.Cut(display, ":")
	number, _, _ = strings.Cut(number, ".")
	n, err := strconv.Atoi(number)
	if err != nil {
		return fmt.Errorf("display %q: %w", display, err)
	}
	list, err := exec.Command("xauth", "list", display).Output()
	if err != nil {
		return fmt.Errorf("xauth: %w", err)
	}
	fields := strings.Fields(string(list))
	if len(fields) != 3 {
		return fmt.Errorf("xauth knows %q", list)
	}
	cookie, err := hex.DecodeString(fields[2])
	if err != nil {
		return err
	}
	// X11's connection setup: byte order, version 11.0, lengths and texts of the name of the authorization and of its data.
	hello := []byte{'l', 0, 11, 0, 0, 0}
	hello = binary.LittleEndian.AppendUint16(hello, uint16(len(fields[1])))
	hello = binary.LittleEndian.AppendUint16(hello, uint16(len(cookie)))
	hello = append(append(hello, 0, 0), fields[1]...)
	for len(hello)%4 != 0 {
		hello = append(hello, 0)
	}
	conn, err := reach(strconv.Itoa(6000 + n))
	if err != nil {
		return err
	}
	defer conn.Close()
	said := append(append(hello, cookie...), words...)
	if _, err := conn.Write(said); err != nil {
		return err
	}
	_, err = io.CopyN(os.Stdout, conn, int64(len(said)))
	return err
}
