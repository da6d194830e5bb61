package s3

import (
	"net/http"

	"granary/core/object"
)

// fullObject is the checksum type of what is put in one request.
const fullObject = "FULL_OBJECT"

// putObject answers PutObject.
func (c *call) putObject() error {
	headers, err := c.storedHeaders()
	if err != nil {
		return err
	}
	body, err := c.content(fullObject)
	if err != nil {
		return err
	}
	info, err := c.h.objects.Put(c.ctx, c.bucket.ID, c.key, headers, body.size, body)
	if err != nil {
		return body.blame(err)
	}
	c.set("Etag", quoted(info.ETag))
	c.checksums(info.Checksums)
	return c.empty(http.StatusOK)
}

// deleteObject answers DeleteObject.
func (c *call) deleteObject() error {
	if err := c.h.objects.Delete(c.ctx, c.bucket.ID, c.key); err != nil {
		if f := classify(err, true); f.name != "NoSuchKey" {
			return err
		}
	}
	return c.empty(http.StatusNoContent)
}

// deleteObjects answers DeleteObjects. Keys that are malformed or asked for with more than a key fail on
// their own; an unknown condition on one of them refuses the whole request.
func (c *call) deleteObjects() error {
	b, err := c.readDocument(deleteMax, digestsRequired)
	if err != nil {
		return err
	}
	list, err := parseDelete(b)
	if err != nil {
		return err
	}
	failures := make([]*failure, len(list.keys))
	keys := make([]object.Key, 0, len(list.keys))
	for i, k := range list.keys {
		if err := checkKey(k); err != nil {
			failures[i] = classify(err, true)
			continue
		}
		keys = append(keys, object.Key(k))
	}
	var errs []error
	if len(keys) > 0 {
		errs = c.h.objects.DeleteMany(c.ctx, c.bucket.ID, keys)
	}
	next := 0
	for i := range failures {
		if failures[i] != nil {
			continue
		}
		if err := errs[next]; err != nil {
			if f := classify(err, true); f.name != "NoSuchKey" {
				failures[i] = f
			}
		}
		next++
	}
	return c.document(func(d *doc) { list.result(d, failures) })
}
