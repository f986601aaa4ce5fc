package control

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/login"
)

// coded is an error with the code that a refusal in it gets. Errors that hold no refusal are ours: the code does
// not hide that.
type coded struct {
	code   connect.Code
	detail proto.Message // for programs; may be nil
	error
}

func (c *coded) Unwrap() error { return c.error }

// as gives an error its code; nil stays nil.
func as(code connect.Code, err error) error {
	if err == nil {
		return nil
	}
	return &coded{code: code, error: err}
}

// malformed refuses what a well-made client does not send.
func malformed(cause error) error {
	return as(connect.CodeInvalidArgument, &sekisho.Refusal{
		Sentence: "The request is malformed: " + cause.Error() + ".", Next: "Check what you typed, or update the client.", Cause: cause,
	})
}

// voices turns the handlers' errors into what a caller may hear, and logs the rest.
type voices struct{ d *door }

func (v voices) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err != nil {
			return nil, v.d.tell(ctx, req.Spec().Procedure, req.Peer().Addr, err)
		}
		return res, nil
	}
}

func (v voices) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := next(ctx, conn); err != nil {
			return v.d.tell(ctx, conn.Spec().Procedure, conn.Peer().Addr, err)
		}
		return nil
	}
}

func (v voices) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// tell is the voice for the caller: the refusal's sentence and next step, or for a fault of ours a general sentence
// and the request ID under which the log has the cause.
func (d *door) tell(ctx context.Context, procedure, peer string, err error) error {
	var already *connect.Error
	if errors.As(err, &already) {
		return already // from reading or writing the stream itself
	}
	code := codeOf(ctx, err)
	id := d.log(ctx, procedure, peer, err)
	text := sekisho.Say(err)
	if !refusal(err) {
		text += " Its request ID is " + id + "."
	}
	told := connect.NewError(code, errors.New(text))
	var c *coded
	if errors.As(err, &c) && c.detail != nil {
		if detail, err := connect.NewErrorDetail(c.detail); err == nil {
			told.AddDetail(detail)
		}
	}
	return told
}

func codeOf(ctx context.Context, err error) connect.Code {
	var c *coded
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return connect.CodeCanceled
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return connect.CodeDeadlineExceeded
	case errors.Is(err, login.ErrSlowDown):
		return connect.CodeResourceExhausted
	case errors.Is(err, login.ErrUnreachable), errors.Is(err, ca.ErrCannotSign):
		return connect.CodeUnavailable
	case !refusal(err):
		return connect.CodeInternal
	case errors.As(err, &c):
		return c.code
	}
	return connect.CodePermissionDenied
}

func refusal(err error) bool {
	var r *sekisho.Refusal
	return errors.As(err, &r)
}

// log is the voice for administrators. It gives the request ID.
func (d *door) log(ctx context.Context, where, peer string, err error) string {
	id := rand.Text()[:12]
	switch {
	case ctx.Err() != nil: // the caller is gone
	case refusal(err):
		d.Log.Info("refused", "request", id, "at", where, "peer", peer, "error", err)
	default:
		d.Log.Error("failed", "request", id, "at", where, "peer", peer, "error", err)
	}
	return id
}

// recovered keeps a fault in one call from being more than that.
func (d *door) recovered(_ context.Context, spec connect.Spec, _ http.Header, p any) error {
	return fmt.Errorf("panic at %s: %v", spec.Procedure, p)
}
