package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
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

// createCAKey fills the CAs' Create port. Who asks over the API chooses the place, but no file outside of the key folder.
func (h *house) createCAKey(ctx context.Context, name, store, kind string) (string, ca.Opened, error) {
	if store == "" {
		var err error
		if store, err = h.besideLast(name); err != nil {
			return "", ca.Opened{}, err
		}
	}
	if err := insideKeys(store); err != nil {
		return "", ca.Opened{}, err
	}
	key, err := signerOf(keystore.Create(ctx, store, keystore.Kind(kind), h.keyStores()))
	return store, key, err
}

// besideLast is where the next key of a CA goes if nobody says: into a file, with the same passphrase, if the last one is in
// one.
func (h *house) besideLast(name string) (string, error) {
	query := ""
	if c, err := h.ca.CA(name); err == nil {
		for _, k := range c.Keys {
			if k.State != sekisho.CAKeyIssuing {
				continue
			}
			rest, ok := strings.CutPrefix(k.Store, "file:")
			if !ok {
				kind, _, _ := strings.Cut(k.Store, ":")
				return "", &sekisho.Refusal{
					Sentence: fmt.Sprintf("The key of the CA %s that issues now is in a key store of the kind %s, and nobody said where the next one is to be.", name, kind),
					Next:     "Name it: --store URI, as in docs/key-stores.md.",
				}
			}
			_, query, _ = strings.Cut(rest, "?")
		}
	}
	place := "file:" + name + "-ca-" + time.Now().UTC().Format("20060102-150405") + ".pem"
	if query != "" {
		place += "?" + query
	}
	return place, nil
}

// insideKeys refuses a key file that is not in the key folder.
func insideKeys(store string) error {
	rest, ok := strings.CutPrefix(store, "file:")
	if !ok {
		return nil
	}
	rest, _, _ = strings.Cut(rest, "?")
	if path, err := url.PathUnescape(rest); err != nil || !filepath.IsLocal(path) {
		return errors.New("key files are made in the key folder only: want file:NAME.pem")
	}
	return nil
}
