package s3

import (
	"net/http"
	"strings"

	"granary/core/bucket"
)

// listBuckets answers ListBuckets: the buckets in which the signer has a grant.
func (c *call) listBuckets() error {
	all, err := c.h.buckets.Visible(c.ctx, c.signer.ID)
	if err != nil {
		return err
	}
	most, err := c.number("max-buckets", bucketsPageMax, bucketsPageMax)
	if err != nil {
		return err
	}
	if most == 0 {
		return invalidArgument("max-buckets", "0", "Give 1 to 10000.")
	}
	prefix, after := c.params.get("prefix"), c.params.get("continuation-token")
	page, next := c.bucketPage(all, prefix, after, int(most))
	return c.document(func(d *doc) {
		d.begin("ListAllMyBucketsResult")
		d.owner("Owner", string(c.signer.ID))
		d.open("Buckets")
		for _, b := range page {
			d.open("Bucket")
			d.text("Name", b.Name)
			d.time("CreationDate", b.Created)
			d.text("BucketRegion", c.h.region)
			d.close("Bucket")
		}
		d.close("Buckets")
		d.some("Prefix", prefix)
		d.some("ContinuationToken", next)
		d.close("ListAllMyBucketsResult")
	})
}

// bucketPage returns up to most buckets after a name, and the name to go on after if there are more.
func (c *call) bucketPage(all []bucket.Bucket, prefix, after string, most int) (page []bucket.Bucket,
	next string) {
	if region := c.params.get("bucket-region"); region != "" && region != c.h.region {
		return nil, ""
	}
	for _, b := range all {
		if b.Name <= after || !strings.HasPrefix(b.Name, prefix) {
			continue
		}
		if len(page) == most {
			return page, page[most-1].Name
		}
		page = append(page, b)
	}
	return page, ""
}

// createBucket answers CreateBucket.
func (c *call) createBucket() error {
	b, err := c.readDocument(createMax, digestsChecked)
	if err != nil {
		return err
	}
	region, err := parseCreate(b)
	if err != nil {
		return err
	}
	if region != "" && region != c.h.region {
		return refuse("InvalidLocationConstraint", "This endpoint's region is "+c.h.region+".").
			with("LocationConstraint", printable(region))
	}
	if _, err := c.h.buckets.Create(c.ctx, c.bucketName, c.signer.ID); err != nil {
		return err
	}
	c.set("Location", "/"+c.bucketName)
	return c.empty(http.StatusOK)
}

// headBucket answers HeadBucket.
func (c *call) headBucket() error {
	c.set("X-Amz-Bucket-Region", c.h.region)
	return c.empty(http.StatusOK)
}

// deleteBucket answers DeleteBucket.
func (c *call) deleteBucket() error {
	if err := c.h.buckets.Delete(c.ctx, c.bucket); err != nil {
		return err
	}
	return c.empty(http.StatusNoContent)
}

// bucketLocation answers GetBucketLocation; us-east-1 is said by saying nothing.
func (c *call) bucketLocation() error {
	return c.document(func(d *doc) {
		d.begin("LocationConstraint")
		if c.h.region != "us-east-1" {
			d.b = appendText(d.b, c.h.region)
		}
		d.close("LocationConstraint")
	})
}
