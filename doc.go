// Package sekisho holds the words of the house: the nouns that every room uses, as plain types.
//
// Sekisho is Zero Trust SSH for organisations. A person signs in with the company's IdP, plain ssh asks for
// access to a target, a policy decides, a certificate good for two minutes is made, and a gateway carries the
// connection over a link that the target's own connector dialled outwards. Where the policy says audit, the
// gateway ends the SSH itself and keeps a sealed recording.
//
// To know the product, read this package, then cmd/sekishod, gateway/session.go and policy.
// The package imports the standard library only and does nothing by itself: no I/O, no clock, no global state.
package sekisho
