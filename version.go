package sekisho

// Version is the release, set by the linker: -X github.com/sekisho/sekisho.Version=v1.2.3.
var Version = "devel"
