package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// link joins two network namespaces with a delay each way, without a limit of speed and without loss: ours, where all
// servers are, and one for the user. There, 127.0.0.1 leads over the link to us, so that nobody has to be told another
// address. It goes when the process does.
type link struct {
	user  *place
	how   string // what delays
	begun []io.Closer
}

// The ends of the link: ours and the user's.
const (
	near, nearAddress = "near", "192.0.2.1"
	far, farAddress   = "far", "192.0.2.2"
)

// openLink needs a network namespace that is only ours, and the right to set it up.
func openLink(ctx context.Context, oneWay time.Duration) (l *link, err error) {
	l = &link{}
	var thread int
	l.user, err = newPlace(func() error {
		thread = unix.Gettid()
		return unix.Unshare(unix.CLONE_NEWNET)
	})
	if err != nil {
		return nil, leftOut(fmt.Sprintf("no network namespace can be made: %v", err))
	}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.how, err = "netem", l.netem(ctx, thread, oneWay); err != nil {
		if l.how, err = "TUN relay", l.relay(oneWay); err != nil {
			return nil, leftOut(err.Error())
		}
	}
	return l, l.address(ctx)
}

func (l *link) close() {
	for _, c := range l.begun {
		c.Close()
	}
	l.user.close()
}

// netem lets the kernel delay (tc-netem(8)), where it can.
func (l *link) netem(ctx context.Context, thread int, oneWay time.Duration) error {
	if err := ip(ctx, "link", "add", near, "type", "veth", "peer", "name", far); err != nil {
		return err
	}
	slow := func(end string) error {
		return tool(ctx, "tc", "qdisc", "add", "dev", end, "root", "netem", "delay", oneWay.String(), "limit", "1000000")
	}
	err := slow(near)
	if err == nil {
		err = ip(ctx, "link", "set", far, "netns", fmt.Sprint(thread))
	}
	if err == nil {
		err = l.user.do(func() error { return slow(far) })
	}
	if err != nil {
		return errors.Join(err, ip(ctx, "link", "del", near))
	}
	return nil
}

// relay carries the packets of two TUN devices itself.
func (l *link) relay(oneWay time.Duration) error {
	ours, err := openTUN(near)
	if err != nil {
		return err
	}
	l.begun = append(l.begun, ours)
	var theirs *os.File
	if err := l.user.do(func() (err error) { theirs, err = openTUN(far); return err }); err != nil {
		return err
	}
	l.begun = append(l.begun, theirs)
	go carryPackets(ours, theirs, oneWay)
	go carryPackets(theirs, ours, oneWay)
	return nil
}

// openTUN makes a device in the network namespace of the calling thread. Each read and write is one packet, or, as TCP
// hands them to a network card that cuts them itself, up to 64 KiB of them at once, behind a virtio header that says
// which (Documentation/networking/tuntap.rst, linux/virtio_net.h).
func openTUN(name string) (*os.File, error) {
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	ask, err := unix.NewIfreq(name)
	if err == nil {
		ask.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ask)
	}
	if err == nil {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO_ECN)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), path), nil // only now, because what is no device yet cannot be waited for
}

// packet is one on its way.
type packet struct {
	bytes []byte
	due   time.Time
}

// carryPackets gives to w what r gives, each packet oneWay later and all in order, until r ends. What w refuses is lost.
func carryPackets(r io.Reader, w io.Writer, oneWay time.Duration) {
	const most = 1 << 16 // on their way at once; then r waits
	way := make(chan packet, most)
	go func() {
		for p := range way {
			time.Sleep(time.Until(p.due))
			w.Write(p.bytes)
		}
	}()
	defer close(way)
	buf := make([]byte, 1<<17)
	for {
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		way <- packet{append([]byte(nil), buf[:n]...), time.Now().Add(oneWay)}
	}
}

// address gives both ends their addresses. The user's 127.0.0.0/8 is routed like any network (ip-sysctl,
// route_localnet), because that namespace's lo is not up.
func (l *link) address(ctx context.Context) error {
	end := func(name, address string) error {
		route := "/proc/sys/net/ipv4/conf/" + name + "/route_localnet"
		return errors.Join(
			ip(ctx, "link", "set", name, "up", "txqueuelen", "10000"), ip(ctx, "addr", "add", address+"/30", "dev", name),
			os.WriteFile(route, []byte("1"), 0))
	}
	if err := end(near, nearAddress); err != nil {
		return err
	}
	return l.user.do(func() error {
		return errors.Join(end(far, farAddress), ip(ctx, "route", "add", "127.0.0.0/8", "dev", far, "src", farAddress))
	})
}

// roundTrip is how long the user waits for a TCP connection to a port, the least of some.
func (l *link) roundTrip(port int) (least time.Duration, err error) {
	for range 5 {
		err := l.user.do(func() error {
			begun := time.Now()
			conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 10*time.Second)
			if err != nil {
				return err
			}
			if took := time.Since(begun); least == 0 || took < least {
				least = took
			}
			return conn.Close()
		})
		if err != nil {
			return 0, err
		}
	}
	return least, nil
}

// download is what TCP alone reaches over the link with size bytes, in bytes a second, connecting left out: whatever
// SSH reaches less than that is not the link's doing.
func (l *link) download(size int64) (rate float64, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for buf, left := make([]byte, 64<<10), size; left > 0 && err == nil; left -= int64(len(buf)) {
			_, err = conn.Write(buf)
		}
	}()
	err = l.user.do(func() error {
		conn, err := net.DialTimeout("tcp", listener.Addr().String(), 10*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(2 * time.Minute))
		begun := time.Now()
		n, err := io.Copy(io.Discard, conn)
		if err == nil && n < size {
			err = fmt.Errorf("%d bytes arrived of %d", n, size)
		}
		rate = float64(n) / time.Since(begun).Seconds()
		return err
	})
	return rate, err
}

func ip(ctx context.Context, args ...string) error { return tool(ctx, "ip", args...) }

// tool runs a program in the network namespace of the calling thread.
func tool(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
