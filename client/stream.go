package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/sekisho/sekisho"
	apiv1 "github.com/sekisho/sekisho/api/v1"
)

// upgrade is the name of the protocol after the 101.
const upgrade = "sekisho-stream"

// maxGateways is how many gateways are tried; control names the nearest first.
const maxGateways = 4

// duplex is the raw connection after the upgrade. CloseWrite ends our half.
type duplex interface {
	io.ReadWriteCloser
	CloseWrite() error
}

// openStream opens the stream to the first gateway that can be reached. A gateway that answers with a refusal has
// answered for all.
func (c *Client) openStream(ctx context.Context, grant *apiv1.ConnectResponse) (duplex, error) {
	var last error = &sekisho.Refusal{
		Sentence: "Control named no gateway for this target.", Next: "Ask your administrator.",
	}
	for _, gateway := range grant.Gateways[:min(len(grant.Gateways), maxGateways)] {
		u, err := url.Parse(gateway)
		if err != nil || u.Scheme != "https" {
			last = &sekisho.Refusal{Sentence: "Control named a gateway without https.", Next: "Ask your administrator.", Cause: err}
			continue
		}
		stream, final, err := c.upgradeAt(ctx, u, grant.Token)
		if err == nil {
			return stream, nil
		}
		if final || ctx.Err() != nil {
			return nil, err
		}
		last = err
	}
	return nil, last
}

// upgradeAt opens the stream at one gateway. final says that another gateway would say the same.
func (c *Client) upgradeAt(ctx context.Context, u *url.URL, token string) (stream duplex, final bool, err error) {
	origin := u.Scheme + "://" + u.Host
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, false, fmt.Errorf("ask %s: %w", origin, err)
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", upgrade)
	res, err := c.signed(origin, func() string { return token }).RoundTrip(req)
	if err != nil {
		return nil, false, unreachable(origin, err)
	}
	if res.StatusCode == http.StatusSwitchingProtocols && strings.EqualFold(res.Header.Get("Upgrade"), upgrade) {
		if stream, ok := res.Body.(duplex); ok {
			return stream, true, nil
		}
	}
	defer res.Body.Close()
	return nil, res.StatusCode >= 400 && res.StatusCode < 500, refusalOf(origin, res)
}

// refusalOf reads what a gateway said instead of opening the stream: a sentence as text, or as the message of a
// JSON object like control's.
func refusalOf(origin string, res *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(res.Body, 2048))
	said := string(body)
	var object struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &object) == nil {
		said = object.Message
	}
	said = strings.TrimSpace(said)
	if said == "" || strings.HasPrefix(said, "<") || strings.ContainsFunc(said, unprintable) {
		said = fmt.Sprintf("The gateway %s answered %q instead of opening a stream.", origin, res.Status)
	}
	return &sekisho.Refusal{Sentence: said, Cause: fmt.Errorf("gateway %s: %s", origin, res.Status)}
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }

// bufferSize holds several TLS records, so that bulk data costs few system calls.
const bufferSize = 128 << 10

// closeGrace is how long the other side may take to end after ssh has closed its half.
const closeGrace = 5 * time.Second

// splice copies both ways until either side ends or ctx does. Each read is written at once: no byte waits for more.
func splice(ctx context.Context, stream duplex, in io.Reader, out io.Writer) error {
	up, down := make(chan error, 1), make(chan error, 1)
	go func() {
		err := pump(stream, in)
		if err == nil {
			err = stream.CloseWrite()
		}
		up <- err
	}()
	go func() { down <- pump(out, stream) }()
	select {
	case <-ctx.Done():
		return nil
	case err := <-down:
		return ended(err)
	case err := <-up:
		if err != nil {
			return ended(err)
		}
	}
	grace := time.NewTimer(closeGrace)
	defer grace.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-grace.C:
		return nil
	case err := <-down:
		return ended(err)
	}
}

// pump copies until EOF, which is no error. It is not io.Copy because the fast paths of os.File that io.Copy
// prefers fall back to a smaller buffer for pipes and TLS.
func pump(to io.Writer, from io.Reader) error {
	buf := make([]byte, bufferSize)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// ended tells a connection that was lost from one that ssh has simply left.
func ended(err error) error {
	if err == nil || closedPipe(err) {
		return nil
	}
	return &sekisho.Refusal{Sentence: "The connection to the gateway was lost.", Next: "Connect again.", Cause: err}
}
