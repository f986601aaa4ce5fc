package db

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sekisho/sekisho"
)

// SaveRecording writes the recording's entry, anew or over the one of its session.
func (d *DB) SaveRecording(ctx context.Context, r *sekisho.Recording) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("save recording: %w", err)
	}
	s := &r.Session
	_, err = d.exec(ctx, `
		INSERT INTO recordings (session, person, target, state, started, body) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (session) DO UPDATE SET person = excluded.person, target = excluded.target, state = excluded.state,
			started = excluded.started, body = excluded.body`,
		s.ID, s.Identity.Subject, s.Target, r.State, s.Started.UnixNano(), string(body))
	if err != nil {
		return fmt.Errorf("save recording: %w", err)
	}
	return nil
}

// Recording gives the entry of the session. The error wraps sekisho.ErrNotFound when there is none.
func (d *DB) Recording(ctx context.Context, session string) (*sekisho.Recording, error) {
	var body []byte
	if err := d.row(ctx, `SELECT body FROM recordings WHERE session = $1`, []any{session}, &body); err != nil {
		return nil, fmt.Errorf("read recording: %w", err)
	}
	return decode[sekisho.Recording](body)
}

// Recordings gives the matching entries, the newest start first. An unknown Before matches none.
func (d *DB) Recordings(ctx context.Context, q sekisho.RecordingQuery) ([]*sekisho.Recording, error) {
	var w where
	w.equal("person", q.Person)
	w.equal("target", q.Target)
	w.equal("state", q.State)
	w.equal("session", q.Session)
	if q.Before != "" {
		w.add(`(started, session) < (SELECT started, session FROM recordings WHERE session = `, q.Before, `)`)
	}
	text := `SELECT body FROM recordings` + w.text() + ` ORDER BY started DESC, session DESC LIMIT ` + w.arg(limit(q.Limit))
	bodies, err := d.bodies(ctx, text, w.args...)
	if err != nil {
		return nil, fmt.Errorf("read recordings: %w", err)
	}
	return decodeAll[sekisho.Recording](bodies)
}

// where collects the conditions of a query. Values only ever become parameters, so there are few texts to prepare.
type where struct {
	terms []string
	args  []any
}

// arg adds a parameter and gives its name.
func (w *where) arg(v any) string {
	w.args = append(w.args, v)
	return fmt.Sprintf("$%d", len(w.args))
}

func (w *where) add(before string, v any, after string) {
	w.terms = append(w.terms, before+w.arg(v)+after)
}

// equal adds a condition on a column unless the value is empty.
func (w *where) equal(column, v string) {
	if v != "" {
		w.add(column+" = ", v, "")
	}
}

func (w *where) text() string {
	if len(w.terms) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.terms, " AND ")
}
