package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"google.golang.org/protobuf/proto"

	apiv1 "github.com/sekisho/sekisho/api/v1"
	"github.com/sekisho/sekisho/api/v1/apiv1connect"
)

// issuer is a service that gives certificates over HTTPS.
type issuer struct {
	name  string
	pid   int
	url   string // of the call
	roots *x509.CertPool
	// header and body make one call, with a credential that works once.
	ask func(key ed25519.PrivateKey) (header http.Header, body []byte, err error)
	// read takes the certificate out of an answer.
	read func(answer []byte) (*ssh.Certificate, error)

	key     ed25519.PrivateKey // what is certified
	callers []*http.Transport  // one kept-alive HTTP/1.1 connection each
	got     map[int]*issued    // by callers at once
}

// issued is what rounds gave: calls a second, ms of each call, CPU ms each of the issuer and of who calls, MiB.
type issued struct{ rate, times, cpu, client, rss []float64 }

func (i *issuer) add(callers int, one *issued) {
	if i.got[callers] == nil {
		i.got[callers] = &issued{}
	}
	g := i.got[callers]
	g.rate, g.times, g.cpu = append(g.rate, one.rate...), append(g.times, one.times...), append(g.cpu, one.cpu...)
	g.client, g.rss = append(g.client, one.client...), append(g.rss, one.rss...)
}

// open opens the connections and starts counting memory.
func (i *issuer) open(ctx context.Context, callers int) (err error) {
	i.got = map[int]*issued{}
	if _, i.key, err = ed25519.GenerateKey(rand.Reader); err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	for range callers {
		i.callers = append(i.callers, &http.Transport{Protocols: protocols, MaxConnsPerHost: 1,
			TLSClientConfig: &tls.Config{RootCAs: i.roots, MinVersion: tls.VersionTLS13}})
	}
	if _, err := i.round(ctx, callers, callers); err != nil {
		return err
	}
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", i.pid), []byte("5"), 0) // VmHWM begins anew, proc(5)
}

func (i *issuer) close() {
	for _, t := range i.callers {
		t.CloseIdleConnections()
	}
}

// round has some callers make so many calls together.
func (i *issuer) round(ctx context.Context, callers, calls int) (*issued, error) {
	requests := make([]*http.Request, calls)
	for n := range requests {
		header, body, err := i.ask(i.key)
		if err != nil {
			return nil, err
		}
		if requests[n], err = http.NewRequestWithContext(ctx, http.MethodPost, i.url, bytes.NewReader(body)); err != nil {
			return nil, err
		}
		requests[n].Header = header
	}
	times, answers, errs := make([]float64, calls), make([][]byte, calls), make([]error, callers)
	var all sync.WaitGroup
	before, own, start := cpuOf([]int{i.pid}), ownCPU(), time.Now()
	for c, first := 0, 0; c < callers; c++ {
		from, to := first, first+share(calls, callers, c)
		first = to
		all.Go(func() {
			for n := from; n < to && errs[c] == nil; n++ {
				begun := time.Now()
				answers[n], errs[c] = send(i.callers[c], requests[n])
				times[n] = ms(time.Since(begun))
			}
		})
	}
	all.Wait()
	took, client, used := time.Since(start), ownCPU()-own, cpuOf([]int{i.pid})-before
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	n := float64(calls)
	rss, _ := memoryOf(i.pid)
	return &issued{[]float64{n / took.Seconds()}, times, []float64{ms(used) / n}, []float64{ms(client) / n}, []float64{float64(rss) / 1024}}, i.check(answers)
}

func send(by http.RoundTripper, r *http.Request) ([]byte, error) {
	res, err := by.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %.300s", res.Status, answer)
	}
	return answer, err
}

// check sees that every answer holds a certificate of our key that no other answer holds.
func (i *issuer) check(answers [][]byte) error {
	seen := map[uint64]bool{}
	key, err := ssh.NewPublicKey(i.key.Public())
	if err != nil {
		return err
	}
	for _, a := range answers {
		c, err := i.read(a)
		if err != nil {
			return err
		}
		if !bytes.Equal(c.Key.Marshal(), key.Marshal()) || seen[c.Serial] {
			return fmt.Errorf("certificate %d is for another key, or there twice", c.Serial)
		}
		seen[c.Serial] = true
	}
	return nil
}

// peak is the most memory that the process had since open, in MiB; 0 where the kernel does not say.
func (i *issuer) peak() float64 {
	text, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(i.pid), "status"))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(value)[0])
			return float64(kib) / 1024
		}
	}
	return 0
}

// houseIssuer is the house, asked by mei for db1.
func (s *street) houseIssuer() *issuer {
	p := s.mei
	url := p.url + apiv1connect.AccessServiceConnectProcedure
	return &issuer{name: "sekishod", pid: s.house.pid("sekishod"), url: url, roots: p.roots,
		ask: func(key ed25519.PrivateKey) (http.Header, []byte, error) {
			proof, err := p.prover.Proof(http.MethodPost, url, p.token, time.Now())
			if err != nil {
				return nil, nil, err
			}
			request, err := p.ask(key, "db1", s.house.Login)
			if err != nil {
				return nil, nil, err
			}
			body, err := proto.Marshal(request)
			return http.Header{"Content-Type": {"application/proto"}, "Connect-Protocol-Version": {"1"},
				"Authorization": {"DPoP " + p.token}, "Dpop": {proof}}, body, err
		},
		read: func(answer []byte) (*ssh.Certificate, error) {
			res := &apiv1.ConnectResponse{}
			if err := proto.Unmarshal(answer, res); err != nil {
				return nil, err
			}
			return certificateIn([]byte(res.Certificate))
		},
	}
}

// certificateIn reads an authorized_keys line.
func certificateIn(line []byte) (*ssh.Certificate, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	if err != nil {
		return nil, err
	}
	c, ok := key.(*ssh.Certificate)
	if !ok {
		return nil, fmt.Errorf("a %s, not a certificate", key.Type())
	}
	return c, nil
}

// ask is the question for one connection, with the SSH key's own proof.
func (p *person) ask(key ed25519.PrivateKey, target, login string) (*apiv1.ConnectRequest, error) {
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	text := fmt.Appendf(nil, "sekisho-connect-v1\n%x\n%s\n%s\n", sha256.Sum256([]byte(p.token)), target, login)
	proof, err := signer.Sign(rand.Reader, text)
	if err != nil {
		return nil, err
	}
	return &apiv1.ConnectRequest{Host: target, Login: login,
		PublicKey: string(ssh.MarshalAuthorizedKey(signer.PublicKey())), KeyProof: ssh.Marshal(proof)}, nil
}
