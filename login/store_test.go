package login_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/sekisho/sekisho"
)

// memory is a Store in maps.
type memory struct {
	mu      sync.Mutex
	pending map[string]record
	signIns map[string]*sekisho.SignIn
}

type record struct {
	body    []byte
	expires time.Time
}

func newMemory() *memory {
	return &memory{pending: make(map[string]record), signIns: make(map[string]*sekisho.SignIn)}
}

func (m *memory) PutPending(_ context.Context, key string, expires time.Time, body []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pending[key] = record{slices.Clone(body), expires}
	return nil
}

func (m *memory) Pending(_ context.Context, key string, now time.Time) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.pending[key]
	if !ok || !now.Before(r.expires) {
		return nil, sekisho.ErrNotFound
	}
	return r.body, nil
}

func (m *memory) TakePending(ctx context.Context, key string, now time.Time) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.pending[key]
	delete(m.pending, key)
	if !ok || !now.Before(r.expires) {
		return nil, sekisho.ErrNotFound
	}
	return r.body, nil
}

func (m *memory) SaveSignIn(_ context.Context, s *sekisho.SignIn) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := *s
	m.signIns[s.ID] = &c
	return nil
}

func (m *memory) SignIn(_ context.Context, id string) (*sekisho.SignIn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.signIns[id]
	if !ok {
		return nil, sekisho.ErrNotFound
	}
	c := *s
	return &c, nil
}

func (m *memory) SignIns(_ context.Context, subject string, now time.Time) ([]*sekisho.SignIn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*sekisho.SignIn
	for _, s := range m.signIns {
		if s.Identity.Subject == subject && s.Live(now) {
			c := *s
			out = append(out, &c)
		}
	}
	return out, nil
}

func (m *memory) EndSignIn(_ context.Context, id string, at time.Time) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.signIns[id]
	if !ok || !s.Ended.IsZero() {
		return false, nil
	}
	s.Ended = at
	return true, nil
}
