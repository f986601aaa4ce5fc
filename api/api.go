// Package api is the HTTP contract between control and everyone who calls it: messages and service clients
// generated from api/v1/sekisho.proto, and the client that proves possession of its key on every call.
//
// A call carries a token and a DPoP proof (RFC 9449): a signed statement "this key calls this method of this URL
// now", so that a stolen token opens nothing. Proofs are made here (Prover) and checked in login.
//
// The package never decides anything and never keeps a secret: keys and tokens are handed in.
package api
