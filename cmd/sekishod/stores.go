package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/ca"
	"github.com/sekisho/sekisho/ca/keystore"
)

// keyVariable stands in the URI of a named key store for the name of a key to be made there.
const keyVariable = "{key}"

var storeName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// checkStores checks the key stores that later keys may go to.
func (c *CAConfig) checkStores() error {
	for _, name := range slices.Sorted(maps.Keys(c.Stores)) {
		if !storeName.MatchString(name) {
			return fmt.Errorf("ca.stores: the name %.40q: want a-z, 0-9 and -, at most 32 of them", name)
		}
		if err := keystore.Check(strings.ReplaceAll(c.Stores[name], keyVariable, "key")); err != nil {
			return fmt.Errorf("ca.stores.%s: %w", name, err)
		}
	}
	return nil
}

// createCAKey fills the CAs' Create port. Who asks over the API says in which of the configured key stores, or in which file
// of the key folder: a URI of theirs could name a library to load, or a file of somebody else's.
func (h *house) createCAKey(ctx context.Context, name, store, kind string) (string, ca.Opened, error) {
	uri, there, err := h.place(name, store)
	if err != nil {
		return "", ca.Opened{}, err
	}
	if there {
		key, err := h.openCAKey(ctx, uri)
		if err == nil || !errors.Is(err, keystore.ErrNotFound) || strings.HasPrefix(uri, "agent:") { // in an agent nobody but its owner makes keys
			return uri, key, err
		}
	}
	key, err := signerOf(keystore.Create(ctx, uri, keystore.Kind(kind), h.keyStores()))
	return uri, key, err
}

// place gives the URI of the next key of a CA, and whether the key is there already.
func (h *house) place(name, store string) (uri string, there bool, err error) {
	// To the millisecond: a CA that was made a moment ago can be rotated.
	key := name + "-ca-" + strings.ReplaceAll(time.Now().UTC().Format("20060102-150405.000"), ".", "-")
	if store == "" {
		uri, err = h.besideLast(name, key)
		return uri, false, err
	}
	if uri, known := h.cfg.CA.Stores[store]; known {
		made := strings.ReplaceAll(uri, keyVariable, key)
		return made, made == uri, nil
	}
	if file, ok := strings.CutPrefix(store, "file:"); ok {
		return store, false, insideKeys(file)
	}
	return "", false, &sekisho.Refusal{
		Sentence: fmt.Sprintf("There is no key store called %.80q here.", store),
		Next:     h.storesKnown() + " Whoever runs sekishod names others below ca.stores in its configuration.",
	}
}

func (h *house) storesKnown() string {
	if len(h.cfg.CA.Stores) == 0 {
		return "Write --store file:NAME.pem for a file in the key folder."
	}
	return "Write --store file:NAME.pem for a file in the key folder, or one of: " + strings.Join(slices.Sorted(maps.Keys(h.cfg.CA.Stores)), ", ") + "."
}

// besideLast is where the next key of a CA goes if nobody says: into a file, with the same passphrase, if the last one is in
// one.
func (h *house) besideLast(name, key string) (string, error) {
	place := "file:" + key + ".pem"
	c, err := h.ca.CA(name)
	if err != nil { // the CA is being made
		return place, nil
	}
	for _, k := range c.Keys {
		if k.State != sekisho.CAKeyIssuing {
			continue
		}
		kind, rest, _ := strings.Cut(k.Store, ":")
		if kind != "file" {
			return "", &sekisho.Refusal{
				Sentence: fmt.Sprintf("The key of the CA %s that issues now is in a key store of the kind %s, and nobody said where the next one is to be.", name, kind),
				Next:     h.storesKnown(),
			}
		}
		if _, query, some := strings.Cut(rest, "?"); some {
			place += "?" + query
		}
	}
	return place, nil
}

// insideKeys refuses a file that is not in the key folder, and options: where a passphrase is read from is not for callers
// to say.
func insideKeys(file string) error {
	if path, err := url.PathUnescape(file); err != nil || strings.ContainsAny(file, "?#") || !filepath.IsLocal(path) {
		return &sekisho.Refusal{
			Sentence: "Key files are made in the key folder only.", Next: "Write --store file:NAME.pem.",
			Cause: errors.New("file is elsewhere, or has options"),
		}
	}
	return nil
}
