package client

// Authenticates lets the fuzzer at the one parser of bytes that a peer of the agent's socket chooses.
var Authenticates = authenticates
