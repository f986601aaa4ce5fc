package ca

import (
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sekisho/sekisho"
)

// Proof is how whoever asks an issuer proves who they are. That they hold the key to be certified they prove always.
type Proof string

const (
	ProofSignIn    Proof = "sign-in"   // a person's sign-in, and by policy: action certify on the issuer
	ProofToken     Proof = "token"     // an API token with the scope certificates.sign/ISSUER
	ProofSession   Proof = "session"   // a gateway's session; the built-in issuer gateways only
	ProofConnector Proof = "connector" // the connector of the target; the built-in issuer hosts only
)

// IssuerConfig is what the configuration says of an issuer. For one of the built-in issuers it only narrows what they do.
type IssuerConfig struct {
	// CA is the name of the CA that signs: one of its own, made by `sekisho ca create`.
	CA string `yaml:"ca"`
	// Proof is sign-in (the default) or token.
	Proof Proof `yaml:"proof"`
	// From are the networks that may ask, such as 10.0.0.0/8; empty: all.
	From []string `yaml:"from"`
	// Keys are the kinds of keys that may be certified; empty: all that KeyKinds lists.
	Keys []string `yaml:"keys"`
	// TTL is how long a certificate is valid where nothing is asked for, such as 8h; MaxTTL is the most, by default TTL.
	TTL    string `yaml:"ttl"`
	MaxTTL string `yaml:"max_ttl"`
	// Principals are templates, such as "{account}": a certificate has all of them, or those that are asked for.
	Principals []string `yaml:"principals"`
	// Match is a regular expression (RE2) that every principal must match from its first to its last character.
	Match string `yaml:"match"`
	// Extensions are names, or name=template for those with a value, such as "login@github.com={account}".
	Extensions []string `yaml:"extensions"`
	// ForceCommand is a template of the only command that may be run.
	ForceCommand string `yaml:"force_command"`
	// SourceAddress is client, for the address that the certificate is asked for from, or CIDRs with commas between them.
	SourceAddress string `yaml:"source_address"`
	// VerifyRequired takes security keys only, and asks for a PIN or fingerprint each time; NoTouchRequired lets security
	// keys sign without being touched.
	VerifyRequired  bool `yaml:"verify_required"`
	NoTouchRequired bool `yaml:"no_touch_required"`
	Rate            Rate `yaml:"rate"`
}

// Rate is how many certificates one subject gets. The zero Rate of a configured issuer is 60 a minute, 20 at once; that of
// hosts 1 a minute, 20 at once; the other built-in ones have none.
type Rate struct {
	PerMinute int `yaml:"per_minute"`
	Burst     int `yaml:"burst"`
}

// String is as "60/m, burst 20"; empty for none.
func (r Rate) String() string {
	if r == (Rate{}) {
		return ""
	}
	return fmt.Sprintf("%d/m, burst %d", r.PerMinute, r.Burst)
}

// Issuer is one way to get certificates, with the rules that all of its certificates keep. It does not change.
type Issuer struct {
	Name string
	CA   string
	// Type is "user" or "host".
	Type  string
	Proof Proof
	From  []netip.Prefix
	// Keys are kinds as KeyKinds lists them.
	Keys   []string
	TTL    time.Duration // where nothing is asked for; built-in issuers: 0, they are always told
	MaxTTL time.Duration
	// Principals, Extensions and Options are as configured, templates unexpanded; those of built-in issuers are all that a
	// certificate may have one or some of.
	Principals, Extensions, Options []string
	Match                           string
	Rate                            Rate

	builtIn    bool
	principals []template
	match      *regexp.Regexp
	extensions []option // given in each certificate; of built-in issuers none
	command    template
	sources    []netip.Prefix
	client     bool // source-address is the client's
	verified   bool // verify-required
	untouched  bool // no-touch-required
	limiter    *limiter
}

// Rules bound what a configuration can say.
const (
	maxIssuers    = 100
	maxTemplates  = 16 // principals, and extensions, of an issuer
	maxPrefixes   = 64
	maxIssuerName = 32
	maxCommand    = 1024
	minTTL        = 10 * time.Second
)

var (
	issuerName  = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	defaultRate = Rate{PerMinute: 60, Burst: 20}
	// hostsRate is of each host: a connector that shows another host key with each call must not fill the audit log.
	hostsRate = Rate{PerMinute: 1, Burst: 20}
)

