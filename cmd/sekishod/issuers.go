package main

import (
	"fmt"

	"github.com/sekisho/sekisho/ca"
)

// CAConfig says who gets which certificates.
type CAConfig struct {
	// Issuers are ways to get certificates, by name. What is said of people, gateways and hosts, which every house has,
	// narrows what they do; others are described whole.
	Issuers map[string]ca.IssuerConfig `yaml:"issuers"`
}

func (c *CAConfig) check() error {
	if err := ca.CheckIssuers(c.Issuers); err != nil {
		return fmt.Errorf("ca.issuers: %w", err)
	}
	return nil
}
