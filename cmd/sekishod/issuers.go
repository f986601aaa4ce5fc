package main

import (
	"errors"
	"fmt"

	"github.com/sekisho/sekisho/ca"
)

// CAConfig says who gets which certificates, and where the keys are that sign them.
type CAConfig struct {
	// Keys are the key stores of the first keys.
	Keys CAKeysConfig `yaml:"keys"`
	// Stores are key stores for later keys, by the name that `sekisho ca rotate --store` says. {key} in a URI stands for the
	// name of the key that is made; without it the URI names a key that is there.
	Stores map[string]string `yaml:"stores"`
	// Issuers are ways to get certificates, by name. What is said of people, gateways and hosts, which every house has,
	// narrows what they do; others are described whole.
	Issuers map[string]ca.IssuerConfig `yaml:"issuers"`
}

func (c *CAConfig) check() error {
	if err := ca.CheckIssuers(c.Issuers); err != nil {
		return fmt.Errorf("ca.issuers: %w", err)
	}
	return errors.Join(c.Keys.check(), c.checkStores())
}
