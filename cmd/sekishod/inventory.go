package main

import (
	"context"
	"time"
)

// inventoryPause is how often the inventory of certificates catches up with the audit log by itself, so that who asks for it
// does not wait.
const inventoryPause = 15 * time.Second

// keepInventory brings what the audit log holds into the inventory: at the start perhaps years of it.
func (h *house) keepInventory(ctx context.Context) {
	catchUp := func() {
		if err := h.store.CatchUpCertificates(ctx); err != nil && ctx.Err() == nil {
			h.log.Error("keep inventory of certificates", "error", err)
		}
	}
	catchUp()
	every(ctx, inventoryPause, catchUp)
}
