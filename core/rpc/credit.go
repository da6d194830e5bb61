package rpc

import "fmt"

// windowMax bounds the credit of a stream, granted and not used, so that no sum overflows.
const windowMax = 1 << 30

// sendCredit is how much data a stream may still send.
type sendCredit struct{ left int64 }

// take uses up to want bytes of the credit and returns how many.
func (c *sendCredit) take(want int) int {
	n := min(int64(want), c.left)
	c.left -= n
	return int(n)
}

// grant adds what the receiver granted.
func (c *sendCredit) grant(more uint32) error {
	if more == 0 || c.left+int64(more) > windowMax {
		return fmt.Errorf("%w: credit of %d on top of %d", errFrame, more, c.left)
	}
	c.left += int64(more)
	return nil
}

// recvCredit is the other side of a sendCredit.
//
// Invariant: open + buffered + owed == window, where buffered is what arrived and was not consumed.
type recvCredit struct {
	window int64
	open   int64 // what the sender may still send
	owed   int64 // consumed, not yet granted again
}

func newRecvCredit(window int) recvCredit {
	return recvCredit{window: int64(window), open: int64(window)}
}

// arrived notes n bytes of data, which must be within the credit.
func (c *recvCredit) arrived(n int) error {
	if int64(n) > c.open {
		return fmt.Errorf("%w: %d bytes of data with a credit of %d", errFrame, n, c.open)
	}
	c.open -= int64(n)
	return nil
}

// consumed notes that n bytes have left the buffer and returns what to grant the sender now: nothing until
// half a window is owed, so that credit frames are few, and the sender still never waits for one that was
// due.
func (c *recvCredit) consumed(n int) uint32 {
	c.owed += int64(n)
	if c.owed*2 < c.window {
		return 0
	}
	more := c.owed
	c.owed, c.open = 0, c.open+more
	return uint32(more)
}
