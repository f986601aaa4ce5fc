package transfer

import "github.com/sekisho/sekisho"

// Watch follows the conversation of a command that is about to run. The limits are for SFTP; they hold nothing where other
// commands may be run.
func (c Command) Watch(limits []sekisho.FileLimit, out Outlet) Watcher {
	switch c.Protocol {
	case SCP:
		return NewSCP(c, out)
	case Rsync:
		return NewRsync(c, out)
	}
	return NewSFTP(limits, out)
}
