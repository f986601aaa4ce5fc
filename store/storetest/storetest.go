// Package storetest says what every store of the house must do, as tests to run on each of them.
//
// An engine's test calls Run with a way to open it. The same place opened twice is one store seen by two processes.
package storetest

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/audit"
)

// Store is all that the rooms ask of a store, each by an interface of its own.
type Store interface {
	PutPending(ctx context.Context, key string, expires time.Time, body []byte) error
	Pending(ctx context.Context, key string, now time.Time) ([]byte, error)
	TakePending(ctx context.Context, key string, now time.Time) ([]byte, error)

	SaveSignIn(ctx context.Context, s *sekisho.SignIn) error
	SignIn(ctx context.Context, id string) (*sekisho.SignIn, error)
	SignIns(ctx context.Context, subject string, now time.Time) ([]*sekisho.SignIn, error)
	EndSignIn(ctx context.Context, id string, at time.Time) (bool, error)

	SaveTarget(ctx context.Context, t *sekisho.Target) error
	Target(ctx context.Context, name string) (*sekisho.Target, error)
	Targets(ctx context.Context) ([]*sekisho.Target, error)
	TargetAt(ctx context.Context, address netip.Addr) (*sekisho.Target, error)
	SaveConnector(ctx context.Context, c *sekisho.Connector) error
	Connector(ctx context.Context, id string) (*sekisho.Connector, error)
	Connectors(ctx context.Context) ([]*sekisho.Connector, error)
	EndConnector(ctx context.Context, id string, at time.Time) (bool, error)

	SaveRecording(ctx context.Context, r *sekisho.Recording) error
	Recording(ctx context.Context, session string) (*sekisho.Recording, error)
	Recordings(ctx context.Context, q sekisho.RecordingQuery) ([]*sekisho.Recording, error)

	SaveToken(ctx context.Context, t *sekisho.Token) error
	Token(ctx context.Context, id string) (*sekisho.Token, error)
	Tokens(ctx context.Context, now time.Time) ([]*sekisho.Token, error)
	EndToken(ctx context.Context, id string, at time.Time) (bool, error)
	UseToken(ctx context.Context, id string, at time.Time) error

	AddPublishedKey(ctx context.Context, k *sekisho.PublishedKey) error
	PublishedKey(ctx context.Context, id string) (*sekisho.PublishedKey, error)
	PublishedKeys(ctx context.Context, fingerprint string) ([]*sekisho.PublishedKey, error)
	FindPublishedKeys(ctx context.Context, q sekisho.PublishedKeyQuery) ([]*sekisho.PublishedKey, error)
	WithdrawPublishedKey(ctx context.Context, id, by string, at time.Time) (bool, error)
	CatchUpCertificates(ctx context.Context) error
	Certificates(ctx context.Context, q sekisho.CertificateQuery) ([]*sekisho.Event, error)
	CAs(ctx context.Context) ([]*sekisho.CA, error)
	SaveCA(ctx context.Context, c *sekisho.CA) error
	HostReports(ctx context.Context) ([]*sekisho.HostReport, error)
	SaveHostReports(ctx context.Context, reports []*sekisho.HostReport) error

	SaveRevocation(ctx context.Context, r *sekisho.Revocation) error
	Revocation(ctx context.Context, id string) (*sekisho.Revocation, error)
	UnliftedRevocations(ctx context.Context) ([]*sekisho.Revocation, error)
	Revocations(ctx context.Context, q sekisho.RevocationQuery) ([]*sekisho.Revocation, error)

	audit.Store
}

// Opener opens the store at a place, an empty folder at first, and closes it at the test's end.
type Opener func(t *testing.T, place string) Store

// Run runs the whole suite.
func Run(t *testing.T, open Opener) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"Pending", pending}, {"PendingTakenOnce", pendingTakenOnce}, {"PendingSwept", pendingSwept},
		{"SignIn", signIn}, {"SignIns", signIns}, {"SignInStaysEnded", signInStaysEnded},
		{"Targets", targets}, {"TargetAt", targetAt}, {"AddressesAreTheirs", addressesAreTheirs}, {"Connectors", connectors}, {"ConnectorStaysEnded", connectorStaysEnded},
		{"PublishedKeys", publishedKeys}, {"PublishedKeyWithdrawnOnce", publishedKeyWithdrawnOnce},
		{"Recording", recording}, {"Recordings", recordings},
		{"Token", token}, {"Tokens", tokens}, {"TokenUsed", tokenUsed},
		{"Certificates", certificates}, {"CertificatesCatchUp", certificatesCatchUp}, {"CertificatesMany", certificatesMany},

		{"Revocation", revocation}, {"Revocations", revocations},
		{"CAs", cas}, {"CAsAtTheirRevision", casAtTheirRevision}, {"HostReports", hostReports},
		{"CommitEvents", commitEvents}, {"CommitEventsFails", commitEventsFails}, {"CommitEventsApart", commitEventsApart},
		{"QueryEvents", queryEvents}, {"QueryMany", queryMany},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

// now is the time in these tests; it has nanoseconds, which a store must keep.
var now = time.Date(2026, 11, 22, 8, 30, 0, 123456789, time.UTC)

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func notFound(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, sekisho.ErrNotFound) {
		t.Fatalf("error is %v, want one that wraps ErrNotFound", err)
	}
}
