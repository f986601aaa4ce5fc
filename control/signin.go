package control

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/login"
)

// signIns serves SignInService.
type signIns struct{ *door }

func (d signIns) Begin(ctx context.Context, req *connect.Request[apiv1.BeginRequest]) (*connect.Response[apiv1.BeginResponse], error) {
	thumbprint, err := d.proven(req)
	if err != nil {
		return nil, err
	}
	begun, err := d.Desk.Begin(ctx, login.BeginParams{
		CodeChallenge: req.Msg.CodeChallenge,
		RedirectURI:   req.Msg.RedirectUri,
		State:         req.Msg.State,
		Device:        req.Msg.Device,
		Fresh:         req.Msg.Fresh,
		Thumbprint:    thumbprint,
		ClientAddress: text(addressOf(req.Peer().Addr)),
	})
	if err != nil {
		return nil, as(connect.CodeInvalidArgument, err)
	}
	return connect.NewResponse(&apiv1.BeginResponse{
		Request:         begun.Request,
		Url:             begun.URL,
		UserCode:        begun.UserCode,
		IntervalSeconds: int32(begun.Interval.Seconds()),
		Expires:         timestamppb.New(begun.Expires),
	}), nil
}

func (d signIns) Finish(ctx context.Context, req *connect.Request[apiv1.FinishRequest]) (*connect.Response[apiv1.FinishResponse], error) {
	thumbprint, err := d.proven(req)
	if err != nil {
		return nil, err
	}
	token, s, pending, err := d.Desk.Finish(ctx, login.FinishParams{
		Request:      req.Msg.Request,
		CodeVerifier: req.Msg.CodeVerifier,
		Code:         req.Msg.Code,
		Thumbprint:   thumbprint,
	})
	if err != nil {
		return nil, as(connect.CodeUnauthenticated, err)
	}
	if pending {
		return connect.NewResponse(&apiv1.FinishResponse{Pending: true}), nil
	}
	return connect.NewResponse(&apiv1.FinishResponse{Token: token, SignIn: signInMessage(s, s.ID)}), nil
}

func (d signIns) Status(ctx context.Context, req *connect.Request[apiv1.StatusRequest]) (*connect.Response[apiv1.StatusResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	all, err := d.Desk.List(ctx, who.Identity.Subject)
	if err != nil {
		return nil, err
	}
	res := &apiv1.StatusResponse{}
	for _, s := range all {
		res.SignIns = append(res.SignIns, signInMessage(s, who.ID))
	}
	return connect.NewResponse(res), nil
}

func (d signIns) End(ctx context.Context, req *connect.Request[apiv1.EndRequest]) (*connect.Response[apiv1.EndResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	ended, err := d.Desk.End(ctx, who.SignIn, req.Msg.Id, req.Msg.Everywhere)
	if err != nil {
		return nil, as(connect.CodeNotFound, err)
	}
	return connect.NewResponse(&apiv1.EndResponse{Ended: int32(ended)}), nil
}

func signInMessage(s *sekisho.SignIn, current string) *apiv1.SignIn {
	return &apiv1.SignIn{
		Id:            s.ID,
		Subject:       s.Identity.Subject,
		Name:          s.Identity.Name,
		Groups:        s.Identity.Groups,
		Issuer:        s.Identity.Issuer,
		Device:        s.Device,
		ClientAddress: s.ClientAddress,
		Created:       timestamppb.New(s.Created),
		Expires:       timestamppb.New(s.Expires),
		Current:       s.ID == current,
	}
}
