package control_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sekisho/sekisho/control"
)

// Who announces a body and does not send it must not hold a connection, whether the handler reads the body or not.
func TestUnsentBodyHoldsNoConnection(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"read": func(w http.ResponseWriter, r *http.Request) { io.ReadAll(r.Body); io.WriteString(w, "answer") },
		"closed": func(w http.ResponseWriter, r *http.Request) {
			io.ReadAll(r.Body)
			io.WriteString(w, "answer")
			r.Body.Close()
		},
		"not read": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "answer") },
		"flushed": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "answer")
			w.(http.Flusher).Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(control.Bounded(handler, 50*time.Millisecond))
			t.Cleanup(server.Close)
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			if _, err := io.ReadAll(conn); err != nil {
				t.Errorf("the server keeps the connection: %v", err)
			}
		})
	}
}

// An answer may take longer than the request had.
func TestLongAnswer(t *testing.T) {
	const send = 50 * time.Millisecond
	handler := control.Bounded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		io.WriteString(w, "begin ")
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			t.Error("the request was given up")
		case <-time.After(4 * send):
		}
		io.WriteString(w, "end")
	}), send)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	res, err := http.Post(server.URL, "text/plain", strings.NewReader("question"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); string(got) != "begin end" || err != nil {
		t.Errorf("answer %q, %v", got, err)
	}
}
