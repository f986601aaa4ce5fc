package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SEKISHO_TEST_APPEND"); dir != "" {
		appendForever(dir)
		return
	}
	os.Exit(m.Run())
}

// appendForever appends from several goroutines and prints each number once its line is said to be durable.
func appendForever(dir string) {
	t := &testing.T{} // only for its methods that fail
	l := openLog(t, openStore(t, dir))
	var mu sync.Mutex
	for c := range 8 {
		go func() {
			for {
				ev := event(c)
				if err := l.Append(context.Background(), ev); err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				mu.Lock()
				fmt.Println(ev.Seq)
				mu.Unlock()
			}
		}()
	}
	select {}
}

// Two processes append to one log and are killed in the midst of it: every line that either was told is durable is
// there, and the log verifies and goes on.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	openLog(t, openStore(t, dir)).Close()
	told := int64(-1)
	for range 3 {
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 2 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "SEKISHO_TEST_APPEND="+dir)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				lines := bufio.NewReader(out)
				for n := 0; ; n++ {
					line, err := lines.ReadString('\n')
					if err != nil {
						break
					}
					seq, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					told = max(told, seq)
					mu.Unlock()
					if n == 50 {
						cmd.Process.Kill() // and read what it still said
					}
				}
				cmd.Wait()
			})
		}
		all.Wait()
		l := openLog(t, openStore(t, dir))
		if r := verify(t, l, export(t, l)); r.Events <= told {
			t.Fatalf("%d events, but line %d was said to be durable", r.Events, told)
		}
		fill(t, l, 3)
		l.Close()
	}
	if told < 100 {
		t.Fatalf("only %d lines were written", told)
	}
}
