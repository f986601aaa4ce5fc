package login

import (
	"context"
	"time"

	"github.com/sekisho/sekisho"
)

// Store keeps what must outlive a process and be seen by all of them. What is absent, taken or expired is
// sekisho.ErrNotFound, wrapped or not.
type Store interface {
	Pendings
	SignIns
}

// Pendings keeps one-time records that expire: a key, a body, a time.
type Pendings interface {
	PutPending(ctx context.Context, key string, expires time.Time, body []byte) error
	Pending(ctx context.Context, key string, now time.Time) ([]byte, error)
	// TakePending reads and removes in one step: of any number of callers at once, one gets the body.
	TakePending(ctx context.Context, key string, now time.Time) ([]byte, error)
}

// SignIns keeps sign-ins.
type SignIns interface {
	SaveSignIn(ctx context.Context, s *sekisho.SignIn) error
	SignIn(ctx context.Context, id string) (*sekisho.SignIn, error)
	// SignIns gives the subject's sign-ins that live at that time.
	SignIns(ctx context.Context, subject string, now time.Time) ([]*sekisho.SignIn, error)
	// EndSignIn says whether this call is the one that ended it.
	EndSignIn(ctx context.Context, id string, at time.Time) (bool, error)
}

// begun is what Begin keeps under "begun/REQUEST" until Finish takes it. It never changes.
type begun struct {
	CodeChallenge string    `json:"code_challenge"`
	RedirectURI   string    `json:"redirect_uri,omitempty"`
	State         string    `json:"state,omitempty"`
	Device        string    `json:"device,omitempty"`
	Fresh         bool      `json:"fresh,omitempty"`
	Thumbprint    string    `json:"thumbprint"`
	ClientAddress string    `json:"client_address,omitempty"`
	UserCode      string    `json:"user_code,omitempty"`
	Expires       time.Time `json:"expires"`
}

func (b *begun) byDevice() bool { return b.RedirectURI == "" }

// visit is what Visit and Confirm keep under "visit/DIGEST(state)" until the IdP sends the browser back.
type visit struct {
	// Request is the sign-in that it is for, or Question the question.
	Request  string `json:"request,omitempty"`
	Question string `json:"question,omitempty"`

	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Since    time.Time `json:"since,omitzero"`
	// Cookie is the digest of the cookie that the browser was given.
	Cookie string `json:"cookie"`
}

// ready is what Callback keeps under "ready/REQUEST" once the person is known, until Finish takes it.
type ready struct {
	Identity sekisho.Identity `json:"identity"`
	// Code is the digest of the one-time code on the loopback redirect; empty in the device flow.
	Code string `json:"code,omitempty"`
}

// Keys of the records. "open/REQUEST" is the right to approve a request: who takes it approves, so that it happens
// once. "user/CODE" leads from a user code to its request, "ticket/TICKET" from a looked-up device page to it.
func keyBegun(request string) string { return "begun/" + request }
func keyOpen(request string) string  { return "open/" + request }
func keyReady(request string) string { return "ready/" + request }
func keyVisit(state string) string   { return "visit/" + digest(state) }
func keyUser(code string) string     { return "user/" + code }
func keyTicket(ticket string) string { return "ticket/" + ticket }

// "unanswered/QUESTION" is the right to answer a question, as "open/REQUEST" is to approve a request.
func keyAsked(question string) string      { return "asked/" + question }
func keyUnanswered(question string) string { return "unanswered/" + question }
func keyAnswer(question string) string     { return "answer/" + question }
