package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/sekisho/sekisho"
)

// Config is config.json: what login has learned about control. Nothing in it is secret, but changing it would
// redirect every connection, so it is as private as the rest.
type Config struct {
	// URL is control's, https://HOST[:PORT] without a path.
	URL string `json:"url"`
	// Name is what the organisation calls this installation.
	Name string `json:"name,omitempty"`
	// CA holds PEM certificates: the only ones trusted for control and gateways. Empty: the system's.
	CA string `json:"ca,omitempty"`
	// Hosts are the host patterns for ssh_config.
	Hosts []string `json:"ssh_hosts,omitempty"`
	// SSHGateway is HOST:PORT of the gateway's SSH port, empty where it has none.
	SSHGateway string `json:"ssh_gateway,omitempty"`
	// HostCA is the public key lines that sign the targets' host certificates, one under the other.
	HostCA string `json:"host_ca,omitempty"`
	// RecordingKeys are the public key lines that gateways sign recordings with, AuditKey verifies checkpoints of
	// the audit log (note format).
	RecordingKeys []string `json:"recording_keys,omitempty"`
	AuditKey      string   `json:"audit_key,omitempty"`
	// Recipients are the keys that recordings were sealed to when somebody last logged in here: IDs and their labels.
	Recipients map[string]string `json:"recipients,omitempty"`
	// Device says that the last sign-in used the device flow, so that the next one does.
	Device bool `json:"device,omitempty"`
}

// SignIn is signin.json: the token and what is known about it. The token is useless without device.key.
type SignIn struct {
	Token   string    `json:"token"`
	ID      string    `json:"id"`
	Subject string    `json:"subject"`
	Name    string    `json:"name,omitempty"`
	Groups  []string  `json:"groups,omitempty"`
	Expires time.Time `json:"expires"`
}

const (
	configFile = "config.json"
	signInFile = "signin.json"
	keyFile    = "device.key"
	knownHosts = "known_hosts"
)

// errNotSignedIn is what the person hears when there is no sign-in and none may be started.
func errNotSignedIn() error {
	return &sekisho.Refusal{Sentence: "You are not signed in.", Next: "Run: sekisho login"}
}

// Config reads config.json; where there is none the refusal says how to log in.
func (h Home) Config() (Config, error) {
	var c Config
	err := h.readJSON(configFile, &c)
	if errors.Is(err, fs.ErrNotExist) {
		return c, &sekisho.Refusal{
			Sentence: "This machine does not know your Sekisho yet.", Next: "Run: sekisho login URL", Cause: err,
		}
	}
	return c, err
}

// SignIn reads signin.json; where there is none the error is a refusal that wraps fs.ErrNotExist.
func (h Home) SignIn() (SignIn, error) {
	var s SignIn
	err := h.readJSON(signInFile, &s)
	if errors.Is(err, fs.ErrNotExist) {
		return s, &sekisho.Refusal{Sentence: "You are not signed in.", Next: "Run: sekisho login", Cause: err}
	}
	return s, err
}

func (h Home) readJSON(name string, v any) error {
	b, err := h.read(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return &sekisho.Refusal{
			Sentence: fmt.Sprintf("%s is damaged.", h.Path(name)), Next: "Delete it and run sekisho login again.", Cause: err,
		}
	}
	return nil
}

func (h Home) writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return h.write(name, append(b, '\n'))
}

// deviceKey reads the key that sign-ins are bound to, or makes it.
func (h Home) deviceKey() (*ecdsa.PrivateKey, error) {
	b, err := h.read(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return h.makeDeviceKey()
	}
	if err != nil {
		return nil, err
	}
	damaged := &sekisho.Refusal{
		Sentence: fmt.Sprintf("%s is damaged.", h.Path(keyFile)), Next: "Delete it and run sekisho login again.",
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, damaged
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		damaged.Cause = err
		return nil, damaged
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, damaged
	}
	return key, nil
}

func (h Home) makeDeviceKey() (*ecdsa.PrivateKey, error) {
	unlock, err := h.lock("device")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, err := h.read(keyFile); err == nil { // another process was faster
		return h.deviceKey()
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the device key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("make the device key: %w", err)
	}
	return key, h.write(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
