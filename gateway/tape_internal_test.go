package gateway

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sekisho/sekisho"
	"github.com/sekisho/sekisho/recording"
)

// slowDisk is a recording whose Sync takes some time, and which can fail. It knows at each moment what a crash would leave.
type slowDisk struct {
	mu                        sync.Mutex
	appended, flushed, synced []recording.Entry
	takes                     func() time.Duration
	fail                      error
	hold                      chan struct{}
	end                       recording.End
	syncs                     int
}

func (d *slowDisk) Append(e recording.Entry) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	e.Data = append([]byte(nil), e.Data...)
	d.appended = append(d.appended, e)
	return nil
}

func (d *slowDisk) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flushed = d.appended
	return d.fail
}

func (d *slowDisk) Sync() error {
	d.mu.Lock()
	upto, hold, takes := d.flushed, d.hold, d.takes
	d.mu.Unlock()
	if hold != nil {
		<-hold
	}
	if takes != nil {
		time.Sleep(takes())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	d.synced = upto
	d.syncs++
	return nil
}

func (d *slowDisk) Close(end recording.End, _ time.Duration) error {
	if err := d.Flush(); err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	d.end = end
	return nil
}

func (d *slowDisk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// durable is how many bytes of a channel's output a crash would leave.
func (d *slowDisk) durable(channel uint32) (n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.synced {
		if e.Channel == channel && e.Kind == recording.Output {
			n += int64(len(e.Data))
		}
	}
	return n
}

// eyes are what a user sees of one channel: at each byte the disk is asked how far it is.
type eyes struct {
	disk    *slowDisk
	channel uint32
	seen    int64
	check   func(ahead int64)
}

func (e *eyes) Write(p []byte) (int, error) {
	e.seen += int64(len(p))
	e.check(e.seen - e.disk.durable(e.channel))
	return len(p), nil
}

func began() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

func within(bytes int64, span time.Duration) sekisho.Limits {
	return sekisho.Limits{Audit: sekisho.AuditBounded, Ahead: sekisho.Ahead{Bytes: bytes, Time: span}}
}

// stressTape has channels say things over one tape while a disk works as it likes, and gives how far ahead the user was, as
// the disk knows it and as the meter does.
func stressTape(t *testing.T, limits sekisho.Limits, seed uint64) (most int64, meter *Meter) {
	random := rand.New(rand.NewPCG(seed, 1))
	var guard sync.Mutex
	disk := &slowDisk{takes: func() time.Duration {
		guard.Lock()
		defer guard.Unlock()
		return time.Duration(random.IntN(30)) * time.Millisecond
	}}
	meter = &Meter{}
	tp := newTape(disk, began(), limits, meter)
	total := make([]int64, 4)
	var work sync.WaitGroup
	for channel := range uint32(4) {
		mine := rand.New(rand.NewPCG(seed, uint64(channel)+2))
		user := &eyes{disk: disk, channel: channel, check: func(ahead int64) {
			guard.Lock()
			defer guard.Unlock()
			most = max(most, ahead)
		}}
		work.Go(func() {
			for range 60 {
				data := make([]byte, 1+mine.IntN(3000))
				place, err := tp.append(recording.Entry{Kind: recording.Output, Channel: channel, Data: data})
				if err == nil {
					err = tp.hand(user, data, place)
				}
				if err != nil {
					t.Error(err)
				}
				total[channel] += int64(len(data))
				time.Sleep(time.Duration(mine.IntN(5)) * time.Millisecond)
			}
		})
	}
	work.Wait()
	if err := tp.close(recording.EndDone); err != nil {
		t.Error(err)
	}
	for channel, n := range total {
		if got := disk.durable(uint32(channel)); got != n {
			t.Errorf("channel %d: %d bytes are recorded of %d", channel, got, n)
		}
	}
	if meter.Ahead() != 0 {
		t.Errorf("%d bytes are still counted as ahead", meter.Ahead())
	}
	return most, meter
}

// Nothing reaches the user before it is durable: neither the disk nor the meter has ever seen it.
func TestStrictIsNeverAhead(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			most, meter := stressTape(t, sekisho.Limits{Audit: sekisho.AuditStrict}, seed)
			if most > 0 || meter.AheadMax() != 0 {
				t.Errorf("seed %d: the user was %d bytes ahead, %d by the meter", seed, most, meter.AheadMax())
			}
		})
	}
}

