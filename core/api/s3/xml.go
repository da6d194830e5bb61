package s3

import (
	"strconv"
	"time"
	"unicode/utf8"
)

const (
	xmlHead      = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	xmlNamespace = "http://s3.amazonaws.com/doc/2006-03-01/"
	xmlTime      = "2006-01-02T15:04:05.000Z"
)

// doc builds an XML document by appending; element names are literals of this package. The zero value is
// empty.
type doc struct {
	b   []byte
	url bool // keys and the like are escaped: encoding-type=url
}

// begin starts the document with its root in S3's namespace.
func (d *doc) begin(root string) {
	d.b = append(d.b, xmlHead...)
	d.b = append(d.b, '<')
	d.b = append(d.b, root...)
	d.b = append(d.b, ` xmlns="`+xmlNamespace+`">`...)
}

// open starts an element.
func (d *doc) open(name string) {
	d.b = append(d.b, '<')
	d.b = append(d.b, name...)
	d.b = append(d.b, '>')
}

// close ends an element.
func (d *doc) close(name string) {
	d.b = append(d.b, '<', '/')
	d.b = append(d.b, name...)
	d.b = append(d.b, '>')
}

// text adds an element with text.
func (d *doc) text(name, value string) {
	d.open(name)
	d.b = appendText(d.b, value)
	d.close(name)
}

// some adds an element unless its text is empty.
func (d *doc) some(name, value string) {
	if value != "" {
		d.text(name, value)
	}
}

// key adds an element that encoding-type escapes.
func (d *doc) key(name, value string) {
	d.open(name)
	if d.url {
		d.b = appendEscaped(d.b, value)
	} else {
		d.b = appendText(d.b, value)
	}
	d.close(name)
}

// someKey is key unless the text is empty.
func (d *doc) someKey(name, value string) {
	if value != "" {
		d.key(name, value)
	}
}

// int adds an element with a number.
func (d *doc) int(name string, value int64) {
	d.open(name)
	d.b = strconv.AppendInt(d.b, value, 10)
	d.close(name)
}

// bool adds an element with true or false.
func (d *doc) bool(name string, value bool) {
	d.open(name)
	d.b = strconv.AppendBool(d.b, value)
	d.close(name)
}

// time adds an element with a time to the millisecond.
func (d *doc) time(name string, value time.Time) {
	d.open(name)
	d.b = value.UTC().AppendFormat(d.b, xmlTime)
	d.close(name)
}

// etag adds an ETag with its quotes.
func (d *doc) etag(value string) {
	d.b = append(d.b, "<ETag>&quot;"...)
	d.b = appendText(d.b, value)
	d.b = append(d.b, "&quot;</ETag>"...)
}

// owner adds an Owner, or whatever it is called.
func (d *doc) owner(name, id string) {
	d.open(name)
	d.text("ID", id)
	d.text("DisplayName", id)
	d.close(name)
}

// appendText appends character data. What XML cannot say becomes U+FFFD; clients avoid that with
// encoding-type=url.
func appendText(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError || r == 0xfffe || r == 0xffff {
				dst = append(dst, "\ufffd"...)
			} else {
				dst = append(dst, s[i:i+n]...)
			}
			i += n
			continue
		}
		i++
		switch {
		case c == '&':
			dst = append(dst, "&amp;"...)
		case c == '<':
			dst = append(dst, "&lt;"...)
		case c == '>':
			dst = append(dst, "&gt;"...)
		case c == '"':
			dst = append(dst, "&quot;"...)
		case c == '\r':
			dst = append(dst, "&#13;"...)
		case c < ' ' && c != '\t' && c != '\n':
			dst = append(dst, "\ufffd"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}
