package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	gosundheit "github.com/AppsFlyer/go-sundheit"
	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/server/authflow"
	"github.com/dexidp/dex/server/connectors"
	"github.com/dexidp/dex/server/signer"
	"github.com/dexidp/dex/server/tokens"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"github.com/dexidp/dex/web"
	"golang.org/x/crypto/bcrypt"
)

// idTokenLife is short, as at a careful company; Sekisho looks at an ID token once, right after it was made.
const idTokenLife = 10 * time.Minute

// newDex makes the provider's handler. It works in the background until ctx ends.
func newDex(ctx context.Context, cfg *config, issuer string, log *slog.Logger) (http.Handler, error) {
	store, err := cfg.store(log)
	if err != nil {
		return nil, err
	}
	sign, err := (&signer.LocalConfig{KeysRotationPeriod: "24h"}).Open(ctx, store, idTokenLife, time.Now, log)
	if err != nil {
		return nil, fmt.Errorf("make signing key: %w", err)
	}
	// Without a policy Dex panics at the first token.
	refresh, err := tokens.NewRefreshTokenPolicy(log, false, "1h", "8h", "3s")
	if err != nil {
		return nil, fmt.Errorf("refresh policy: %w", err)
	}
	dex, err := server.NewServer(ctx, server.Config{
		Issuer:               issuer,
		Storage:              store,
		Signer:               sign,
		RefreshTokenPolicy:   refresh,
		SkipApprovalScreen:   true,
		PKCE:                 authflow.PKCEConfig{Enforce: true, CodeChallengeMethodsSupported: []string{"S256"}},
		IDTokensValidFor:     idTokenLife,
		AuthRequestsValidFor: 10 * time.Minute,
		Web:                  server.WebConfig{WebFS: web.FS(), Issuer: "Example Company"},
		HealthChecker:        gosundheit.New(),
		Logger:               log,
	})
	if err != nil {
		return nil, fmt.Errorf("start dex: %w", err)
	}
	return dex, nil
}

// store holds the one client and the people; what Dex adds stays in memory.
func (c *config) store(log *slog.Logger) (storage.Storage, error) {
	people := make([]storage.Password, len(c.Users))
	for i, u := range c.Users {
		hash, err := bcrypt.GenerateFromPassword([]byte(u.Password), bcrypt.DefaultCost)
		if err != nil {
			return nil, fmt.Errorf("hash password of %s: %w", u.Email, err)
		}
		name, _, _ := strings.Cut(u.Email, "@")
		if u.Name != "" {
			name = u.Name
		}
		sum := sha256.Sum256([]byte(u.Email))
		verified := !u.Unverified
		people[i] = storage.Password{
			Email: u.Email, Hash: hash, Username: name, UserID: hex.EncodeToString(sum[:8]),
			Groups: u.Groups, EmailVerified: &verified,
		}
	}
	s := storage.WithStaticPasswords(memory.New(log), people, log)
	s = storage.WithStaticConnectors(s, []storage.Connector{
		{ID: connectors.LocalConnector, Type: connectors.LocalConnector, Name: "Password"},
	})
	return storage.WithStaticClients(s, []storage.Client{
		{ID: c.ClientID, Secret: c.secret, Name: "Sekisho", RedirectURIs: c.Redirects},
	}), nil
}
