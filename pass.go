package sekisho

import "time"

// Pass is what a verified target-scoped token says: one person, one target, one login, one key, two minutes.
type Pass struct {
	ID       string   `json:"id"`
	SignIn   string   `json:"sign_in"`
	Identity Identity `json:"identity"`
	Target   string   `json:"target"`
	Login    string   `json:"login"`
	// Host is the name the user typed after ssh; the audit door shows a host certificate for it.
	Host string `json:"host"`
	// Thumbprint is the RFC 7638 thumbprint of the sign-in's key; whoever presents the token proves it.
	Thumbprint string `json:"thumbprint"`
	// Key is the SHA256 fingerprint ("SHA256:…") of the SSH key made for this connection.
	Key     string    `json:"key"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

// Session is one SSH connection through the gateway.
type Session struct {
	ID       string    `json:"id"`
	SignIn   string    `json:"sign_in"`
	Identity Identity  `json:"identity"`
	Target   string    `json:"target"`
	Login    string    `json:"login"`
	Audit    AuditMode `json:"audit,omitempty"`
	// ClientAddress is the address the client's stream came from.
	ClientAddress string    `json:"client_address"`
	Gateway       string    `json:"gateway"`
	Started       time.Time `json:"started"`
	// Way is how it came in.
	Way Way `json:"way,omitempty"`
	// Parent is the ID of the session or visit that it came through, empty for one that came straight to a door.
	Parent string `json:"parent,omitempty"`

	// By what it was let in, for revocations. Key is the fingerprint of the user's key, Request the target token's ID, Serial
	// that of the certificate that the gateway was shown, and CA the fingerprint of the key that signed it. What there is none
	// of, or what the gateway does not get to see, is empty.
	Key     string `json:"-"`
	Request string `json:"-"`
	Serial  uint64 `json:"-"`
	CA      string `json:"-"`
}

// Way is how a session came in.
type Way string

const (
	WayStream      Way = "stream"      // the client's HTTPS stream, with a target-scoped token
	WayPort        Way = "port"        // the SSH port, ssh login%target@gateway
	WayJump        Way = "jump"        // ssh -J gateway target, inside a connection to the SSH port
	WayForward     Way = "forward"     // SSH inside a forward of another session
	WayTransparent Way = "transparent" // packets redirected to the gateway
)

// Recording is what the house keeps in the clear about a session's sealed file.
type Recording struct {
	Session Session `json:"session"`
	// State is "open" while being written, "closed" with a signed end, or "interrupted" when the gateway died.
	State string    `json:"state"`
	Ended time.Time `json:"ended,omitzero"`
	// Bytes is the size of the sealed file, known once closed.
	Bytes int64 `json:"bytes"`
	// Chain is the hex SHA-256 at the end of the file's hash chain, known once closed.
	Chain string `json:"chain,omitempty"`
	// Recipients are the key IDs that can open it.
	Recipients []string `json:"recipients"`
}

// States of a recording.
const (
	RecordingOpen        = "open"
	RecordingClosed      = "closed"
	RecordingInterrupted = "interrupted"
)