// compile makes the issuers: the three built-in ones, and those that are configured. The errors name issuer and rule, and say
// what to write instead.
func compile(configured map[string]IssuerConfig) (map[string]*Issuer, error) {
	if len(configured) > maxIssuers {
		return nil, fmt.Errorf("%d issuers: want %d at most", len(configured), maxIssuers)
	}
	all := builtIns()
	for _, i := range all {
		if err := i.readRate(Rate{}); err != nil {
			return nil, err
		}
		for _, text := range i.Principals {
			t, err := readTemplate(text, allVariables)
			if err != nil {
				return nil, err
			}
			i.principals = append(i.principals, t)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(configured)) {
		made, err := all[name], error(nil)
		if made != nil {
			err = made.narrow(configured[name])
		} else {
			made, err = newIssuer(name, configured[name])
		}
		if err != nil {
			return nil, fmt.Errorf("issuer %.60s: %w", name, err)
		}
		all[name] = made
	}
	return all, nil
}

// CheckIssuers reports what is wrong with a configuration of issuers.
func CheckIssuers(configured map[string]IssuerConfig) error {
	_, err := compile(configured)
	return err
}

// builtIns are the issuers that every house has. What their certificates say comes from policies and sessions.
func builtIns() map[string]*Issuer {
	permits := []string{"permit-X11-forwarding", "permit-agent-forwarding", "permit-port-forwarding", "permit-pty"}
	return map[string]*Issuer{
		IssuerPeople: {
			Name: IssuerPeople, CA: UserCA, Type: "user", Proof: ProofSignIn, MaxTTL: MaxTTL, Keys: KeyKinds(), builtIn: true,
			Principals: []string{"{login}:{target}", "{login}:{class}", "{login}", "{email}", sekisho.AnyonePrincipal,
				"gateway:{login}:{target}", sekisho.AnyDoorPrincipal},
			Extensions: permits,
		},
		IssuerGateways: {
			Name: IssuerGateways, CA: GatewayCA, Type: "user", Proof: ProofSession, MaxTTL: MaxTTL, Keys: KeyKinds(), builtIn: true,
			Principals: []string{"{login}:{target}", "{login}:{class}", "{login}", "{email}", sekisho.AnyonePrincipal},
			Extensions: permits,
		},
		IssuerHosts: {
			Name: IssuerHosts, CA: HostCA, Type: "host", Proof: ProofConnector, MaxTTL: MaxHostTTL, Keys: KeyKinds(), builtIn: true,
			Principals: []string{"{target}"}, Rate: hostsRate,
		},
	}
}

// narrow takes what the configuration says of a built-in issuer.
func (i *Issuer) narrow(c IssuerConfig) error {
	told := map[string]bool{"ca": c.CA != "", "proof": c.Proof != "", "ttl": c.TTL != "", "principals": len(c.Principals) > 0,
		"extensions": len(c.Extensions) > 0, "force_command": c.ForceCommand != "", "no_touch_required": c.NoTouchRequired}
	if i.Name == IssuerHosts {
		told["from"], told["source_address"], told["verify_required"], told["max_ttl"] = len(c.From) > 0, c.SourceAddress != "", c.VerifyRequired, c.MaxTTL != ""
	}
	if i.Name == IssuerGateways {
		told["source_address"], told["verify_required"] = c.SourceAddress != "", c.VerifyRequired
	}
	for _, key := range slices.Sorted(maps.Keys(told)) {
		if told[key] {
			return fmt.Errorf("%s: it cannot be set for this issuer, which is built in: leave it out, or configure an issuer of another name", key)
		}
	}
	return i.restrict(c)
}

// newIssuer makes an issuer that is configured whole.
func newIssuer(name string, c IssuerConfig) (*Issuer, error) {
	if !issuerName.MatchString(name) {
		return nil, fmt.Errorf("want a name of a-z, 0-9 and -, of at most %d characters, that begins with a letter", maxIssuerName)
	}
	i := &Issuer{Name: name, CA: c.CA, Type: "user", Proof: c.Proof, Keys: KeyKinds(), Rate: defaultRate, MaxTTL: MaxTTL}
	switch c.CA {
	case "":
		return nil, fmt.Errorf("ca: it is missing: write the name of a CA, such as ca: %s, and create it: sekisho ca create %s", name, name)
	case UserCA, GatewayCA, HostCA:
		return nil, fmt.Errorf("ca: by %s only the built-in issuer signs, for hosts trust it by what policies say of targets: create one of its own: sekisho ca create %s", c.CA, name)
	}
	switch i.Proof {
	case "":
		i.Proof = ProofSignIn
	case ProofSignIn, ProofToken:
	default:
		return nil, fmt.Errorf("proof: %.40q is none: write sign-in or token", c.Proof)
	}
	for _, step := range []func(IssuerConfig) error{i.readTTL, i.readPrincipals, i.readExtensions, i.readCommand, i.restrict} {
		if err := step(c); err != nil {
			return nil, err
		}
	}
	return i, nil
}

// restrict takes what both kinds of issuers can be told.
func (i *Issuer) restrict(c IssuerConfig) (err error) {
	if i.From, err = prefixes(c.From); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if err := i.readKeys(c); err != nil {
		return err
	}
	if c.MaxTTL != "" && i.builtIn {
		if i.MaxTTL, err = ttl("max_ttl", c.MaxTTL, i.MaxTTL); err != nil {
			return err
		}
	}
	if i.match, err = readMatch(c.Match); err != nil {
		return err
	}
	i.Match = c.Match
	if err := i.checkMatch(); err != nil {
		return err
	}
	if err := i.readOptions(c); err != nil {
		return err
	}
	return i.readRate(c.Rate)
}

func (i *Issuer) readRate(r Rate) error {
	if r != (Rate{}) {
		if r.PerMinute < 1 || r.PerMinute > 100_000 || r.Burst < 0 || r.Burst > 100_000 {
			return fmt.Errorf("rate: want per_minute and burst from 1 to 100000, such as rate: {per_minute: 60, burst: 20}")
		}
		r.Burst = max(r.Burst, 1)
		i.Rate = r
	}
	if i.Rate != (Rate{}) {
		i.limiter = newLimiter(i.Rate)
	}
	return nil
}

func (i *Issuer) readTTL(c IssuerConfig) (err error) {
	if c.TTL == "" {
		return fmt.Errorf("ttl: it is missing: write how long certificates are valid, such as ttl: 8h")
	}
	if i.TTL, err = ttl("ttl", c.TTL, MaxTTL); err != nil {
		return err
	}
	if i.MaxTTL = i.TTL; c.MaxTTL == "" {
		return nil
	}
	if i.MaxTTL, err = ttl("max_ttl", c.MaxTTL, MaxTTL); err == nil && i.MaxTTL < i.TTL {
		return fmt.Errorf("max_ttl: %s is less than ttl: write %s or more", c.MaxTTL, c.TTL)
	}
	return err
}

func ttl(rule, text string, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d < minTTL || d > most {
		return 0, fmt.Errorf("%s: %.40q cannot be had: write a duration from %s to %s", rule, text, sekisho.Span(minTTL), sekisho.Span(most))
	}
	return d.Truncate(time.Second), nil
}

// prefixes reads networks. One with bits beyond its length is refused: sshd would not take it, and nobody means it.
func prefixes(texts []string) ([]netip.Prefix, error) {
	if len(texts) > maxPrefixes {
		return nil, fmt.Errorf("%d networks: want %d at most", len(texts), maxPrefixes)
	}
	var list []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			a, e := netip.ParseAddr(strings.TrimSpace(text))
			if e != nil || a.Zone() != "" || a.Is4In6() {
				return nil, fmt.Errorf("%.60q is no network: write one such as 10.0.0.0/8 or 2001:db8::/32", text)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p != p.Masked() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("%.60q has bits beyond its length: write %s", text, p.Masked())
		}
		list = append(list, p)
	}
	return list, nil
}

// template is the built-in issuer's template of that text.
func (i *Issuer) template(text string) []template {
	if n := slices.Index(i.Principals, text); n >= 0 {
		return i.principals[n : n+1]
	}
	return nil
}

// Issuers gives the issuers, the built-in ones first.
func (a *Authority) Issuers() []*Issuer {
	return slices.SortedFunc(maps.Values(a.issuers), func(x, y *Issuer) int {
		if x.builtIn != y.builtIn {
			if x.builtIn {
				return -1
			}
			return 1
		}
		return strings.Compare(x.Name, y.Name)
	})
}

// Issuer gives an issuer by its name.
func (a *Authority) Issuer(name string) (*Issuer, bool) {
	i, ok := a.issuers[name]
	return i, ok
}

// BuiltIn reports whether every house has it.
func (i *Issuer) BuiltIn() bool { return i.builtIn }
