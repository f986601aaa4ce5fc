package main

import (
	"io"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// typist is a session with a terminal whose program gives back what is typed.
type typist struct {
	client *ssh.Client
	in     io.Writer
	out    io.Reader
}

// begin opens the terminal and sees one key come back.
func (o *typist) begin() error {
	session, err := o.client.NewSession()
	if err != nil {
		return err
	}
	if err := session.RequestPty("xterm", 24, 80, ssh.TerminalModes{}); err != nil {
		return err
	}
	if o.in, err = session.StdinPipe(); err != nil {
		return err
	}
	if o.out, err = session.StdoutPipe(); err != nil {
		return err
	}
	if err := session.Start("exec cat"); err != nil {
		return err
	}
	_, err = o.key()
	return err
}

// key types one and gives the time, in ms, until it came back.
func (o *typist) key() (float64, error) {
	begun := time.Now()
	_, err := o.in.Write([]byte{'a'})
	if err == nil {
		_, err = io.ReadFull(o.out, make([]byte, 1))
	}
	return ms(time.Since(begun)), err
}

// typeUntil types a key in every pause.
func (o *typist) typeUntil(end time.Time, pause time.Duration) (times []float64, err error) {
	for begun := time.Now(); begun.Before(end); begun = time.Now() {
		took, err := o.key()
		if err != nil {
			return times, err
		}
		times = append(times, took)
		time.Sleep(pause - time.Since(begun))
	}
	return times, nil
}

// typeInAll types in all of them at once, the first keys spread over a pause.
func typeInAll(open []*typist, while, pause time.Duration) (times []float64, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	end := time.Now().Add(while)
	for i, o := range open {
		all.Go(func() {
			time.Sleep(pause * time.Duration(i) / time.Duration(len(open)))
			mine, ferr := o.typeUntil(end, pause)
			mu.Lock()
			defer mu.Unlock()
			times = append(times, mine...)
			if err == nil {
				err = ferr
			}
		})
	}
	all.Wait()
	return times, err
}
