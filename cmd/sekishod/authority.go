package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/ca/keystore"
	"github.com/sekisho/sekisho/control"
)

// CAKeysConfig names key stores by URI (docs/key-stores.md); a relative path begins at data/keys. They are read when a CA has
// no key yet: from then on `sekisho ca rotate` says where the next one lives.
type CAKeysConfig struct {
	// User, by default file:user-ca.pem, Gateway, file:gateway-ca.pem, and Host, file:host-ca.pem.
	User    string `yaml:"user"`
	Gateway string `yaml:"gateway"`
	Host    string `yaml:"host"`
}

// first gives the URI of the first key of a CA that every house has.
func (c *CAKeysConfig) first(name string) string {
	uri := map[string]string{ca.UserCA: c.User, ca.GatewayCA: c.Gateway, ca.HostCA: c.Host}[name]
	if uri == "" {
		return "file:" + name + "-ca.pem"
	}
	return uri
}

var firstCAs = []string{ca.UserCA, ca.GatewayCA, ca.HostCA}

func (c *CAKeysConfig) check() error {
	for _, name := range firstCAs {
		if err := keystore.Check(c.first(name)); err != nil {
			return fmt.Errorf("ca.keys.%s: %w", name, err)
		}
	}
	return nil
}

// openAuthority makes the CAs usable that are kept, and the first ones where none are.
func (h *house) openAuthority(ctx context.Context) error {
	all, err := h.store.CAs(ctx)
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, c := range all {
		kept[c.Name] = true
	}
	for _, name := range firstCAs {
		if kept[name] {
			continue
		}
		c, err := h.firstCA(ctx, name)
		if err != nil {
			return fmt.Errorf("%s CA key: %w", name, err)
		}
		all = append(all, c)
	}
	h.ca, err = ca.New(ca.Config{CAs: all, Open: h.openCAKey, Create: h.createCAKey, Issuers: h.cfg.CA.Issuers, Refuse: h.refuse,
		Save: h.store.SaveCA, Note: h.events.Append, Now: time.Now})
	if err != nil {
		return err
	}
	h.rotation, err = control.NewRotation(control.RotationConfig{CA: h.ca, Store: h.store, Events: h.events, Now: time.Now, Log: h.log})
	return err
}

// firstCA opens the first key of a CA, or makes it, and keeps the CA.
func (h *house) firstCA(ctx context.Context, name string) (*sekisho.CA, error) {
	uri := h.cfg.CA.Keys.first(name)
	key, err := h.openCAKey(ctx, uri)
	if errors.Is(err, keystore.ErrNotFound) {
		key, err = signerOf(keystore.Create(ctx, uri, keystore.Best, h.keyStores()))
	}
	if err != nil {
		return nil, err
	}
	c := ca.First(name, ca.TypeOf(name), uri, key.PublicKey(), time.Now())
	kind, _, _ := strings.Cut(uri, ":")
	err = h.events.Append(ctx, &sekisho.Event{Kind: sekisho.EventCAKey, Actor: "control", Detail: map[string]string{
		"ca": name, "type": c.Type, "key": c.Keys[0].Fingerprint, "state": string(c.Keys[0].State), "store": kind,
	}})
	if err != nil {
		return nil, err
	}
	return c, h.store.SaveCA(ctx, c)
}

func (h *house) keyStores() keystore.Options {
	return keystore.Options{Folder: filepath.Join(h.cfg.Data, "keys")}
}

func signerOf(key keystore.Key, err error) (ca.Opened, error) {
	if err != nil {
		return ca.Opened{}, err
	}
	signer, err := keystore.NewSSHSigner(key)
	return ca.Opened{Signer: signer, Check: key.Check}, err
}

// openCAKey fills the CAs' Open port.
func (h *house) openCAKey(ctx context.Context, store string) (ca.Opened, error) {
	return signerOf(keystore.Open(ctx, store, h.keyStores()))
}
