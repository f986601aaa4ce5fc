package control

import "strings"

// hostCA is the public key lines of the host CA, one under the other: all that hosts may show certificates of.
func (d *door) hostCA() string { return strings.Join(d.CA.Lines().Host, "\n") }