// A crash at any moment takes no more from the recording than the bound.
func TestBoundedIsNeverFurtherAhead(t *testing.T) {
	for seed := range uint64(10) {
		for _, bound := range []int64{4 << 10, 32 << 10} {
			synctest.Test(t, func(t *testing.T) {
				most, meter := stressTape(t, within(bound, time.Second), seed)
				if most > bound || meter.AheadMax() > bound {
					t.Errorf("seed %d: the user was %d bytes ahead, %d by the meter, and may be %d", seed, most, meter.AheadMax(), bound)
				}
				if most == 0 || meter.AheadMax() == 0 {
					t.Errorf("seed %d: the user was never ahead", seed)
				}
			})
		}
	}
}

// The meter is not told the mode: a tape that hands out too early is found out.
func TestMeterMeasures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, meter := stressTape(t, sekisho.Limits{Audit: sekisho.AuditBestEffort}, 1)
		if meter.AheadMax() == 0 || meter.Lost() != 0 {
			t.Errorf("%d bytes ahead, %d lost", meter.AheadMax(), meter.Lost())
		}
	})
}

// utter appends and hands out some output in the background, and says when it was handed out.
func utter(t *testing.T, tp *tape, n int) <-chan struct{} {
	data, handed := make([]byte, n), make(chan struct{})
	place, err := tp.append(recording.Entry{Kind: recording.Output, Data: data})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if tp.hand(&eyes{disk: &slowDisk{}, check: func(int64) {}}, data, place) == nil {
			close(handed)
		}
	}()
	synctest.Wait()
	return handed
}

func happened(c <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// While something is older than the bound and not durable, nothing more is seen.
func TestBoundedByTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{hold: make(chan struct{})}
		tp := newTape(disk, began(), within(1<<20, time.Second), &Meter{})
		if !happened(utter(t, tp, 10)) {
			t.Error("ten bytes were not handed out at once")
		}
		time.Sleep(900 * time.Millisecond)
		if !happened(utter(t, tp, 10)) {
			t.Error("they were not handed out within the bound")
		}
		time.Sleep(200 * time.Millisecond)
		late := utter(t, tp, 10)
		if happened(late) {
			t.Error("something was handed out while older things are not durable")
		}
		close(disk.hold)
		if !happened(late) {
			t.Error("it was not handed out when the older things were durable")
		}
		if err := tp.close(recording.EndDone); err != nil || disk.end != recording.EndDone {
			t.Errorf("close: %v, %q", err, disk.end)
		}
	})
}

// Where nobody waits, one sync does for many entries.
func TestBoundedSyncsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := &slowDisk{}
		tp := newTape(disk, began(), within(1<<20, time.Second), &Meter{})
		for range 100 {
			if !happened(utter(t, tp, 1)) {
				t.Fatal("not handed out")
			}
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if disk.syncs == 0 || disk.syncs > 30 {
			t.Errorf("%d syncs for 100 keystrokes in a second", disk.syncs)
		}
		if tp.syncing || disk.durable(0) != 100 {
			t.Errorf("a second later %d bytes are durable; the syncer runs: %v", disk.durable(0), tp.syncing)
		}
	})
}

