package transfer

// deliver writes what came from the target to the user; inside says that it ends inside a packet.
func (w *SFTPWatcher) deliver(p []byte, inside bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.writing && w.over == nil {
		w.changed.Wait()
	}
	if w.over != nil {
		return w.over
	}
	w.inside = inside
	return w.write(p)
}

// inject answers the user in place of the target: at once between two packets of the target, or after the one under way.
func (w *SFTPWatcher) inject(p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > sftpMaxQueue && w.over == nil {
		w.changed.Wait()
	}
	if w.over != nil {
		return w.over
	}
	w.queue = append(w.queue, p...)
	if w.writing || w.inside {
		return nil // whoever writes takes it along
	}
	return w.write(nil)
}

// write writes p, then what is queued unless p ends inside a packet. It lets go of mu while the user reads.
func (w *SFTPWatcher) write(p []byte) error {
	w.writing = true
	defer func() {
		w.writing = false
		w.changed.Broadcast()
	}()
	for {
		if len(p) > 0 {
			w.mu.Unlock()
			err := w.out.User(p, true)
			w.mu.Lock()
			if err != nil {
				return err
			}
		}
		if w.inside || len(w.queue) == 0 {
			return nil
		}
		p, w.queue = w.queue, nil
	}
}
