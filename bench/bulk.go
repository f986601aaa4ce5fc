package main

import "context"

const gcm = "Ciphers=aes128-gcm@openssh.com"

// bulk measures bytes both ways: AES-GCM on all hops, and whatever the client prefers.
func bulk(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{rounds: 5, mb: 256})
	hops, err := s.hops(ctx)
	if err != nil {
		return err
	}
	for _, ciphers := range []struct {
		title   string
		options []string
	}{{"AES-GCM on all hops", []string{curve25519, gcm}}, {"the client's own ciphers", []string{curve25519}}} {
		same, err := each(hops, s.dir, ciphers.options...)
		if err != nil {
			return err
		}
		for _, m := range moves[:2] {
			if err := s.compareMoving(ctx, p, "Bulk "+m.title+", "+ciphers.title, same, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// files measures one big file each way with OpenSSH's sftp, AES-GCM on all hops.
func files(ctx context.Context, s *street, p plan) error {
	p = p.or(plan{rounds: 3, mb: 256})
	hops, err := s.hops(ctx)
	if err == nil {
		hops, err = each(hops, s.dir, curve25519, gcm)
	}
	if err != nil {
		return err
	}
	for _, m := range moves[2:] {
		if err := s.compareMoving(ctx, p, m.title+", AES-GCM on all hops", hops, m); err != nil {
			return err
		}
	}
	return nil
}
