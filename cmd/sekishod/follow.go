package main

import (
	"context"
	"io"
	"sync"

	"github.com/sekisho/sekisho/store/blob"
)

// follows knows how far the open recordings are durable, for those who read them while they grow.
type follows struct {
	mu   sync.Mutex
	open map[string]*growth
}

// growth is how far one recording is.
type growth struct {
	mu      sync.Mutex
	durable int64
	over    bool
	more    chan struct{} // closed when there is more, or nothing more to come
}

// begin is called when a recording's first bytes are durable.
func (f *follows) begin(session string, durable int64) *growth {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		f.open = map[string]*growth{}
	}
	g := &growth{durable: durable, more: make(chan struct{})}
	f.open[session] = g
	return g
}

// end is called when the recording is closed, or cannot go on.
func (f *follows) end(session string, g *growth) {
	f.mu.Lock()
	delete(f.open, session)
	f.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.over {
		g.over = true
		close(g.more)
	}
}

func (f *follows) find(session string) *growth {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.open[session]
}

// grow says that so many bytes are durable.
func (g *growth) grow(durable int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if durable > g.durable && !g.over {
		g.durable = durable
		close(g.more)
		g.more = make(chan struct{})
	}
}

// after returns when more than at bytes are durable, and says how many are, or that no more come.
func (g *growth) after(ctx context.Context, at int64) (durable int64, over bool, err error) {
	for {
		g.mu.Lock()
		durable, over, more := g.durable, g.over, g.more
		g.mu.Unlock()
		if durable > at || over {
			return durable, over, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return 0, false, ctx.Err()
		}
	}
}

// follow fills control's FollowRecording port: the sealed bytes from an offset on, as they become durable, until the
// recording is closed.
func (r *recorder) follow(ctx context.Context, session string, offset int64) (io.ReadCloser, int64, error) {
	growth := r.follows.find(session)
	file, err := r.folder.Open(session)
	if err != nil {
		return nil, 0, err
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		file.Close()
		return nil, 0, err
	}
	if growth == nil { // closed meanwhile
		return file, file.Size(), nil
	}
	growth.mu.Lock()
	defer growth.mu.Unlock()
	return &follower{ctx: ctx, file: file, at: offset, growth: growth}, growth.durable, nil
}

// open fills control's OpenRecording port: of a recording that grows there is what is durable.
func (r *recorder) open(_ context.Context, session string) (io.ReadCloser, int64, error) {
	growth := r.follows.find(session)
	file, err := r.folder.Open(session)
	if err != nil {
		return nil, 0, err
	}
	if growth == nil {
		return file, file.Size(), nil
	}
	growth.mu.Lock()
	defer growth.mu.Unlock()
	return file, growth.durable, nil
}

// follower reads a recording that grows.
type follower struct {
	ctx    context.Context
	file   *blob.Reader
	at     int64
	growth *growth
}

func (f *follower) Read(p []byte) (int, error) {
	durable, over, err := f.growth.after(f.ctx, f.at)
	if err != nil {
		return 0, err
	}
	if f.at >= durable && over {
		return 0, io.EOF
	}
	n, err := f.file.Read(p[:min(int64(len(p)), durable-f.at)])
	f.at += int64(n)
	return n, err
}

func (f *follower) Close() error { return f.file.Close() }
