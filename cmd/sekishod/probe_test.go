package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// A stock sshd proves the keys that it has, each when it is asked for that type, and no other.
func TestProbe(t *testing.T) {
	dir := t.TempDir()
	config := "AuthenticationMethods publickey\nUsePAM no\n"
	keys := map[string]ssh.PublicKey{}
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		file := filepath.Join(dir, kind)
		if out, err := exec.Command("ssh-keygen", "-q", "-N", "", "-t", kind, "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		line, err := os.ReadFile(file + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			t.Fatal(err)
		}
		keys[key.Type()] = key
		config += "HostKey " + file + "\n"
	}
	if err := os.WriteFile(dir+"/config", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSA, ssh.KeyAlgoECDSA521} {
		seen, err := probe(t.Context(), serve(t, dir+"/config"), "web1", kind)
		want := keys[kind]
		if (err == nil) != (want != nil) || want != nil && string(seen.Marshal()) != string(want.Marshal()) {
			t.Errorf("%s: %v, %v", kind, seen, err)
		}
	}
}

// serve gives the near end of a connection to an sshd of its own.
func serve(t *testing.T, config string) net.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	file, err := far.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/sshd", "-i", "-e", "-f", config)
	cmd.Stdin, cmd.Stdout = file, file
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	file.Close()
	far.Close()
	t.Cleanup(func() {
		near.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return near
}

// A server that says nothing, nonsense or too much costs a probe its time and nothing else.
func TestProbeHostile(t *testing.T) {
	for name, say := range map[string]string{
		"nothing": "", "nonsense": strings.Repeat("x", 1<<16), "no key exchange": "SSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x14",
	} {
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			far.Write([]byte(say))
			for b := make([]byte, 4096); ; {
				if _, err := far.Read(b); err != nil {
					return
				}
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		key, err := probe(ctx, near, "web1", ssh.KeyAlgoED25519)
		cancel()
		if key != nil || err == nil {
			t.Errorf("%s: %v", name, key)
		}
		if name == "nothing" && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		near.Close()
		far.Close()
		<-done
	}
}

// Who asks over the API may have key files made in the key folder, and nowhere else.
func TestInsideKeys(t *testing.T) {
	for store, good := range map[string]bool{
		"file:user-2027.pem": true, "file:sub/user.pem": true, "file:sub/user.pem?passphrase-env=X": false, "pkcs11:token=ca": false,
		"file:/etc/cron.d/x": false, "file:../x": false, "file:%2e%2e/x": false, "file:///etc/x": false, "file:a/../../x": false, "file:%zz": false, "file:": false,
	} {
		file, named := strings.CutPrefix(store, "file:")
		if err := insideKeys(file); (named && err == nil) != good {
			t.Errorf("%s: %v", store, err)
		}
	}
}
