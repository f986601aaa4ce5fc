package control

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/policy"
)

// auditLog serves AuditService.
type auditLog struct{ *door }

func (d auditLog) List(ctx context.Context, req *connect.Request[apiv1.ListEventsRequest]) (*connect.Response[apiv1.ListEventsResponse], error) {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return nil, err
	}
	m := req.Msg
	n, err := limit(m.Limit)
	if err = errors.Join(err, filters(m.Kind, m.Actor, m.Target, m.Session)); err != nil {
		return nil, err
	}
	if m.Before < 0 {
		return nil, malformed(errors.New("before is negative"))
	}
	if err := d.may(ctx, who, policy.ReadAudit, false); err != nil {
		return nil, err
	}
	q := sekisho.EventQuery{Kind: m.Kind, Actor: m.Actor, Target: m.Target, Session: m.Session, Before: m.Before, Limit: n}
	if m.Since != nil {
		q.Since = m.Since.AsTime()
	}
	lines, err := d.Events.Query(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	return connect.NewResponse(&apiv1.ListEventsResponse{Events: lines[:fitting(lines)]}), nil
}

// maxAnswer bounds one answer in bytes; a client asks on with before.
const maxAnswer = 8 << 20

// fitting is how many of the lines go into one answer: one at least.
func fitting(lines [][]byte) int {
	total := 0
	for i, line := range lines {
		if total += len(line); total > maxAnswer && i > 0 {
			return i
		}
	}
	return len(lines)
}

// Export is noted before it begins, and so the export holds its own line.
func (d auditLog) Export(ctx context.Context, req *connect.Request[apiv1.ExportRequest], stream *connect.ServerStream[apiv1.ExportResponse]) error {
	who, err := d.signedIn(ctx, req)
	if err != nil {
		return err
	}
	if req.Msg.From < 0 {
		return malformed(errors.New("from is negative"))
	}
	if err := d.may(ctx, who, policy.ReadAudit, true); err != nil {
		return err
	}
	checkpoint, err := d.Events.Export(ctx, req.Msg.From, func(lines [][]byte) error {
		return stream.Send(&apiv1.ExportResponse{Events: lines})
	})
	if err != nil {
		return fmt.Errorf("export audit log: %w", err)
	}
	return stream.Send(&apiv1.ExportResponse{Checkpoint: checkpoint})
}
