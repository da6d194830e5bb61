package s3

import (
	"encoding/hex"
	"net/http"

	"granary/core/auth"
	"granary/core/object"
)

// createUpload answers CreateMultipartUpload.
func (c *call) createUpload() error {
	headers, err := c.storedHeaders()
	if err != nil {
		return err
	}
	algo, err := auth.ParseAlgorithm(c.fields.Get("X-Amz-Checksum-Algorithm"))
	if err != nil {
		return err
	}
	typ, err := auth.ParseChecksumType(c.fields.Get("X-Amz-Checksum-Type"), algo)
	if err != nil {
		return err
	}
	id, err := c.h.objects.CreateUpload(c.ctx, c.bucket.ID, c.key, headers, algo.String(), typ.String())
	if err != nil {
		return err
	}
	if algo != auth.NoAlgorithm {
		c.set("X-Amz-Checksum-Algorithm", algo.String())
		c.set("X-Amz-Checksum-Type", typ.String())
	}
	return c.document(func(d *doc) {
		d.begin("InitiateMultipartUploadResult")
		d.text("Bucket", c.bucket.Name)
		d.text("Key", string(c.key))
		d.text("UploadId", id.String())
		d.close("InitiateMultipartUploadResult")
	})
}

// parseUploadID parses what UploadID.String wrote; anything else names no upload.
func parseUploadID(value string) (id object.UploadID, err error) {
	if len(value) != 2*len(id) {
		return id, refuse("NoSuchUpload", "").with("UploadId", printable(value))
	}
	if _, err := hex.Decode(id[:], []byte(value)); err != nil {
		return id, refuse("NoSuchUpload", "").with("UploadId", printable(value))
	}
	return id, nil
}

// uploadID takes the upload from the parameters.
func (c *call) uploadID() (object.UploadID, error) { return parseUploadID(c.params.get("uploadId")) }

// uploadAndPart takes upload and part number from the parameters.
func (c *call) uploadAndPart() (object.UploadID, int, error) {
	n, err := partNumber(c.params.get("partNumber"))
	if err != nil {
		return object.UploadID{}, 0, err
	}
	id, err := c.uploadID()
	return id, n, err
}

// uploadPart answers UploadPart.
func (c *call) uploadPart() error {
	id, n, err := c.uploadAndPart()
	if err != nil {
		return err
	}
	body, err := c.content("")
	if err != nil {
		return err
	}
	part, err := c.h.objects.PutPart(c.ctx, c.bucket.ID, c.key, id, n, body.size, body)
	if err != nil {
		return body.blame(err)
	}
	c.set("Etag", quoted(part.ETag))
	for _, s := range part.Checksums {
		if name := checksumHeader(s.Algo); name != "" {
			c.set(name, s.Value)
		}
	}
	return c.empty(http.StatusOK)
}

// abortUpload answers AbortMultipartUpload.
func (c *call) abortUpload() error {
	id, err := c.uploadID()
	if err != nil {
		return err
	}
	if err := c.h.objects.Abort(c.ctx, c.bucket.ID, c.key, id); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

// listParts answers ListParts.
func (c *call) listParts() error {
	id, err := c.uploadID()
	if err != nil {
		return err
	}
	most, err := c.limit("max-parts")
	if err != nil {
		return err
	}
	after, err := c.number("part-number-marker", 0, object.PartMax)
	if err != nil {
		return err
	}
	urls, err := c.urlEncoding()
	if err != nil {
		return err
	}
	parts, truncated, up, err := c.h.objects.ListParts(c.ctx, c.bucket.ID, c.key, id, int(after),
		max(most, 1))
	if err != nil {
		return err
	}
	if most == 0 {
		parts, truncated = nil, false
	}
	return c.document(func(d *doc) {
		d.url = urls
		d.begin("ListPartsResult")
		d.text("Bucket", c.bucket.Name)
		d.key("Key", string(c.key))
		d.text("UploadId", id.String())
		d.owner("Initiator", string(c.bucket.Owner))
		d.owner("Owner", string(c.bucket.Owner))
		d.text("StorageClass", "STANDARD")
		d.int("PartNumberMarker", after)
		if len(parts) > 0 {
			d.int("NextPartNumberMarker", int64(parts[len(parts)-1].Number))
		}
		d.int("MaxParts", int64(most))
		d.bool("IsTruncated", truncated)
		d.some("ChecksumAlgorithm", up.Algo)
		d.some("ChecksumType", up.Type)
		for i := range parts {
			d.part(&parts[i])
		}
		d.close("ListPartsResult")
	})
}

// part adds one part of a ListParts.
func (d *doc) part(p *object.PartInfo) {
	d.open("Part")
	d.int("PartNumber", int64(p.Number))
	d.time("LastModified", p.Modified)
	d.etag(p.ETag)
	d.int("Size", p.Size)
	d.partChecksums(p.Checksums)
	d.close("Part")
}

// partChecksums adds the checksums of a part, which have no type.
func (d *doc) partChecksums(sums []object.Checksum) {
	for _, s := range sums {
		if checksumHeader(s.Algo) != "" {
			d.text("Checksum"+s.Algo, s.Value)
		}
	}
}

// listUploads answers ListMultipartUploads.
func (c *call) listUploads() error {
	most, err := c.limit("max-uploads")
	if err != nil {
		return err
	}
	urls, err := c.urlEncoding()
	if err != nil {
		return err
	}
	prefix, delimiter := c.params.get("prefix"), c.params.get("delimiter")
	keyMarker, uploadMarker := c.params.get("key-marker"), c.params.get("upload-id-marker")
	if keyMarker == "" {
		uploadMarker = "" // S3 ignores it without a key
	}
	var page object.UploadsPage
	if most > 0 {
		page, err = c.h.objects.ListUploads(c.ctx, c.bucket.ID, prefix, delimiter, keyMarker, uploadMarker,
			most)
		if err != nil {
			return err
		}
	}
	return c.document(func(d *doc) {
		d.url = urls
		d.begin("ListMultipartUploadsResult")
		d.text("Bucket", c.bucket.Name)
		d.key("KeyMarker", keyMarker)
		d.text("UploadIdMarker", uploadMarker)
		if page.Truncated {
			d.key("NextKeyMarker", page.NextKey)
			d.text("NextUploadIdMarker", page.NextUpload)
		}
		d.someKey("Prefix", prefix)
		d.someKey("Delimiter", delimiter)
		if urls {
			d.text("EncodingType", "url")
		}
		d.int("MaxUploads", int64(most))
		d.bool("IsTruncated", page.Truncated)
		for i := range page.Uploads {
			d.upload(&page.Uploads[i], string(c.bucket.Owner))
		}
		d.prefixes(page.Prefixes)
		d.close("ListMultipartUploadsResult")
	})
}

// upload adds one upload of a ListMultipartUploads.
func (d *doc) upload(u *object.UploadInfo, owner string) {
	d.open("Upload")
	d.key("Key", string(u.Key))
	d.text("UploadId", u.ID.String())
	d.owner("Initiator", owner)
	d.owner("Owner", owner)
	d.text("StorageClass", "STANDARD")
	d.time("Initiated", u.Initiated)
	d.some("ChecksumAlgorithm", u.Algo)
	d.some("ChecksumType", u.Type)
	d.close("Upload")
}
