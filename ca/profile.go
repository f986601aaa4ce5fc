package ca

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// What a certificate may do is its extensions and critical options (PROTOCOL.certkeys): a profile. Everything that is not
// given is missing: without permit-pty there is no terminal, and so on.

// option is an extension with the template of its value; empty where it has none.
type option struct {
	name  string
	value template
}

const (
	forceCommand   = "force-command"
	sourceAddress  = "source-address"
	verifyRequired = "verify-required"
	noTouch        = "no-touch-required"
)

var (
	knownExtensions = []string{"permit-X11-forwarding", "permit-agent-forwarding", "permit-port-forwarding", "permit-pty", "permit-user-rc"}
	ownExtension    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}@[A-Za-z0-9.-]{1,128}$`)
)

// variables are those that the issuer's templates may have.
func (i *Issuer) variables() []string {
	switch {
	case i.builtIn:
		return allVariables
	case i.Proof == ProofToken:
		return tokenVariables
	}
	return personVariables
}

func (i *Issuer) readPrincipals(c IssuerConfig) error {
	switch {
	case len(c.Principals) > maxTemplates:
		return fmt.Errorf("principals: %d are too many: want %d at most", len(c.Principals), maxTemplates)
	case len(c.Principals) == 0 && i.Proof == ProofSignIn:
		return fmt.Errorf(`principals: there are none, and OpenSSH takes that for all: write principals: ["{account}"]`)
	case len(c.Principals) == 0 && c.Match == "":
		return fmt.Errorf("match: it is missing: write which principals a token may ask for, such as match: deploy-[a-z]+, or list principals")
	}
	for _, text := range c.Principals {
		t, err := readTemplate(text, i.variables())
		if err != nil {
			return fmt.Errorf("principals: %w", err)
		}
		// Whatever the values are, what stands between them must be of a principal.
		if err := checkPrincipal(t.sample()); err != nil {
			return fmt.Errorf("principals: %.80q cannot be one: write letters, digits, @ . _ + = - and colons between them", text)
		}
		i.principals = append(i.principals, t)
	}
	i.Principals = slices.Clone(c.Principals)
	return nil
}

// checkMatch refuses an issuer that could never give what is written out in it.
func (i *Issuer) checkMatch() error {
	if i.match == nil || i.builtIn {
		return nil
	}
	for n, t := range i.principals {
		if p, ok := t.fixed(); ok && !i.match.MatchString(p) {
			return fmt.Errorf("match: principal %q does not match %q: write an expression that it matches from its first to its last character", i.Principals[n], i.Match)
		}
	}
	return nil
}

func (i *Issuer) readExtensions(c IssuerConfig) error {
	if len(c.Extensions) > maxTemplates {
		return fmt.Errorf("extensions: %d are too many: want %d at most", len(c.Extensions), maxTemplates)
	}
	for _, text := range c.Extensions {
		name, value, valued := strings.Cut(text, "=")
		switch {
		case name == noTouch:
			return fmt.Errorf("extensions: write no_touch_required: true instead of %s", noTouch)
		case slices.Contains(knownExtensions, name) && valued:
			return fmt.Errorf("extensions: %s has no value: write %s", name, name)
		case !slices.Contains(knownExtensions, name) && !ownExtension.MatchString(name):
			return fmt.Errorf("extensions: OpenSSH knows no %.80q: write one of %s, or NAME@DOMAIN=VALUE", name, strings.Join(knownExtensions, ", "))
		case slices.ContainsFunc(i.extensions, func(o option) bool { return o.name == name }):
			return fmt.Errorf("extensions: %s is there twice: write it once", name)
		}
		o := option{name: name}
		if valued {
			t, err := i.readText(value)
			if err != nil {
				return fmt.Errorf("extensions: %s: %w", name, err)
			}
			o.value = t
		}
		i.extensions = append(i.extensions, o)
	}
	i.Extensions = slices.Clone(c.Extensions)
	return nil
}

// readText reads a template of one line of printable ASCII.
func (i *Issuer) readText(text string) (template, error) {
	t, err := readTemplate(text, i.variables())
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(text) == "" || !printable(text) {
		return nil, fmt.Errorf("%.80q: write one line of printable ASCII characters", text)
	}
	return t, nil
}

func printable(text string) bool {
	for n := range len(text) {
		if text[n] < ' ' || text[n] > '~' {
			return false
		}
	}
	return true
}

func (i *Issuer) readCommand(c IssuerConfig) (err error) {
	if c.ForceCommand == "" {
		return nil
	}
	if i.command, err = i.readText(c.ForceCommand); err != nil {
		return fmt.Errorf("force_command: %w", err)
	}
	i.Options = append(i.Options, forceCommand+"="+c.ForceCommand)
	return nil
}

func (i *Issuer) readOptions(c IssuerConfig) (err error) {
	switch c.SourceAddress {
	case "":
	case "client":
		i.client = true
	default:
		if i.sources, err = prefixes(strings.Split(c.SourceAddress, ",")); err != nil {
			return fmt.Errorf("source_address: %w, or write client", err)
		}
	}
	if c.SourceAddress != "" {
		i.Options = append(i.Options, sourceAddress+"="+c.SourceAddress)
	}
	if i.verified = c.VerifyRequired; i.verified {
		i.Options = append(i.Options, verifyRequired)
	}
	if i.untouched = c.NoTouchRequired; i.untouched {
		i.Extensions = append(i.Extensions, noTouch)
	}
	return nil
}

// extensionsRule composes the extensions of a configured issuer. Those of built-in ones come from limits.
func extensionsRule(_ *Authority, i *Issuer, o *order) *breach {
	for _, e := range i.extensions {
		if e.value == nil {
			o.extensions = append(o.extensions, e.name)
			continue
		}
		value, err := e.value.expand(o.value)
		if err != nil {
			return refuse("%s would have a value in which %s", e.name, err).next("Ask an administrator: the extension is not meant for your address.")
		}
		o.extensions = append(o.extensions, e.name+"="+value)
	}
	if i.untouched && securityKey(o.key) {
		o.extensions = append(o.extensions, noTouch)
	}
	slices.Sort(o.extensions)
	return nil
}

// optionsRule composes the critical options. What is asked for may narrow what the issuer gives, and never widen it.
func optionsRule(_ *Authority, i *Issuer, o *order) *breach {
	if b := i.forced(o); b != nil {
		return b
	}
	if b := i.sourced(o); b != nil {
		return b
	}
	if i.verified {
		o.options = append(o.options, verifyRequired)
	}
	slices.Sort(o.options)
	return nil
}

func (i *Issuer) forced(o *order) *breach {
	command := o.command
	if i.command != nil {
		own, err := i.command.expand(o.value)
		if err != nil {
			return refuse("its command would have a part in which %s", err).next("Ask an administrator: the command is not meant for your address.")
		}
		if command != "" && command != own {
			return refuse("it gives one command only").next("Leave the command out: the certificate has it anyway.")
		}
		command = own
	}
	if command == "" {
		return nil
	}
	if len(command) > maxCommand || !printable(command) {
		return refuse("the command is longer than %d bytes or not one line of printable ASCII", maxCommand).next("Write a shorter command, or a script on the server.")
	}
	o.options = append(o.options, forceCommand+"="+command)
	return nil
}

// sourced is the source-address: what is asked for if that is within what the issuer gives, else that.
func (i *Issuer) sourced(o *order) *breach {
	own := i.sources
	if i.client && !o.unseen {
		if !o.address.IsValid() {
			return refuse("it is good from your own address only, and that is not known").next("Ask an administrator.")
		}
		own = []netip.Prefix{netip.PrefixFrom(o.address, o.address.BitLen())}
	}
	if o.unseen { // whoever checks it does not see the client's address
		own = nil
	}
	given := own
	if o.sources != "" {
		asked, err := prefixes(strings.Split(o.sources, ","))
		if err != nil {
			return refuse("the source address %s", err).next("Write networks with commas between them, such as 10.0.0.0/8,192.0.2.7/32.")
		}
		if n := slices.IndexFunc(asked, func(p netip.Prefix) bool { return len(own) > 0 && !within(p, own) }); n >= 0 {
			return refuse("%s is not within %s, from where it is good", asked[n], joined(own)).next("Ask for networks within that, or leave the source address out.")
		}
		given = asked
	}
	if len(given) > 0 {
		o.options = append(o.options, sourceAddress+"="+joined(given))
	}
	return nil
}

func within(p netip.Prefix, all []netip.Prefix) bool {
	return slices.ContainsFunc(all, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) })
}

func joined(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for n, p := range list {
		texts[n] = p.String()
	}
	return strings.Join(texts, ",")
}
