package main

import "context"

func (h *house) journey(ctx context.Context) error { return nil }
