// Not a part of any program as it is shipped: bench/run.sh builds sekishod and sekisho-connector with this file in
// them when BENCH_PROFILE names a folder. SIGUSR1 starts a CPU profile or ends it, SIGUSR2 writes the heap.

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
)

func init() {
	dir := os.Getenv("BENCH_PROFILE")
	if dir == "" {
		return
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1, syscall.SIGUSR2)
	go benchProfile(dir, asked)
}

func benchProfile(dir string, asked <-chan os.Signal) {
	var cpu bytes.Buffer
	running := false
	for s := range asked {
		switch {
		case s == syscall.SIGUSR2:
			var heap bytes.Buffer
			runtime.GC()
			pprof.Lookup("heap").WriteTo(&heap, 0)
			benchKeep(dir, "heap", heap.Bytes())
		case running:
			pprof.StopCPUProfile()
			benchKeep(dir, "cpu", cpu.Bytes())
			running = false
		default:
			cpu.Reset()
			running = pprof.StartCPUProfile(&cpu) == nil
		}
	}
}

// benchKeep writes a profile, whole or not at all, for bench to find.
func benchKeep(dir, kind string, profile []byte) {
	path := filepath.Join(dir, fmt.Sprintf("%d.%s", os.Getpid(), kind))
	if err := os.WriteFile(path+".new", profile, 0o600); err == nil {
		os.Rename(path+".new", path)
	}
}
