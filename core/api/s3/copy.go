package s3

import (
	"errors"
	"io"
	"strings"

	"granary/core/auth"
	"granary/core/bucket"
	"granary/core/object"
)

// copySource is a parsed x-amz-copy-source.
type copySource struct {
	bucket string
	key    object.Key
}

// parseCopySource parses bucket/key or /bucket/key, percent-escaped. Versions and access points are refused.
func parseCopySource(value string) (copySource, error) {
	bad := func(message string) (copySource, error) {
		return copySource{}, invalidArgument("x-amz-copy-source", printable(value), message)
	}
	path, query, _ := strings.Cut(value, "?")
	if strings.HasPrefix(query, "versionId=") {
		return copySource{}, refuse("NotImplemented",
			"Copying a version is not supported: objects have one version.").
			with("ArgumentName", "x-amz-copy-source")
	}
	if query != "" || strings.HasSuffix(value, "?") {
		return bad("Escape a question mark of a key as %3F.")
	}
	if strings.HasPrefix(path, "arn:") {
		return bad("Access points are not supported: give bucket/key.")
	}
	path, ok := unescape(path, false)
	if !ok {
		return bad("It holds a malformed percent escape.")
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if name == "" || key == "" {
		return bad("Give bucket/key.")
	}
	if err := bucket.CheckName(name); err != nil {
		return copySource{}, refuseCause("InvalidBucketName", "", err).with("BucketName", printable(name))
	}
	return copySource{bucket: name, key: object.Key(key)}, checkKey(key)
}

// copyFrom finds the source of a copy and checks that the signer may read it.
func (c *call) copyFrom() (object.CopySource, error) {
	values := c.fields["X-Amz-Copy-Source"]
	if len(values) != 1 {
		return object.CopySource{}, invalidArgument("x-amz-copy-source", "", "Send the header once.")
	}
	s, err := parseCopySource(values[0])
	if err != nil {
		return object.CopySource{}, err
	}
	b := c.bucket
	if s.bucket != b.Name {
		if b, err = c.h.buckets.ByName(c.ctx, s.bucket); errors.Is(err, bucket.ErrNoSuchBucket) {
			return object.CopySource{}, refuseCause("NoSuchBucket", "The source bucket does not exist.", err).
				with("BucketName", s.bucket)
		} else if err != nil {
			return object.CopySource{}, err
		}
	}
	if err := c.allow(b, needRead); err != nil {
		return object.CopySource{}, err
	}
	if err := c.expectOwner(b, "X-Amz-Source-Expected-Bucket-Owner"); err != nil {
		return object.CopySource{}, err
	}
	k := c.conditionsOf("X-Amz-Copy-Source-")
	check := func(info object.Info) error {
		if k.verdictOf(&info) != 0 {
			return refuse("PreconditionFailed", "")
		}
		return nil
	}
	return object.CopySource{Bucket: b.ID, Key: s.key, Check: check}, nil
}

// copyObject answers CopyObject.
func (c *call) copyObject() error {
	src, err := c.copyFrom()
	if err != nil {
		return err
	}
	headers, err := c.copyHeaders()
	if err != nil {
		return err
	}
	algo, err := auth.ParseAlgorithm(c.fields.Get("X-Amz-Checksum-Algorithm"))
	if err != nil {
		return err
	}
	if src.Bucket == c.bucket.ID && src.Key == c.key && headers == nil && algo == auth.NoAlgorithm {
		return refuse("InvalidRequest", "Copying an object to itself must change something: "+
			"replace its metadata or name a checksum algorithm.")
	}
	if algo != auth.NoAlgorithm {
		src.Body = recompute(algo, fullObject)
	}
	info, err := c.h.objects.Copy(c.ctx, c.bucket.ID, c.key, src, headers)
	if err != nil {
		return sourceFailure(err, src.Key)
	}
	return c.document(func(d *doc) {
		d.begin("CopyObjectResult")
		d.time("LastModified", info.Modified())
		d.etag(info.ETag)
		d.checksumElements(info.Checksums)
		d.close("CopyObjectResult")
	})
}

// recompute returns what computes the sums of copied content anew.
func recompute(algo auth.Algorithm, typ string) func(io.Reader) object.Body {
	return func(r io.Reader) object.Body {
		spec := auth.BodySpec{Length: -1, Checksum: auth.Checksum{Algorithm: algo}}
		return &content{body: auth.NewBody(r, auth.Payload{}, spec), size: -1, typ: typ}
	}
}

// copyHeaders returns the headers that replace those of the source, nil to keep them.
func (c *call) copyHeaders() (*[]object.Header, error) {
	switch value := c.fields.Get("X-Amz-Metadata-Directive"); value {
	case "", "COPY":
		return nil, nil
	case "REPLACE":
		headers, err := c.storedHeaders()
		return &headers, err
	default:
		return nil, invalidArgument("x-amz-metadata-directive", printable(value), "Give COPY or REPLACE.")
	}
}

// sourceFailure says of an object that was not found or is too large that it is the source.
func sourceFailure(err error, key object.Key) error {
	switch f := classify(err, true); f.name {
	case "NoSuchKey":
		return refuseCause(f.name, "The source of the copy does not exist.", err).with("Key", string(key))
	case "EntityTooLarge":
		return refuseCause("InvalidRequest", "The source of the copy is larger than 5 GiB: copy it in parts.",
			err)
	}
	return err
}

// uploadPartCopy answers UploadPartCopy.
func (c *call) uploadPartCopy() error {
	id, n, err := c.uploadAndPart()
	if err != nil {
		return err
	}
	src, err := c.copyFrom()
	if err != nil {
		return err
	}
	if err := c.copyRange(&src); err != nil {
		return err
	}
	// The parts of an upload carry its checksum, so its algorithm must be known before the source is read.
	_, _, up, err := c.h.objects.ListParts(c.ctx, c.bucket.ID, c.key, id, object.PartMax, 1)
	if err != nil {
		return err
	}
	algo, err := auth.ParseAlgorithm(up.Algo)
	if err != nil {
		return err
	}
	src.Body = recompute(algo, "")
	part, err := c.h.objects.CopyPart(c.ctx, c.bucket.ID, c.key, id, n, src)
	if err != nil {
		return sourceFailure(err, src.Key)
	}
	return c.document(func(d *doc) {
		d.begin("CopyPartResult")
		d.time("LastModified", part.Modified)
		d.etag(part.ETag)
		d.partChecksums(part.Checksums)
		d.close("CopyPartResult")
	})
}

// copyRange takes the range of a part copy, which must lie within the source.
func (c *call) copyRange(src *object.CopySource) error {
	value := c.fields.Get("X-Amz-Copy-Source-Range")
	if value == "" {
		return nil
	}
	s := parseRange(value)
	if !s.ranged || s.first < 0 || s.last < 0 || s.last == maxOffset {
		return invalidArgument("x-amz-copy-source-range", printable(value), "Give bytes=first-last.")
	}
	src.Start, src.End = s.first, s.last+1
	if src.End-src.Start > object.PutMax {
		return refuse("EntityTooLarge", "").with("MaxSizeAllowed", itoa(object.PutMax))
	}
	check, end := src.Check, src.End
	src.Check = func(info object.Info) error {
		if err := check(info); err != nil {
			return err
		}
		if end > info.Size {
			return refuse("InvalidRange", "The range ends behind the source.").
				with("ActualObjectSize", itoa(info.Size))
		}
		return nil
	}
	return nil
}
