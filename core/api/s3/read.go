package s3

import (
	"io"
	"net/http"
	"strings"

	"granary/core/object"
)

// getObject answers GetObject. The head of the answer is sent only when the first block is in hand.
func (c *call) getObject() error {
	s, err := c.span()
	if err != nil {
		return err
	}
	if err := c.checkOverrides(); err != nil {
		return err
	}
	o, err := c.h.objects.Get(c.ctx, c.bucket.ID, c.key, s.options())
	if err != nil {
		return err
	}
	defer o.Close()
	info := o.Info()
	e, err := c.extentOf(o, &info, s)
	if err != nil {
		return err
	}
	var body io.ReadCloser = http.NoBody
	if c.h.env.Mutant("answers before its first block") {
		c.describe(&info, s, e)
	}
	if e.length > 0 {
		if body, err = o.Open(c.ctx, e.off, e.length); err != nil {
			return err
		}
		defer body.Close()
	}
	c.describe(&info, s, e)
	return c.copy(body, e.length)
}

// headObject answers HeadObject. Only a part's extent needs more than the description.
func (c *call) headObject() error {
	s, err := c.span()
	if err != nil {
		return err
	}
	if err := c.checkOverrides(); err != nil {
		return err
	}
	var info object.Info
	var o Object
	if s.part > 0 {
		if o, err = c.h.objects.Get(c.ctx, c.bucket.ID, c.key, s.options()); err != nil {
			return err
		}
		defer o.Close()
		info = o.Info()
	} else if info, err = c.h.objects.Head(c.ctx, c.bucket.ID, c.key); err != nil {
		return err
	}
	e, err := c.extentOf(o, &info, s)
	if err != nil {
		return err
	}
	c.describe(&info, s, e)
	return nil
}

// extentOf checks the conditions of a read and finds the extent that it wants. O may be nil when s has no
// part.
func (c *call) extentOf(o Object, info *object.Info, s span) (extent, error) {
	if err := c.checkConditions(info); err != nil {
		return extent{}, err
	}
	if s.ranged && !c.ifRange(info) {
		s = span{}
	}
	e, err := s.in(o, info.Size)
	if f, ok := err.(*failure); ok && f.name == "InvalidRange" {
		f.with("RangeRequested", printable(strings.Join(c.fields["Range"], ",")))
		c.set("Content-Range", "bytes */"+itoa(info.Size))
	}
	return e, err
}

// describe sends the head of an answer about an object.
func (c *call) describe(info *object.Info, s span, e extent) {
	c.objectHeaders(info)
	if s.part > 0 && info.Parts > 0 {
		c.set("X-Amz-Mp-Parts-Count", itoa(int64(info.Parts)))
	}
	if mode := c.fields["X-Amz-Checksum-Mode"]; !e.partial && len(mode) > 0 &&
		strings.EqualFold(mode[0], "ENABLED") {
		c.checksums(info.Checksums)
	}
	c.head(c.extentStatus(e, info.Size), e.length)
}

// copy sends n bytes. A reader that brings fewer cuts the answer off.
func (c *call) copy(r io.Reader, n int64) error {
	if n == 0 {
		return nil
	}
	if w, ok := r.(io.WriterTo); ok {
		sent, err := w.WriteTo(c.w)
		return c.copied(sent, n, err)
	}
	buf := c.h.free.take()
	defer c.h.free.give(buf)
	buf = buf[:cap(buf)]
	var sent int64
	for sent < n {
		k, err := r.Read(buf[:min(int64(len(buf)), n-sent)])
		if k > 0 {
			wrote, werr := c.w.Write(buf[:k])
			sent += int64(wrote)
			if werr != nil {
				return c.copied(sent, n, werr)
			}
		}
		if err != nil {
			return c.copied(sent, n, err)
		}
	}
	return c.copied(sent, n, nil)
}

// copied accounts for what was sent and decides whether that was all.
func (c *call) copied(sent, want int64, err error) error {
	c.sent += sent
	if sent == want {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return refuseCause("InternalError",
		"The answer was cut off after "+itoa(sent)+" of "+itoa(want)+" bytes.", err)
}