// A disk that takes nothing ends strict and bounded sessions after some patience; what is lost of them is known.
func TestTapeOnAHungDisk(t *testing.T) {
	for _, limits := range []sekisho.Limits{{Audit: sekisho.AuditStrict}, within(1<<10, time.Second)} {
		synctest.Test(t, func(t *testing.T) {
			disk, meter := &slowDisk{hold: make(chan struct{})}, &Meter{}
			tp := newTape(disk, began(), limits, meter)
			failed := make(chan error, 2)
			tp.watch(func(err error) { failed <- err }, nil)
			first, stuck := utter(t, tp, 100), utter(t, tp, 2000)
			if got := happened(first); got != (limits.Audit == sekisho.AuditBounded) || happened(stuck) {
				t.Errorf("%s: the first was handed out: %v, and what is too much: %v", limits.Audit, got, happened(stuck))
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if err := <-failed; !broken(err) || trouble(err) != "the disk for recordings is too slow" {
				t.Errorf("failed with %v", err)
			}
			if _, err := tp.append(recording.Entry{Kind: recording.Output}); !errors.Is(err, errSlow) {
				t.Errorf("it takes more: %v", err)
			}
			if err := tp.close(recording.EndDone); !errors.Is(err, errSlow) {
				t.Errorf("close on a hung disk: %v", err)
			}
			disk.set(func() { disk.fail = errors.New("gone") })
			close(disk.hold)
			synctest.Wait()
			want := map[sekisho.AuditMode]int64{sekisho.AuditBounded: 100}[limits.Audit]
			if meter.Ahead() != 0 || meter.Lost() != want || meter.Failures() != 1 {
				t.Errorf("%s: %d ahead, %d lost, %d failures", limits.Audit, meter.Ahead(), meter.Lost(), meter.Failures())
			}
		})
	}
}

// A disk that hangs while the recording is closed holds the end of the session up for as long as a sync may take, whatever
// is asked of the tape then.
func TestClosingOnAHungDisk(t *testing.T) {
	for _, limits := range []sekisho.Limits{{Audit: sekisho.AuditStrict}, within(1<<10, time.Second), {Audit: sekisho.AuditBestEffort}} {
		synctest.Test(t, func(t *testing.T) {
			disk := &slowDisk{}
			tp := newTape(disk, began(), limits, &Meter{})
			utter(t, tp, 100)
			time.Sleep(time.Second)
			hold := make(chan struct{})
			disk.set(func() { disk.hold = hold })
			if err := tp.close(recording.EndDone); !errors.Is(err, errSlow) {
				t.Errorf("closed with %v", err)
			}
			asked := make(chan struct{})
			go func() {
				defer close(asked)
				tp.losses()
				if _, err := tp.append(recording.Entry{Kind: recording.Output}); err == nil {
					t.Error("it takes more")
				}
			}()
			synctest.Wait()
			select {
			case <-asked:
			default:
				t.Errorf("%s: whoever asks the tape waits for the disk", limits.Audit)
			}
			close(hold)
			synctest.Wait()
		})
	}
}

func TestTroubleInWords(t *testing.T) {
	for want, err := range map[string]error{
		"the disk for recordings is full":     &recordingError{fmt.Errorf("write: %w", syscall.ENOSPC)},
		"the disk for recordings is too slow": errSlow,
		"recordings cannot be stored":         syscall.EROFS,
	} {
		if got := trouble(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

// said is what a lossy recording holds: bytes of output, and how many it says are missing.
func (d *slowDisk) said() (output, missing int64) {
	for _, e := range d.synced {
		switch e.Kind {
		case recording.Output:
			output += int64(len(e.Data))
		case recording.Lost:
			loss, err := recording.DecodeLoss(e.Data)
			if err != nil || loss.Why == "" {
				panic(fmt.Sprint(loss, err))
			}
			missing += int64(loss.Bytes)
		}
	}
	return output, missing
}

// While the disk hangs a best-effort tape goes on, holds no more than its bound, and then says what is missing, where.
func TestBestEffortOnAHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk, meter := &slowDisk{hold: make(chan struct{})}, &Meter{}
		tp := newTape(disk, began(), sekisho.Limits{Audit: sekisho.AuditBestEffort}, meter)
		lost := make(chan error, 10)
		tp.watch(nil, func(why error) { lost <- why })
		const pieces, size = 200, 50_000
		for range pieces {
			if !happened(utter(t, tp, size)) {
				t.Fatal("it waits for the disk")
			}
			if held := tp.lossy.holding(); held > maxHeld {
				t.Fatalf("it holds %d bytes", held)
			}
		}
		if err := tp.put(recording.Entry{Kind: recording.ExitStatus, Data: recording.EncodeExitStatus(0)}); err != nil || tp.appended == 0 {
			t.Error(err)
		}
		close(disk.hold)
		time.Sleep(time.Second)
		utter(t, tp, 10)
		if err := tp.close(recording.EndDone); err != nil {
			t.Error(err)
		}
		output, missing := disk.said()
		if output+missing != pieces*size+10 || missing == 0 || missing != meter.Lost() || output < maxHeld-2*heldReserve {
			t.Errorf("%d bytes recorded, %d said to be missing, %d by the meter, of %d", output, missing, meter.Lost(), pieces*size+10)
		}
		if gap := disk.synced[len(disk.synced)-3]; gap.Kind != recording.Lost {
			t.Errorf("where output is missing stands %s", gap.Kind)
		}
		if len(lost) != 1 || !errors.Is(<-lost, errSlow) {
			t.Error("the loss was not told once, as it is")
		}
		if bytes, why := tp.losses(); bytes != missing || !errors.Is(why, errSlow) || meter.Ahead() != 0 {
			t.Errorf("%d bytes lost, %v, %d ahead", bytes, why, meter.Ahead())
		}
	})
}

// A disk that fails is tried again; one that stays broken loses what comes, and holds nothing up.
func TestBestEffortOnABrokenDisk(t *testing.T) {
	for name, heals := range map[string]bool{"heals": true, "stays broken": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk, meter := &slowDisk{fail: syscall.ENOSPC}, &Meter{}
				tp := newTape(disk, began(), sekisho.Limits{Audit: sekisho.AuditBestEffort}, meter)
				lost := make(chan error, 10)
				tp.watch(nil, func(why error) { lost <- why })
				for i := range 100 {
					if !happened(utter(t, tp, 10)) {
						t.Fatal("it waits for the disk")
					}
					time.Sleep(100 * time.Millisecond)
					if i == 49 && heals {
						disk.set(func() { disk.fail = nil })
					}
				}
				err := tp.close(recording.EndDone)
				output, missing := disk.said()
				switch {
				case heals && (err != nil || output+missing != 1000 || missing < 500 || missing > 600 || missing != meter.Lost()):
					t.Errorf("%d recorded, %d said to be missing, %d by the meter: %v", output, missing, meter.Lost(), err)
				case !heals && (err == nil || meter.Lost() != 1000):
					t.Errorf("%d lost, closed with %v", meter.Lost(), err)
				}
				if len(lost) != 1 || trouble(<-lost) != "the disk for recordings is full" {
					t.Error("the loss was not told once, as it is")
				}
				if meter.Ahead() != 0 || tp.lossy.holding() != 0 {
					t.Errorf("%d ahead, %d held", meter.Ahead(), tp.lossy.holding())
				}
			})
		})
	}
}

