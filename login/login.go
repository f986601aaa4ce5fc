// Package login answers one question: WHO is it?
//
// A sign-in goes through these steps, each a method of Desk:
//
//	Begin     the client shows its key and a PKCE challenge, and gets a URL for the browser
//	LookUp    only without a browser on that machine: the person types the user code and confirms
//	Visit     the browser comes to us and is sent on to the company's IdP, holding a cookie
//	Callback  the IdP sends the same browser back; we check what it says and have an Identity
//	Finish    the client proves its key and its PKCE verifier, and gets the sign-in token, once
//
// From then on Authenticate turns a token and a proof of possession (RFC 9449) into the SignIn that a call is made
// with, until it expires or its person ends it. Provider is the relying party toward the IdP. Proofs checks proofs for
// anyone who takes them. Issuer and Verifier make and check target-scoped tokens, with which a gateway knows a person
// without asking the centre.
//
// A connection that comes without a live and fresh sign-in can wait for its person: Ask puts a question, whose link the
// terminal shows; Asked is its page; Confirm takes the browser to the IdP and Callback takes it back; Wait tells the
// connection who it is. A sign-in that lives is renewed by the answer, and where there is none one without token and
// key is begun.
//
// The package never decides what a person may do, never stores a token (only its hash), never writes a token, key or
// code to a log, and never trusts an e-mail address that the IdP has not verified.
package login

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"

	"github.com/sekisho/sekisho"
)

// Paths below control's public URL that belong to a sign-in.
const (
	// PathVisit is where a browser starts: PathVisit?request=ID (Desk.Visit).
	PathVisit = "/login"
	// PathCallback is the redirect URI that is registered at the IdP (Desk.Callback).
	PathCallback = "/login/callback"
	// PathDevice is the page for user codes: PathDevice?code=XXXX-XXXX (Desk.LookUp).
	PathDevice = "/device"
)

// Causes that a door may want to tell from "not allowed" by errors.Is; all others mean that the caller has not shown
// who they are.
var (
	// ErrSlowDown: the same thing was tried too often; later it may work.
	ErrSlowDown = errors.New("too many attempts")
	// ErrUnreachable: the IdP cannot be reached.
	ErrUnreachable = errors.New("identity provider cannot be reached")
)

// refuse makes the two voices of a refusal; cause is for the log.
func refuse(sentence, next string, cause error) error {
	return &sekisho.Refusal{Sentence: sentence, Next: next, Cause: cause}
}

// again is the next step of nearly every refusal here.
const again = "Run: sekisho login"

// secret gives 256 random bits in base64url, 43 bytes long.
func secret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails (Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// digest is the form in which secrets are kept and become keys of records: base64url of their SHA-256.
func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// same compares two secrets without telling by time where they differ.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// isDigest reports whether s is 32 bytes in base64url without padding: a SHA-256, such as an S256 challenge
// (RFC 7636 §4.2) or a key's thumbprint (RFC 7638).
func isDigest(s string) bool {
	if len(s) != 43 {
		return false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == sha256.Size
}
