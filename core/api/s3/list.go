package s3

import (
	"granary/core/object"
)

// listing is what both versions of ListObjects ask for.
type listing struct {
	query object.ListQuery
	most  int // entries wanted; 0 is answered without a look
	urls  bool
	owner string // shown with each entry, empty for none
}

// listing takes what both versions have in common from the parameters.
func (c *call) listing() (l listing, err error) {
	l.query.Prefix, l.query.Delimiter = c.params.get("prefix"), c.params.get("delimiter")
	if l.most, err = c.limit("max-keys"); err != nil {
		return l, err
	}
	l.query.Max = l.most
	l.urls, err = c.urlEncoding()
	return l, err
}

// page fetches the page.
func (c *call) page(l *listing) (object.Page, error) {
	if l.most == 0 {
		return object.Page{}, nil
	}
	return c.h.objects.List(c.ctx, c.bucket.ID, l.query)
}

// limit parses a maximum number of entries, PageMax when it is absent or larger.
func (c *call) limit(name string) (int, error) {
	n, err := c.number(name, object.PageMax, maxOffset)
	return int(min(n, object.PageMax)), err
}

// number parses a parameter from 0 to most.
func (c *call) number(name string, otherwise, most int64) (int64, error) {
	value := c.params.get(name)
	if value == "" {
		return otherwise, nil
	}
	n, ok := parseOffset(value)
	if !ok || n > most {
		return 0, invalidArgument(name, printable(value),
			"Give a number that is not negative and not too large.")
	}
	return n, nil
}

// urlEncoding parses encoding-type.
func (c *call) urlEncoding() (bool, error) {
	switch value := c.params.get("encoding-type"); value {
	case "":
		return false, nil
	case "url":
		return true, nil
	default:
		return false, invalidArgument("encoding-type", printable(value), "The only encoding type is url.")
	}
}

// listObjects answers ListObjects, version 1.
func (c *call) listObjects() error {
	l, err := c.listing()
	if err != nil {
		return err
	}
	l.query.After = c.params.get("marker")
	l.owner = string(c.bucket.Owner)
	page, err := c.page(&l)
	if err != nil {
		return err
	}
	return c.document(func(d *doc) {
		d.url = l.urls
		d.begin("ListBucketResult")
		d.text("Name", c.bucket.Name)
		d.key("Prefix", l.query.Prefix)
		d.key("Marker", l.query.After)
		if page.Truncated {
			d.key("NextMarker", page.NextKey)
		}
		l.entries(d, &page)
		d.close("ListBucketResult")
	})
}

// listObjectsV2 answers ListObjectsV2.
func (c *call) listObjectsV2() error {
	if value := c.params.get("list-type"); value != "2" {
		return invalidArgument("list-type", printable(value), "The list type is 2, or absent for version 1.")
	}
	l, err := c.listing()
	if err != nil {
		return err
	}
	token, hasToken := c.params.lookup("continuation-token")
	if hasToken && token == "" {
		return invalidArgument("continuation-token", "", "The continuation token is empty.")
	}
	l.query.Token, l.query.After = token, c.params.get("start-after")
	if c.params.get("fetch-owner") == "true" {
		l.owner = string(c.bucket.Owner)
	}
	page, err := c.page(&l)
	if err != nil {
		return err
	}
	return c.document(func(d *doc) {
		d.url = l.urls
		d.begin("ListBucketResult")
		d.text("Name", c.bucket.Name)
		d.key("Prefix", l.query.Prefix)
		d.someKey("StartAfter", l.query.After)
		d.some("ContinuationToken", token)
		if page.Truncated {
			d.text("NextContinuationToken", page.NextToken)
		}
		d.int("KeyCount", int64(len(page.Entries)+len(page.Prefixes)))
		l.entries(d, &page)
		d.close("ListBucketResult")
	})
}

// entries adds what both versions show alike.
func (l *listing) entries(d *doc, page *object.Page) {
	d.int("MaxKeys", int64(l.most))
	d.someKey("Delimiter", l.query.Delimiter)
	if l.urls {
		d.text("EncodingType", "url")
	}
	d.bool("IsTruncated", page.Truncated)
	for i := range page.Entries {
		e := &page.Entries[i]
		d.open("Contents")
		d.key("Key", string(e.Key))
		d.time("LastModified", e.Modified)
		d.etag(e.ETag)
		d.some("ChecksumAlgorithm", e.Checksum)
		d.int("Size", e.Size)
		if l.owner != "" {
			d.owner("Owner", l.owner)
		}
		d.text("StorageClass", "STANDARD")
		d.close("Contents")
	}
	d.prefixes(page.Prefixes)
}

// prefixes adds common prefixes.
func (d *doc) prefixes(list []string) {
	for _, p := range list {
		d.open("CommonPrefixes")
		d.key("Prefix", p)
		d.close("CommonPrefixes")
	}
}
