//go:build linux

package wan

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"granary/netsim"
)

// readsMax is how many packets are read from one device before the others have their turn.
const readsMax = 32

// The router's claim on a processor: nine tenths of every millisecond, or, where the kernel does not grant
// that, a real-time priority above ordinary processes and below the kernel's own. Priority alone is not
// enough on a busy machine: see DESIGN.md.
const (
	claimPeriod  = 1_000_000 // ns
	claimRuntime = 900_000   // ns
	priority     = 20
)

// router carries packets between the devices of nodes. One thread runs it; mu is what it shares with those
// who change or ask.
type router struct {
	nodes   []node
	queue   time.Duration
	draw    netsim.Draw
	start   time.Time
	bell    int // an eventfd that wakes the thread
	stopped atomic.Bool

	heap   heap
	pool   pool
	held   int // bytes of the buffers in heap
	order  uint64
	packet [largeBytes]byte
	polled []unix.PollFd // the devices, then bell

	mu    sync.Mutex
	model *netsim.Model
	stats Stats
}

func newRouter(m *netsim.Model, nodes []node, queue time.Duration, draw netsim.Draw) (*router, error) {
	bell, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	r := &router{nodes: nodes, queue: queue, draw: draw, start: time.Now(), bell: bell, model: m}
	for _, n := range nodes {
		r.polled = append(r.polled, unix.PollFd{Fd: int32(n.space.tun), Events: unix.POLLIN})
	}
	r.polled = append(r.polled, unix.PollFd{Fd: int32(bell), Events: unix.POLLIN})
	return r, nil
}

// stop makes run return.
func (r *router) stop() {
	r.stopped.Store(true)
	unix.Write(r.bell, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

func (r *router) now() time.Duration { return time.Since(r.start) }

// run is the loop of DESIGN.md, "The shape".
func (r *router) run() error {
	runtime.LockOSThread() // without an end: the thread's priority must not come to another goroutine
	real := claim()
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	r.mu.Lock()
	r.stats.RealTime = real
	r.mu.Unlock()
	for !r.stopped.Load() {
		r.deliver()
		if err := r.wait(); err != nil {
			return err
		}
		for i := range r.nodes {
			if r.polled[i].Revents == 0 {
				continue
			}
			if err := r.read(i); err != nil {
				return fmt.Errorf("device of %s: %w", r.nodes[i].Name, err)
			}
		}
	}
	return nil
}

// claim makes the thread a real-time one, and reports whether it is.
func claim() bool {
	err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_DEADLINE,
		Flags: unix.SCHED_FLAG_RESET_ON_FORK, Runtime: claimRuntime, Deadline: claimPeriod,
		Period: claimPeriod}, 0)
	if err == nil {
		return true
	}
	return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO,
		Priority: priority}, 0) == nil
}

// wait sleeps until a device has packets or the first parcel is due.
func (r *router) wait() error {
	var timeout *unix.Timespec
	if len(r.heap) > 0 {
		t := unix.NsecToTimespec(int64(max(0, r.heap[0].due-r.now())))
		timeout = &t
	}
	if _, err := unix.Ppoll(r.polled, timeout, nil); err != nil && err != unix.EINTR {
		return os.NewSyscallError("ppoll", err)
	}
	return nil
}

// deliver writes what is due to the devices.
func (r *router) deliver() {
	for len(r.heap) > 0 && r.heap[0].due <= r.now() {
		p := r.heap.pop()
		late := r.now() - p.due
		// The raw call spares the runtime's bookkeeping: it never waits.
		_, _, code := unix.RawSyscall(unix.SYS_WRITE, uintptr(r.nodes[p.to].space.tun),
			uintptr(unsafe.Pointer(&p.data[0])), uintptr(len(p.data)))
		r.held -= cap(p.data)
		r.mu.Lock()
		if code != 0 {
			r.stats.Overflown++
		} else {
			r.stats.Packets++
			r.stats.Bytes += int64(len(p.data) - headerBytes)
			r.stats.Errors.add(late)
		}
		r.mu.Unlock()
		r.pool.put(p.data)
	}
}

// read takes packets from the device of a node and decides when they arrive.
func (r *router) read(from int) error {
	for range readsMax {
		n, _, code := unix.RawSyscall(unix.SYS_READ, uintptr(r.nodes[from].space.tun),
			uintptr(unsafe.Pointer(&r.packet)), largeBytes)
		switch code {
		case 0:
		case unix.EAGAIN:
			return nil
		case unix.EINTR:
			continue
		default:
			return os.NewSyscallError("read", code)
		}
		r.take(from, r.packet[:n])
		r.deliver()
	}
	return nil
}

// take sends one packet on its way, or drops it. data begins with the virtio header.
func (r *router) take(from int, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to, size := r.destination(data), wireSize(data)
	if to < 0 || size > netsim.PacketMax {
		r.stats.Strange++
		return
	}
	now := r.now()
	a, b := r.nodes[from].Name, r.nodes[to].Name
	wait, err := r.model.Wait(now, a, b, size)
	if err != nil {
		panic(fmt.Sprintf("wan: nodes of the topology itself: %v", err))
	}
	if wait > r.queue {
		r.stats.Dropped++
		return
	}
	due, ok, err := r.model.Send(now, a, b, size, r.draw)
	switch {
	case err != nil:
		panic(fmt.Sprintf("wan: nodes of the topology itself: %v", err))
	case !ok:
		r.stats.Lost++
	case r.held+largeBytes > BufferMax:
		r.stats.Overflown++
	default:
		b := r.pool.get(data)
		r.held += cap(b)
		r.order++
		r.heap.push(parcel{due: due, order: r.order, to: to, data: b})
	}
}

// destination returns the index of the node that a packet is for, or -1.
func (r *router) destination(data []byte) int {
	const ipHeader, at = 20, headerBytes + 16
	if len(data) < headerBytes+ipHeader || data[headerBytes]>>4 != 4 {
		return -1
	}
	prefix := first.As4()
	index := int(binary.BigEndian.Uint16(data[at+2:])) - 1
	if [2]byte(data[at:]) != [2]byte(prefix[:2]) || index >= len(r.nodes) {
		return -1
	}
	return index
}

// wireSize is how many bytes a packet has on the wire. Of a train each segment has headers of its own.
func wireSize(data []byte) int {
	if len(data) < headerBytes {
		return 1
	}
	size := len(data) - headerBytes
	headers, segment := int(binary.NativeEndian.Uint16(data[2:])), int(binary.NativeEndian.Uint16(data[4:]))
	if data[1] == unix.VIRTIO_NET_HDR_GSO_NONE || segment == 0 || size <= headers+segment {
		return max(size, 1)
	}
	return size + (size-headers-1)/segment*headers
}
