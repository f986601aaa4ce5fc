package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
)

// sentences turns the errors of calls into refusals a person can read. What control itself said is passed on
// word for word; what went wrong on the way gets a sentence of its own. connect.CodeOf still sees the code, and the
// details stay.
type sentences struct{ url string }

func (s sentences) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		res, err := next(ctx, req)
		if err != nil {
			return nil, s.explain(err)
		}
		return res, nil
	}
}

func (s sentences) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		return &explainedStream{next(ctx, spec), s}
	}
}

func (s sentences) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next
}

// explainedStream explains the errors of a stream; io.EOF, its regular end, passes.
type explainedStream struct {
	connect.StreamingClientConn
	s sentences
}

func (e *explainedStream) Receive(m any) error {
	err := e.StreamingClientConn.Receive(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return e.s.explain(err)
}

func (s sentences) explain(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var ce *connect.Error
	if errors.As(err, &ce) && connect.IsWireError(err) && ce.Message() != "" {
		said := connect.NewError(ce.Code(), &sekisho.Refusal{Sentence: ce.Message(), Cause: err})
		for _, d := range ce.Details() {
			said.AddDetail(d)
		}
		return said
	}
	return connect.NewError(connect.CodeOf(err), unreachable(s.url, err))
}

// unreachable says why there is no conversation with the server at url.
func unreachable(url string, err error) *sekisho.Refusal {
	r := &sekisho.Refusal{Cause: err}
	var dns *net.DNSError
	var op *net.OpError
	var slow net.Error
	switch {
	case untrusted(err):
		r.Sentence = fmt.Sprintf("The certificate of %s is not one this machine trusts.", url)
		r.Next = "Log in again with --ca-file or with the --ca-pin that your administrator gives you."
	case errors.As(err, &dns):
		r.Sentence = fmt.Sprintf("The name in %s does not resolve.", url)
		r.Next = "Check the address and your network."
	case errors.As(err, &op):
		r.Sentence = fmt.Sprintf("%s cannot be reached: %v.", url, op.Err)
		r.Next = "Check your network, or ask your administrator whether the service is up."
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout(): // such as a TLS handshake that takes too long
		r.Sentence = fmt.Sprintf("%s did not answer in time.", url)
		r.Next = "Check your network, or ask your administrator whether the service is up."
	default:
		r.Sentence = fmt.Sprintf("%s gave an answer that makes no sense: %v.", url, err)
		r.Next = "Check that the address is that of a Sekisho."
	}
	return r
}
