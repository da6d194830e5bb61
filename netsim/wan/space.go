//go:build linux

package wan

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// deviceName is the TUN device in each namespace.
const deviceName = "wan0"

// Numbers of a device.
const (
	queueLen     = 10_000 // packets that wait for the router
	trainMax     = 10     // segments handed over as one
	prefixBits   = 16     // of the network that all nodes are in
	headerBytes  = 10     // virtio_net_hdr
	offloadFlags = unix.TUN_F_CSUM | unix.TUN_F_TSO4
)

// space is a network namespace with a TUN device in it.
type space struct {
	file *os.File // the namespace
	tun  int      // the device
}

func (s *space) close() error {
	return errors.Join(unix.Close(s.tun), s.file.Close())
}

// enter runs f on a thread that is in the namespace, or in a new one if ns is nil.
//
// The thread goes back to where it was. If that fails it is given up, for no other goroutine may run on it.
func enter(ns *os.File, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // without an end: a goroutine that ends so takes its thread with it
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		if ns == nil {
			err = os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNET))
		} else {
			err = os.NewSyscallError("setns", unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET))
		}
		if err == nil {
			err = f()
		}
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// set changes kernel settings of the namespace.
func (s *space) set(sysctl map[string]string) error {
	return enter(s.file, func() error {
		for name, value := range sysctl {
			path := "/proc/sys/" + strings.ReplaceAll(name, ".", "/")
			if err := os.WriteFile(path, []byte(value), 0); err != nil {
				return fmt.Errorf("sysctl %s = %s: %w", name, value, err)
			}
		}
		return nil
	})
}

// newSpace makes a namespace with a loopback and a device of that address.
func newSpace(addr netip.Addr, trains bool) (*space, error) {
	s := &space{tun: -1}
	err := enter(nil, func() (err error) {
		if s.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		// There is no IPv6 to the outside, so that nothing tries it.
		os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0)
		s.tun, err = newDevice(addr, trains)
		return err
	})
	if err != nil && s.file != nil {
		s.file.Close()
	}
	return s, err
}

// newDevice makes the device and brings it and the loopback up, in the namespace of the thread.
func newDevice(addr netip.Addr, trains bool) (tun int, err error) {
	tun, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open /dev/net/tun: %w (load the module: modprobe tun)", err)
	}
	defer func() {
		if err != nil {
			unix.Close(tun)
		}
	}()
	req, err := unix.NewIfreq(deviceName)
	if err != nil {
		return -1, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(tun, unix.TUNSETIFF, req); err != nil {
		return -1, os.NewSyscallError("TUNSETIFF", err)
	}
	if trains {
		if err := unix.IoctlSetInt(tun, unix.TUNSETOFFLOAD, offloadFlags); err != nil {
			return -1, os.NewSyscallError("TUNSETOFFLOAD", err)
		}
	}
	sock, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer unix.Close(sock)
	index, err := configure(sock, addr)
	if err == nil {
		err = limitTrain(index)
	}
	return tun, err
}

// configure sets address and queue of the device, brings it and the loopback up, and returns its index.
func configure(sock int, addr netip.Addr) (index uint32, err error) {
	ask := func(what string, request uint, name string, fill func(*unix.Ifreq) error) *unix.Ifreq {
		req, reqErr := unix.NewIfreq(name)
		if reqErr == nil {
			reqErr = fill(req)
		}
		if reqErr == nil {
			reqErr = os.NewSyscallError(what+" of "+name, unix.IoctlIfreq(sock, request, req))
		}
		err = errors.Join(err, reqErr)
		return req
	}
	mask := netip.PrefixFrom(addr, prefixBits)
	ip := addr.As4()
	up := func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }
	ask("SIOCSIFADDR", unix.SIOCSIFADDR, deviceName,
		func(r *unix.Ifreq) error { return r.SetInet4Addr(ip[:]) })
	ask("SIOCSIFNETMASK", unix.SIOCSIFNETMASK, deviceName, func(r *unix.Ifreq) error {
		var m [4]byte
		binary.BigEndian.PutUint32(m[:], ^uint32(0)<<(32-mask.Bits()))
		return r.SetInet4Addr(m[:])
	})
	ask("SIOCSIFTXQLEN", unix.SIOCSIFTXQLEN, deviceName,
		func(r *unix.Ifreq) error { r.SetUint32(queueLen); return nil })
	ask("SIOCSIFFLAGS", unix.SIOCSIFFLAGS, deviceName, up)
	ask("SIOCSIFFLAGS", unix.SIOCSIFFLAGS, "lo", up)
	got := ask("SIOCGIFINDEX", unix.SIOCGIFINDEX, deviceName, func(*unix.Ifreq) error { return nil })
	return got.Uint32(), err
}

// limitTrain sets how many segments the device is given as one, by a netlink message: there is no ioctl for
// it.
func limitTrain(index uint32) error {
	sock, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(sock)
	const length = unix.SizeofNlMsghdr + unix.SizeofIfInfomsg + 8
	msg := make([]byte, 0, length)
	le := binary.NativeEndian
	msg = le.AppendUint32(msg, length)
	msg = le.AppendUint16(msg, unix.RTM_NEWLINK)
	msg = le.AppendUint16(msg, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	msg = le.AppendUint32(msg, 1) // sequence
	msg = le.AppendUint32(msg, 0) // port
	msg = append(msg, unix.AF_UNSPEC, 0, 0, 0)
	msg = le.AppendUint32(msg, index)
	msg = le.AppendUint32(msg, 0) // flags
	msg = le.AppendUint32(msg, 0) // change none
	msg = le.AppendUint16(msg, 8)
	msg = le.AppendUint16(msg, unix.IFLA_GSO_MAX_SEGS)
	msg = le.AppendUint32(msg, trainMax)
	if err := unix.Sendto(sock, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("netlink send", err)
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(sock, answer, 0)
	if err != nil {
		return os.NewSyscallError("netlink receive", err)
	}
	head := int(unsafe.Sizeof(unix.NlMsghdr{}))
	if n < head+4 || le.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("netlink answered %d bytes of type %d", n, le.Uint16(answer[4:]))
	}
	if code := int32(le.Uint32(answer[head:])); code != 0 {
		return fmt.Errorf("set the greatest train of %s: %w", deviceName, syscall.Errno(-code))
	}
	return nil
}
