package tunnel

import "io"

// What the tests need of the wire's inside.

type Frame = frame

func ReadFrame(r io.Reader) (Frame, error)  { return readFrame(r) }
func AppendFrame(b []byte, f Frame) []byte  { return appendFrame(b, f) }
func WriteFrame(w io.Writer, f Frame) error { return writeFrame(w, f) }
func Hello(data bool, con, link string, targets int) Frame {
	h := hello{role: roleControl, connector: con, link: link, targets: uint16(targets), version: "test"}
	if data {
		h.role = roleData
	}
	return h
}
func Serve(names ...string) Frame { return serve{names: names} }
func ServeFrames(names []string) []Frame {
	var out []Frame
	for _, f := range serveFrames(names) {
		out = append(out, f)
	}
	return out
}
func Open(target, stream string) Frame { return open{target: target, stream: stream} }

// Frames holds one of every kind.
func Frames(con, link, stream string) []Frame {
	return []Frame{
		Hello(false, con, link, 2), Hello(true, con, link, 0), Serve("db1", "web1.example"), welcome{targets: 2},
		refuse{reason: "no"}, ping{}, pong{}, want{n: 3}, open{target: "db1", stream: stream}, opened{},
		failed{reason: "unknown target"}, drain{},
	}
}

// Welcome, Opened, Ping and Reason look into frames.
func IsWelcome(f Frame) bool { _, ok := f.(welcome); return ok }
func IsOpened(f Frame) bool  { _, ok := f.(opened); return ok }
func Welcome(n int) Frame    { return welcome{targets: uint16(n)} }
func Opened() Frame          { return opened{} }
func Reason(f Frame) string {
	switch f := f.(type) {
	case refuse:
		return f.reason
	case failed:
		return f.reason
	}
	return ""
}
func HelloLink(f Frame) string {
	h, _ := f.(hello)
	return h.link
}
func HelloIsData(f Frame) bool {
	h, _ := f.(hello)
	return h.role == roleData
}