// An idle tape has no syncer, and a strict one none for what nobody waits for.
func TestIdleTapeRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, limits := range []sekisho.Limits{{Audit: sekisho.AuditStrict}, within(1<<10, time.Second), {Audit: sekisho.AuditBestEffort}} {
			disk := &slowDisk{}
			tp := newTape(disk, began(), limits, &Meter{})
			utter(t, tp, 10)
			time.Sleep(time.Second)
			synctest.Wait()
			if tp.syncing || disk.durable(0) != 10 || tp.lossy != nil && cap(tp.lossy.bytes)+cap(tp.lossy.held) > 0 {
				t.Errorf("%s: %d bytes durable; the syncer runs: %v", limits.Audit, disk.durable(0), tp.syncing)
			}
		}
	})
}

// nowhere is a recording that keeps nothing.
type nowhere struct{}

func (nowhere) Append(recording.Entry) error             { return nil }
func (nowhere) Flush() error                             { return nil }
func (nowhere) Sync() error                              { return nil }
func (nowhere) Close(recording.End, time.Duration) error { return nil }

// Marking a keystroke makes no garbage: it is done for each.
func TestMarksAreCheap(t *testing.T) {
	s := &session{tape: newTape(nowhere{}, began(), sekisho.Limits{Audit: sekisho.AuditStrict}, &Meter{})}
	typist := &typist{channel: &channel{relay: &relay{session: s}, terminal: true}, to: io.Discard}
	packets := [][]byte{[]byte("l"), []byte("s"), []byte("\r")}
	if n := testing.AllocsPerRun(1000, func() {
		for _, p := range packets {
			if _, err := typist.Write(p); err != nil {
				t.Error(err)
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations for three keystrokes", n)
	}
}
