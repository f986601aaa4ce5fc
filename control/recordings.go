package control

import (
	"context"
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/policy"
)

const (
	maxList   = 1000
	maxFilter = 512       // bytes of one filter
	piece     = 256 << 10 // bytes of one message of a download
)

// recordings serves RecordingService.
type recordings struct{ *door }

// may decides an action that is about no target. A denial is always noted, a permission where keep says so: before
// what follows it.
func (d *door) may(ctx context.Context, who *caller, action policy.Action, keep bool) error {
	decision := d.Policies().Evaluate(policy.Request{Action: action, Identity: who.Identity, ClientAddress: who.address}, d.Now())
	if decision.Effect != sekisho.Allow || keep {
		ev := &sekisho.Event{
			Kind: sekisho.EventDecision, Actor: who.Identity.Subject, SignIn: who.ID, ClientAddress: text(who.address),
			Decision: &decision, Detail: map[string]string{"action": string(action)},
		}
		if err := d.Note(ctx, ev); err != nil {
			return fmt.Errorf("note decision: %w", err)
		}
	}
	if decision.Effect != sekisho.Allow {
		return denied(decision)
	}
	return nil
}

// limit reads how many a list may hold.
func limit(asked int32) (int, error) {
	switch {
	case asked < 0 || asked > maxList:
		return 0, malformed(fmt.Errorf("limit %d is not between 0 and %d", asked, maxList))
	case asked == 0:
		return 100, nil
	}
	return int(asked), nil
}

func filters(values ...string) error {
	for _, v := range values {
		if len(v) > maxFilter {
			return malformed(fmt.Errorf("a filter is longer than %d bytes", maxFilter))
		}
	}
	return nil
}

func (d recordings) List(ctx context.Context, req *connect.Request[apiv1.ListRecordingsRequest]) (*connect.Response[apiv1.ListRecordingsResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	m := req.Msg
	n, err := limit(m.Limit)
	if err = errors.Join(err, filters(m.Person, m.Target)); err != nil {
		return nil, err
	}
	if m.Before != "" && !sekisho.CheckID("ses", m.Before) {
		return nil, malformed(errors.New("before is no session"))
	}
	if m.Session != "" && !sekisho.CheckID("ses", m.Session) {
		return nil, malformed(errors.New("that is no session"))
	}
	if err := d.may(ctx, who, policy.ReadRecordings, false); err != nil {
		return nil, err
	}
	all, err := d.Store.Recordings(ctx, sekisho.RecordingQuery{
		Person: m.Person, Target: m.Target, Session: m.Session, Before: m.Before, Limit: n,
	})
	if err != nil {
		return nil, fmt.Errorf("list recordings: %w", err)
	}
	res := &apiv1.ListRecordingsResponse{}
	for _, r := range all {
		res.Recordings = append(res.Recordings, recordingMessage(r))
	}
	return connect.NewResponse(res), nil
}

func recordingMessage(r *sekisho.Recording) *apiv1.Recording {
	m := &apiv1.Recording{
		Session:       r.Session.ID,
		Person:        r.Session.Identity.Subject,
		Target:        r.Session.Target,
		Login:         r.Session.Login,
		State:         r.State,
		Started:       timestamppb.New(r.Session.Started),
		Bytes:         r.Bytes,
		Chain:         r.Chain,
		Recipients:    r.Recipients,
		ClientAddress: r.Session.ClientAddress,
	}
	if !r.Ended.IsZero() {
		m.Ended = timestamppb.New(r.Ended)
	}
	return m
}

func (d recordings) Download(ctx context.Context, req *connect.Request[apiv1.DownloadRequest], stream *connect.ServerStream[apiv1.DownloadResponse]) error {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return err
	}
	session := req.Msg.Session
	if !sekisho.CheckID("ses", session) { // it becomes a file's name
		return malformed(errors.New("that is no session"))
	}
	if err := d.may(ctx, who, policy.ReadRecordings, false); err != nil {
		return err
	}
	file, total, err := d.OpenRecording(ctx, session)
	if errors.Is(err, sekisho.ErrNotFound) {
		return as(connect.CodeNotFound, &sekisho.Refusal{
			Sentence: "There is no recording of that session.", Next: "sekisho recordings list shows those there are.", Cause: err,
		})
	}
	if err != nil {
		return fmt.Errorf("open recording: %w", err)
	}
	defer file.Close()
	ev := &sekisho.Event{
		Kind: sekisho.EventRecordingRead, Actor: who.Identity.Subject, SignIn: who.ID, Session: session, ClientAddress: text(who.address),
	}
	if err := d.Note(ctx, ev); err != nil {
		return fmt.Errorf("note reading: %w", err)
	}
	open, err := d.isOpen(ctx, session)
	if err != nil {
		return err
	}
	return send(io.LimitReader(file, total), &apiv1.DownloadResponse{Total: total, Open: open}, stream)
}

// isOpen reports whether the session of a recording still runs.
func (d *door) isOpen(ctx context.Context, session string) (bool, error) {
	found, err := d.Store.Recordings(ctx, sekisho.RecordingQuery{Session: session, State: sekisho.RecordingOpen, Limit: 1})
	if err != nil {
		return false, fmt.Errorf("read recording's state: %w", err)
	}
	return len(found) > 0, nil
}

// send cuts the file into messages; the first one says besides how many bytes will come.
func send(file io.Reader, first *apiv1.DownloadResponse, stream *connect.ServerStream[apiv1.DownloadResponse]) error {
	buf := make([]byte, piece)
	for m := first; ; m = new(apiv1.DownloadResponse) {
		n, err := io.ReadFull(file, buf)
		if n > 0 || m == first {
			m.Data = buf[:n]
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read recording: %w", err)
		}
	}
}
