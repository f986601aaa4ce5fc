package control

// Bounded is bounded, for tests that cannot wait for sendTime.
var Bounded = bounded
