package s3

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"granary/core/auth"
	"granary/core/object"
)

// unknown catches elements that a document must not have.
type unknown struct{ XMLName xml.Name }

// unmarshal decodes a whole document whose root is named root; nothing may follow it.
func unmarshal(b []byte, root string, into any) error {
	d := xml.NewDecoder(bytes.NewReader(b))
	start, err := firstElement(d)
	if err != nil {
		return malformed(err)
	}
	if start.Name.Local != root {
		return malformed(errors.New("the root is " + start.Name.Local + ", not " + root))
	}
	if err := d.DecodeElement(into, &start); err != nil {
		return malformed(err)
	}
	if _, err := firstElement(d); err != io.EOF {
		return malformed(errors.New("something follows the root"))
	}
	return nil
}

// firstElement skips to the next element.
func firstElement(d *xml.Decoder) (xml.StartElement, error) {
	for {
		t, err := d.Token()
		if err != nil {
			return xml.StartElement{}, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return t, nil
		case xml.Directive:
			return xml.StartElement{}, errors.New("directives are not allowed")
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return xml.StartElement{}, errors.New("text outside of the root")
			}
		}
	}
}

// malformed refuses a document.
func malformed(cause error) error { return refuseCause("MalformedXML", "", cause) }

// unsupported refuses an element that would change what the request does.
func unsupported(list []unknown, of string) error {
	if len(list) == 0 {
		return nil
	}
	name := printable(list[0].XMLName.Local)
	return refuse("NotImplemented", "The element "+name+" of "+of+" is not supported.").with("Element", name)
}

// deleteList is a parsed DeleteObjects document.
type deleteList struct {
	keys  []string
	quiet bool
}

// parseDelete parses the document of a DeleteObjects.
func parseDelete(b []byte) (deleteList, error) {
	var x struct {
		Quiet  string `xml:"Quiet"`
		Object []struct {
			Key  *string   `xml:"Key"`
			Rest []unknown `xml:",any"`
		} `xml:"Object"`
		Rest []unknown `xml:",any"`
	}
	if err := unmarshal(b, "Delete", &x); err != nil {
		return deleteList{}, err
	}
	if err := unsupported(x.Rest, "Delete"); err != nil {
		return deleteList{}, err
	}
	if n := len(x.Object); n == 0 || n > object.DeleteMax {
		return deleteList{}, malformed(errors.New(itoa(int64(n)) + " objects; 1 to 1000 are allowed"))
	}
	var l deleteList
	switch strings.TrimSpace(x.Quiet) {
	case "true", "1":
		l.quiet = true
	case "", "false", "0":
	default:
		return deleteList{}, malformed(errors.New("element Quiet is neither true nor false"))
	}
	for _, o := range x.Object {
		if err := unsupported(o.Rest, "Object"); err != nil {
			return deleteList{}, err
		}
		if o.Key == nil || *o.Key == "" {
			return deleteList{}, malformed(errors.New("an object without key"))
		}
		l.keys = append(l.keys, *o.Key)
	}
	return l, nil
}

// result builds the answer to a DeleteObjects; a nil failure is a success.
func (l *deleteList) result(d *doc, failures []*failure) {
	d.begin("DeleteResult")
	for i, f := range failures {
		switch {
		case f != nil:
			d.open("Error")
			d.text("Key", l.keys[i])
			d.text("Code", f.name)
			d.text("Message", f.text())
			d.close("Error")
		case !l.quiet:
			d.open("Deleted")
			d.text("Key", l.keys[i])
			d.close("Deleted")
		}
	}
	d.close("DeleteResult")
}

// parseComplete parses the document of a CompleteMultipartUpload. The order of the parts is checked
// elsewhere.
func parseComplete(b []byte) ([]object.PartRef, error) {
	var x struct {
		Part []completePart `xml:"Part"`
		Rest []unknown      `xml:",any"`
	}
	if err := unmarshal(b, "CompleteMultipartUpload", &x); err != nil {
		return nil, err
	}
	if err := unsupported(x.Rest, "CompleteMultipartUpload"); err != nil {
		return nil, err
	}
	if n := len(x.Part); n == 0 || n > object.PartMax {
		return nil, malformed(errors.New(itoa(int64(n)) + " parts; 1 to 10000 are allowed"))
	}
	parts := make([]object.PartRef, 0, len(x.Part))
	for i := range x.Part {
		p, err := x.Part[i].ref()
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// completePart is one part of the document.
type completePart struct {
	PartNumber        string
	ETag              string
	ChecksumCRC32     string
	ChecksumCRC32C    string
	ChecksumCRC64NVME string
	ChecksumSHA1      string
	ChecksumSHA256    string
	Rest              []unknown `xml:",any"`
}

// ref checks one part.
func (p *completePart) ref() (object.PartRef, error) {
	if err := unsupported(p.Rest, "Part"); err != nil {
		return object.PartRef{}, err
	}
	n, err := partNumber(strings.TrimSpace(p.PartNumber))
	if err != nil {
		return object.PartRef{}, err
	}
	r := object.PartRef{Number: n, ETag: unquoted(p.ETag)}
	if r.ETag == "" {
		return object.PartRef{}, malformed(errors.New("part " + itoa(int64(n)) + " without ETag"))
	}
	values := [...]string{
		auth.CRC32: p.ChecksumCRC32, auth.CRC32C: p.ChecksumCRC32C, auth.CRC64NVME: p.ChecksumCRC64NVME,
		auth.SHA1: p.ChecksumSHA1, auth.SHA256: p.ChecksumSHA256,
	}
	for a := auth.CRC32; a <= auth.SHA256; a++ {
		value := strings.TrimSpace(values[a])
		if value == "" {
			continue
		}
		if _, err := auth.ParseChecksum(a, value); err != nil {
			return object.PartRef{}, err
		}
		r.Checksums = append(r.Checksums, object.Checksum{Algo: a.String(), Value: value})
	}
	return r, nil
}

// parseCreate parses the document of a CreateBucket, which may be absent, and returns the region it asks for.
func parseCreate(b []byte) (region string, err error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return "", nil
	}
	var x struct {
		LocationConstraint string    `xml:"LocationConstraint"`
		Rest               []unknown `xml:",any"`
	}
	if err := unmarshal(b, "CreateBucketConfiguration", &x); err != nil {
		return "", err
	}
	return strings.TrimSpace(x.LocationConstraint), unsupported(x.Rest, "CreateBucketConfiguration")
}
