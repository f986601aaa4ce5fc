package host

// Line is the key as sshd gets it.
func (k *PublishedKey) Line() (string, error) { return k.line() }
