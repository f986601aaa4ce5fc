package control

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/ca"
)

// DefaultAgentTTL is how long a certificate for a person's ssh-agent is valid unless configured.
const DefaultAgentTTL = time.Hour

// Enter gives any live sign-in a certificate for its person's ssh-agent. No policy is asked, because it opens nothing by
// itself: the gateway judges every connection that it is shown for.
func (d access) Enter(ctx context.Context, req *connect.Request[apiv1.EnterRequest]) (*connect.Response[apiv1.EnterResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	key, err := readKey(req.Msg.PublicKey)
	if err != nil {
		return nil, malformed(err)
	}
	if err := checkKeyProof(key, req.Msg.KeyProof, EnterText(who.token)); err != nil {
		return nil, notProved(err)
	}
	cert, err := d.CA.AnyDoor(ctx, ca.AnyDoorRequest{
		SignIn: who.SignIn, Key: key, TTL: d.AgentTTL, ClientAddress: text(who.address),
	})
	if err != nil {
		return nil, as(connect.CodeInvalidArgument, err)
	}
	return connect.NewResponse(&apiv1.EnterResponse{
		Certificate:  ca.Line(cert),
		HostCa:       d.hostCA(),
		SshGateway:   d.SSHGateway,
		RevokedHosts: d.Revoked.Number(),
		Expires:      timestamppb.New(time.Unix(int64(cert.ValidBefore), 0)),
	}), nil
}

// EnterText is what a client signs with the SSH key that it puts into an agent.
func EnterText(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return []byte("sekisho-enter-v1\n" + hex.EncodeToString(sum[:]) + "\n")
}

// stale refuses a connection that the policies allow to whoever proved themselves more lately.
func (d access) stale(ctx context.Context, q *question, target string, limits sekisho.Limits, ev *sekisho.Event) error {
	cause := fmt.Errorf("proved themselves at %s, %s is asked for", q.who.Identity.AuthTime.Format(time.RFC3339), limits.Fresh)
	ev.Error = cause.Error()
	if err := d.Note(ctx, ev); err != nil {
		return fmt.Errorf("note decision: %w", err)
	}
	return &coded{
		code:   connect.CodeUnauthenticated,
		detail: &apiv1.Stale{FreshSeconds: int64(limits.Fresh.Seconds())},
		error: &sekisho.Refusal{
			Sentence: fmt.Sprintf("%s on %s is for people who proved themselves no longer than %s ago.", q.login, target, sekisho.Span(limits.Fresh)),
			Next:     "Run: sekisho login --fresh", Cause: cause,
		},
	}
}
