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
	// ask makes one call for this key, with a credential that works once.
	ask func(key ed25519.PrivateKey) (header http.Header, body []byte, err error)
	// read takes the certificate out of an answer.
	read func(answer []byte) (*ssh.Certificate, error)

	callers []*http.Transport // one kept-alive HTTP/1.1 connection each
	got     map[int]*issued   // by callers at once
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
func (i *issuer) open(ctx context.Context, callers int) error {
	i.got = map[int]*issued{}
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

// round has some callers make so many calls together, each for a key of its own.
func (i *issuer) round(ctx context.Context, callers, calls int) (*issued, error) {
	requests, keys := make([]*http.Request, calls), make([]ed25519.PublicKey, calls)
	for n := range requests {
		var err error
		if requests[n], keys[n], err = i.request(ctx); err != nil {
			return nil, err
		}
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
	return &issued{[]float64{n / took.Seconds()}, times, []float64{ms(used) / n}, []float64{ms(client) / n}, []float64{float64(rss) / 1024}}, i.check(keys, answers)
}

// request makes a key and a call for it.
func (i *issuer) request(ctx context.Context) (*http.Request, ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	header, body, err := i.ask(private)
	if err != nil {
		return nil, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, i.url, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header = header
	return r, public, nil
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

// check sees that every answer holds a certificate of the key that was asked for, which no other answer holds.
func (i *issuer) check(keys []ed25519.PublicKey, answers [][]byte) error {
	seen := map[uint64]bool{}
	for n, a := range answers {
		key, err := ssh.NewPublicKey(keys[n])
		if err != nil {
			return err
		}
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

// connectIssuer is the house, asked by mei for db1.
func (s *street) connectIssuer() *issuer {
	return s.houseIssuer("sekishod: Connect", apiv1connect.AccessServiceConnectProcedure, &apiv1.ConnectResponse{},
		func(key ed25519.PrivateKey) (proto.Message, error) { return s.mei.ask(key, "db1", s.house.Login) })
}

// signIssuer is the house, asked by mei for a certificate of a configured issuer.
func (s *street) signIssuer() *issuer {
	return s.houseIssuer("sekishod: Sign", apiv1connect.CertificateServiceSignProcedure, &apiv1.SignResponse{},
		func(key ed25519.PrivateKey) (proto.Message, error) { return s.mei.wish(key, "bench") })
}

// houseIssuer is one of the house's calls, asked by mei.
func (s *street) houseIssuer(name, procedure string, res interface {
	proto.Message
	GetCertificate() string
}, ask func(ed25519.PrivateKey) (proto.Message, error)) *issuer {
	p := s.mei
	url := p.url + procedure
	return &issuer{name: name, pid: s.house.pid("sekishod"), url: url, roots: p.roots,
		ask: func(key ed25519.PrivateKey) (http.Header, []byte, error) {
			proof, err := p.prover.Proof(http.MethodPost, url, p.token, time.Now())
			if err != nil {
				return nil, nil, err
			}
			request, err := ask(key)
			if err != nil {
				return nil, nil, err
			}
			body, err := proto.Marshal(request)
			return http.Header{"Content-Type": {"application/proto"}, "Connect-Protocol-Version": {"1"},
				"Authorization": {"DPoP " + p.token}, "Dpop": {proof}}, body, err
		},
		read: func(answer []byte) (*ssh.Certificate, error) {
			if err := proto.Unmarshal(answer, res); err != nil {
				return nil, err
			}
			return certificateIn([]byte(res.GetCertificate()))
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

// wish is the question to a configured issuer, with the SSH key's own proof.
func (p *person) wish(key ed25519.PrivateKey, issuer string) (*apiv1.SignRequest, error) {
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	now := time.Now().Unix()
	proof, err := signer.Sign(rand.Reader, fmt.Appendf(nil, "sekisho-sign-v1\n%x\n%s\n%d\n", sha256.Sum256([]byte(p.token)), issuer, now))
	if err != nil {
		return nil, err
	}
	return &apiv1.SignRequest{Issuer: issuer, PublicKey: string(ssh.MarshalAuthorizedKey(signer.PublicKey())),
		KeyProof: ssh.Marshal(proof), ProofTime: now}, nil
}
