package tcp

import "syscall"

// lanesControl is a congestion control that does not pace, and that every process may choose.
const lanesControl = "reno"

// unpaced makes a connection that is about to be dialled send at once what its window allows. Some
// congestion controls, BBR among them, spread it over the round trip, at a rate that they learn; of a
// connection that sends little now and then they learn that it is slow. It has to be chosen before the
// connection stands, for the kernel does not forget that one was paced. Where it cannot be chosen the
// connection is merely slower.
func unpaced(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) {
		_ = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, lanesControl)
	})
}
