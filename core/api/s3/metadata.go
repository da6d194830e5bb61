package s3

import (
	"slices"
	"strings"

	"granary/core/auth"
	"granary/core/object"
)

// keptHeaders are the standard headers that are stored with an object, by their canonical names, in order.
var keptHeaders = [...]string{
	"Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Expires",
}

const metaPrefix = "X-Amz-Meta-"

// storedHeaders takes from the request the headers that are stored with an object: standard ones, then
// metadata by name. Values that were sent several times are joined with commas.
func (c *call) storedHeaders() ([]object.Header, error) {
	var out []object.Header
	size := 0
	for _, name := range keptHeaders {
		value := strings.Join(c.fields[name], ",")
		if name == "Content-Encoding" && value != "" {
			value = auth.StripChunked(value)
		}
		if value == "" {
			continue
		}
		size += len(name) + len(value)
		out = append(out, object.Header{Name: name, Value: value})
	}
	if size > keptMax {
		return nil, refuse("RequestHeaderSectionTooLarge",
			"The headers that are kept with an object are too large.").
			with("MaxSizeAllowed", itoa(keptMax))
	}
	standard, meta := len(out), 0
	for name, values := range c.fields { //det:ok sorted below
		if !strings.HasPrefix(name, metaPrefix) {
			continue
		}
		value := strings.Join(values, ",")
		meta += len(name) - len(metaPrefix) + len(value)
		out = append(out, object.Header{Name: strings.ToLower(name), Value: value})
	}
	if meta > object.MetaMax {
		return nil, refuse("MetadataTooLarge", "").with("Size", itoa(int64(meta))).
			with("MaxSizeAllowed", itoa(object.MetaMax))
	}
	slices.SortFunc(out[standard:], func(a, b object.Header) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// objectHeaders sets the headers that describe an object in answers to GetObject and HeadObject.
func (c *call) objectHeaders(info *object.Info) {
	h := c.w.Header()
	h["Content-Type"] = []string{"binary/octet-stream"}
	for i := range info.Headers {
		// Metadata goes out in lower case, as S3 sends it: some clients keep the case.
		h[info.Headers[i].Name] = []string{info.Headers[i].Value}
	}
	c.validators(info)
	c.set("Accept-Ranges", "bytes")
	for i := range overrides {
		if value, ok := c.params.lookup(overrides[i].param); ok {
			c.set(overrides[i].header, value)
		}
	}
}

// validators sets the headers by which caches compare objects.
func (c *call) validators(info *object.Info) {
	c.set("Etag", quoted(info.ETag))
	c.set("Last-Modified", httpTime(info.Modified()))
}

// overrides are the parameters that replace a header of the answer.
var overrides = [...]struct{ param, header string }{
	{"response-cache-control", "Cache-Control"},
	{"response-content-disposition", "Content-Disposition"},
	{"response-content-encoding", "Content-Encoding"},
	{"response-content-language", "Content-Language"},
	{"response-content-type", "Content-Type"},
	{"response-expires", "Expires"},
}

// checkOverrides refuses values that would break out of a header.
func (c *call) checkOverrides() error {
	for i := range overrides {
		value := c.params.get(overrides[i].param)
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return invalidArgument(overrides[i].param, printable(value),
				"The value holds a control character.")
		}
	}
	return nil
}
