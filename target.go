package sekisho

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// Target is a thing one connects to.
type Target struct {
	// Name is what people type after ssh: a DNS label or host name, lower case.
	Name string `json:"name"`
	// Labels are "key:value" pairs, such as "env:prod"; policies refer to them.
	Labels []string `json:"labels,omitempty"`
	// Class groups targets by how sensitive their data is, such as "pii".
	Class string `json:"class,omitempty"`
	// Logins are the Unix accounts that can be reached on the target.
	Logins []string `json:"logins"`
	// Audited targets trust only the gateway CA, so that nobody reaches them except through the audit door.
	Audited bool `json:"audited"`
	// Mapping says by which principals one logs in; empty means MapTarget.
	Mapping Mapping `json:"mapping,omitempty"`
	// Addresses are the IP addresses and CIDR ranges that mean this target where somebody comes by address. The
	// narrowest range that holds an address decides.
	Addresses []string `json:"addresses,omitempty"`
	// Connector is the ID of the connector that reaches the target, empty until one has joined.
	Connector string `json:"connector,omitempty"`
	// HostKey is the target's host key as an authorized_keys line, learned from its connector.
	HostKey string `json:"host_key,omitempty"`
}

// Mapping says which principal of a certificate opens which login of a target (R7, R20).
type Mapping string

const (
	MapTarget Mapping = "target" // login:target, which the target's AuthorizedPrincipalsFile lists
	MapClass  Mapping = "class"  // login:class, for all targets of a class
	MapLogin  Mapping = "login"  // the login itself: a stock sshd that has TrustedUserCAKeys and nothing else
	MapEmail  Mapping = "email"  // the person's address: the host lists who may use a login
	MapAnyone Mapping = "anyone" // AnyonePrincipal: any person, for the logins whose file lists it
)

// Template is the template of the principal: what is in braces is the login, the target's name or class, or the person's
// address.
func (m Mapping) Template() string {
	switch m {
	case "", MapTarget:
		return "{login}:{target}"
	case MapClass:
		return "{login}:{class}"
	case MapLogin:
		return "{login}"
	case MapEmail:
		return "{email}"
	case MapAnyone:
		return AnyonePrincipal
	}
	return ""
}

// CheckMapping reports why certificates for a login cannot follow the target's mapping. A principal must not mean something
// else elsewhere.
func CheckMapping(t *Target, login string) error {
	switch {
	case t.Mapping.Template() == "":
		return fmt.Errorf("mapping %.40q: want target, class, login, email or anyone", t.Mapping)
	case t.Mapping == MapClass && !className.MatchString(t.Class):
		return fmt.Errorf("mapping class: target %s has the class %.80q: want one of a-z, 0-9, _, . and -, that begins with a letter", t.Name, t.Class)
	case t.Mapping == MapLogin && (login == AnyonePrincipal || login == AnyDoorPrincipal):
		return fmt.Errorf("mapping login: the login %s is a principal with a meaning of its own: want mapping target", login)
	}
	return nil
}

// Principals are what the target's AuthorizedPrincipalsFile has for a login. With MapEmail there are none here: who may use
// a login is listed on the host.
func (t *Target) Principals(login string) []string {
	if CheckMapping(t, login) != nil || t.Mapping == MapEmail {
		return nil
	}
	return []string{strings.NewReplacer("{login}", login, "{target}", t.Name, "{class}", t.Class).Replace(t.Mapping.Template())}
}

// AnyonePrincipal is in everybody's certificate for a target with MapAnyone.
const AnyonePrincipal = "people"

// Connector is a daemon on the server side that has joined.
type Connector struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Thumbprint is the RFC 7638 SHA-256 thumbprint of the connector's key.
	Thumbprint string `json:"thumbprint"`
	// TokenHash is the SHA-256 of the connector's API token.
	TokenHash []byte    `json:"-"`
	Joined    time.Time `json:"joined"`
	// Ended is zero while the connector may link.
	Ended time.Time `json:"ended,omitzero"`
}

var (
	targetName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	loginName  = regexp.MustCompile(`^[a-z_][a-z0-9_.-]{0,31}$`)
	className  = regexp.MustCompile(`^[a-z][a-z0-9_.-]{0,63}$`)
	labelForm  = regexp.MustCompile(`^[a-z0-9_.-]{1,63}:[A-Za-z0-9_./-]{1,63}$`)
)

// CheckTargetName reports why a target's name cannot be used. Names become certificate principals and file
// names, so only lower-case host names of at most 128 bytes are let in.
func CheckTargetName(name string) error {
	if len(name) > 128 || !targetName.MatchString(name) {
		return fmt.Errorf("target name %.140q: want a lower-case host name of at most 128 bytes", name)
	}
	return nil
}

// CheckLogin reports why a login cannot be used: it becomes a certificate principal and a file name.
func CheckLogin(login string) error {
	if !loginName.MatchString(login) {
		return fmt.Errorf("login %.40q: want a Unix account name (a-z, 0-9, _, -, . and at most 32 bytes)", login)
	}
	return nil
}

// CheckLabel reports why a label is not of the form key:value.
func CheckLabel(label string) error {
	if !labelForm.MatchString(label) {
		return fmt.Errorf("label %.140q: want key:value", label)
	}
	return nil
}

// Principal is the scoped certificate principal for one login on one target, "login:target" (design: R20).
// The target's AuthorizedPrincipalsFile lists it.
func Principal(login, target string) string { return login + ":" + target }

// DoorPrincipal is the principal of a certificate that opens the audit door only, "gateway:login:target". No host
// lists it.
func DoorPrincipal(login, target string) string { return "gateway:" + Principal(login, target) }

// AnyDoorPrincipal is the principal of a certificate that opens the gateway's own doors for any target, such as the one
// in a person's ssh-agent. No host lists it: it opens nothing by itself, the gateway judges each connection.
const AnyDoorPrincipal = "gateway"
