package s3

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"granary/core/object"
)

// span is what a request wants of an object: all of it, a part, or a range of bytes.
type span struct {
	part        int   // 0: none
	ranged      bool  // first, last hold
	first, last int64 // inclusive; first < 0: the last -first bytes; last < 0: to the end
}

// extent is a span of an object of known size.
type extent struct {
	off, length int64
	partial     bool
}

// parseRange parses the value of a Range header. What is malformed, of another unit, or several ranges asks
// for the whole object, as RFC 9110 has it.
func parseRange(value string) (s span) {
	spec, ok := strings.CutPrefix(strings.TrimSpace(value), "bytes=")
	if !ok || strings.IndexByte(spec, ',') >= 0 {
		return span{}
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return span{}
	}
	from, to = strings.TrimSpace(from), strings.TrimSpace(to)
	first, ok1 := parseOffset(from)
	last, ok2 := parseOffset(to)
	switch {
	case ok1 && ok2 && first <= last:
		return span{ranged: true, first: first, last: last}
	case ok1 && to == "":
		return span{ranged: true, first: first, last: -1}
	case ok2 && from == "" && last == 0: // no bytes at all: never satisfiable
		return span{ranged: true, first: maxOffset, last: -1}
	case ok2 && from == "":
		return span{ranged: true, first: -last, last: -1}
	}
	return span{}
}

const maxOffset = 1<<63 - 1

// parseOffset parses decimal digits; what is beyond 63 bits is the largest offset.
func parseOffset(s string) (int64, bool) {
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return maxOffset, true
	}
	return n, err == nil
}

// span takes the wanted span from Range and partNumber.
func (c *call) span() (span, error) {
	value, ok := c.params.lookup("partNumber")
	if !ok {
		if ranges := c.fields["Range"]; len(ranges) == 1 {
			return parseRange(ranges[0]), nil
		}
		return span{}, nil
	}
	if len(c.fields["Range"]) > 0 {
		return span{}, refuse("InvalidRequest", "Send either a Range header or the parameter partNumber.")
	}
	n, err := partNumber(value)
	return span{part: n}, err
}

// partNumber parses a part number.
func partNumber(value string) (int, error) {
	n, ok := parseOffset(value)
	if !ok || n < 1 || n > object.PartMax {
		return 0, invalidArgument("partNumber", printable(value), "A part number is 1 to 10000.")
	}
	return int(n), nil
}

// options say to a Get what will be read.
func (s span) options() object.GetOptions {
	o := object.GetOptions{Offset: s.first, Part: s.part}
	if s.first == maxOffset {
		o.Offset = 0
	}
	return o
}

// in returns the extent of the span in an object.
func (s span) in(o Object, size int64) (extent, error) {
	if s.part > 0 {
		off, length, err := o.PartRange(s.part)
		if errors.Is(err, object.ErrInvalidPart) {
			return extent{}, refuseCause("InvalidPartNumber", "", err)
		}
		return extent{off: off, length: length, partial: length > 0}, err
	}
	return s.inSize(size)
}

// inSize returns the extent of a span without part in size bytes.
func (s span) inSize(size int64) (extent, error) {
	if !s.ranged {
		return extent{length: size}, nil
	}
	first, last := s.first, s.last
	if first < 0 {
		first = max(size+first, 0)
	}
	if first >= size {
		return extent{}, refuse("InvalidRange", "").with("ActualObjectSize", itoa(size))
	}
	if last < 0 || last >= size {
		last = size - 1
	}
	return extent{off: first, length: last - first + 1, partial: true}, nil
}

// status returns the status of an answer with this extent, and sets Content-Range when it is partial.
func (c *call) extentStatus(e extent, size int64) int {
	if !e.partial {
		return http.StatusOK
	}
	c.set("Content-Range", "bytes "+itoa(e.off)+"-"+itoa(e.off+e.length-1)+"/"+itoa(size))
	return http.StatusPartialContent
}
