package s3

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"strings"

	"granary/core/auth"
	"granary/core/object"
)

// completeUpload answers CompleteMultipartUpload.
func (c *call) completeUpload() error {
	id, err := c.uploadID()
	if err != nil {
		return err
	}
	whole, err := c.wholeSum()
	if err != nil {
		return err
	}
	o := object.CompleteOptions{Size: -1, Combine: whole.combine}
	if value := c.fields.Get("X-Amz-Mp-Object-Size"); value != "" {
		size, ok := parseOffset(value)
		if !ok || size > object.ObjectMax {
			return invalidArgument("x-amz-mp-object-size", printable(value),
				"Give the object's size in bytes.")
		}
		o.Size = size
	}
	b, err := c.readDocument(completeMax, digestsOfObject)
	if err != nil {
		return err
	}
	if o.Parts, err = parseComplete(b); err != nil {
		return err
	}
	info, err := c.h.objects.Complete(c.ctx, c.bucket.ID, c.key, id, o)
	if err != nil {
		return err
	}
	return c.document(func(d *doc) {
		d.begin("CompleteMultipartUploadResult")
		d.text("Location", c.location())
		d.text("Bucket", c.bucket.Name)
		d.text("Key", string(c.key))
		d.etag(info.ETag)
		d.checksumElements(info.Checksums)
		d.close("CompleteMultipartUploadResult")
	})
}

// location returns the URL of the object as the client addressed it.
func (c *call) location() string {
	scheme := "http://"
	if c.http.TLS != nil {
		scheme = "https://"
	}
	return scheme + c.http.Host + c.path
}

// errPartETag means that a part was stored with an ETag that is no MD5.
var errPartETag = errors.New("the ETag of a part is not an MD5")

// wholeSum is what a Complete says about the checksum of the whole object.
type wholeSum struct {
	algo  auth.Algorithm    // none: the client sent no value
	value string            // base64, a composite one with or without "-N"
	typ   auth.ChecksumType // unset: the client did not say
}

// wholeSum takes the checksum of the whole object from the headers of a Complete.
func (c *call) wholeSum() (w wholeSum, err error) {
	for a := auth.CRC32; a <= auth.SHA256; a++ {
		values := c.fields[a.Header()]
		if len(values) == 0 {
			continue
		}
		if w.algo != auth.NoAlgorithm || len(values) > 1 {
			return w, refuse("InvalidRequest", "Send one checksum.")
		}
		w.value, w.algo = values[0], a
		plain, _, _ := strings.Cut(w.value, "-")
		if _, err := auth.ParseChecksum(a, plain); err != nil {
			return w, err
		}
	}
	switch typ := c.fields.Get("X-Amz-Checksum-Type"); typ {
	case "":
	case auth.FullObject.String():
		w.typ = auth.FullObject
	case auth.Composite.String():
		w.typ = auth.Composite
	default:
		return w, invalidArgument("x-amz-checksum-type", printable(typ), "Give FULL_OBJECT or COMPOSITE.")
	}
	return w, nil
}

// combine returns ETag and checksum of the object made of parts, and holds the checksum against the client's.
//
// Source: "Checking object integrity" in the S3 user guide; an ETag is the MD5 of the parts' MD5s and their
// number.
func (w *wholeSum) combine(up object.UploadInfo, parts []object.PartInfo) (object.Sums, error) {
	etag, err := combineETags(parts)
	if err != nil {
		return object.Sums{}, err
	}
	algo, typ, err := w.kind(up)
	if err != nil || algo == auth.NoAlgorithm {
		return object.Sums{ETag: etag}, err
	}
	text, err := combineSums(algo, typ, parts)
	if err != nil {
		return object.Sums{}, err
	}
	if w.value != "" && w.value != text && !(typ == auth.Composite && strings.HasPrefix(text, w.value+"-")) {
		return object.Sums{}, refuse("BadDigest", "The checksum of the whole object differs: it is "+text+".")
	}
	sum := object.Checksum{Algo: algo.String(), Value: text, Type: typ.String()}
	return object.Sums{ETag: etag, Checksums: []object.Checksum{sum}}, nil
}

// kind decides which checksum the object gets: the upload's, or else the one that the client sent a value of.
func (w *wholeSum) kind(up object.UploadInfo) (auth.Algorithm, auth.ChecksumType, error) {
	algo, err := auth.ParseAlgorithm(up.Algo)
	if err != nil {
		return 0, 0, err
	}
	if algo == auth.NoAlgorithm {
		typ := w.typ.String()
		if typ == "" && w.algo != auth.NoAlgorithm && !strings.Contains(w.value, "-") && w.algo < auth.SHA1 {
			typ = fullObject
		}
		t, err := auth.ParseChecksumType(typ, w.algo)
		if w.algo == auth.NoAlgorithm {
			return w.algo, auth.UnsetType, nil
		}
		return w.algo, t, err
	}
	typ, err := auth.ParseChecksumType(up.Type, algo)
	switch {
	case err != nil:
		return 0, 0, err
	case w.algo != auth.NoAlgorithm && w.algo != algo, w.typ != auth.UnsetType && w.typ != typ:
		return 0, 0, refuse("InvalidRequest", "The upload was created for "+algo.String()+", "+typ.String()+
			": send that checksum or none.")
	}
	return algo, typ, nil
}

// combineETags returns the ETag of a multipart object.
func combineETags(parts []object.PartInfo) (string, error) {
	h := md5.New()
	for i := range parts {
		raw, err := hex.DecodeString(parts[i].ETag)
		if err != nil || len(raw) != md5.Size {
			return "", refuseCause("InvalidPart", "", errPartETag)
		}
		h.Write(raw)
	}
	return hex.EncodeToString(h.Sum(nil)) + "-" + itoa(int64(len(parts))), nil
}

// combineSums returns the checksum of a multipart object as S3 shows it.
func combineSums(algo auth.Algorithm, typ auth.ChecksumType, parts []object.PartInfo) (string, error) {
	sums := make([]auth.Checksum, len(parts))
	sized := make([]auth.PartSum, len(parts))
	for i := range parts {
		var found bool
		for _, s := range parts[i].Checksums {
			if s.Algo != algo.String() {
				continue
			}
			var err error
			if sums[i], err = auth.ParseChecksum(algo, s.Value); err != nil {
				return "", err
			}
			found = true
		}
		if !found {
			return "", refuse("InvalidRequest", "Part "+itoa(int64(parts[i].Number))+" was uploaded without "+
				algo.String()+" checksum.")
		}
		sized[i] = auth.PartSum{Checksum: sums[i], Size: parts[i].Size}
	}
	if typ == auth.FullObject {
		sum, err := auth.FullObjectSum(sized)
		return sum.String(), err
	}
	_, text, err := auth.CompositeSum(sums)
	return text, err
}
