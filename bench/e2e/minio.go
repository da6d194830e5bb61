package main

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/bench/cluster"
	"granary/bench/content"
)

// What every client does.
const (
	bigSize    = 64 << 20
	listedKeys = 1500
	listPage   = 1000
)

const (
	minioBucket = "minio-go"
	keptKey     = "kept until the next start"
)

var keptContent = content.Content{ID: 1, Size: 3<<20 + 17}

// minioClient is the story of minio-go on one node.
func minioClient(ctx context.Context, s *scene, c *cluster.Cluster) {
	s.client("minio-go", func() {
		client, err := c.Client(0)
		if err != nil {
			s.step("minio-go: client", func() error { return err })
			return
		}
		s.step("minio-go: make a bucket", func() error {
			return client.MakeBucket(ctx, minioBucket, minio.MakeBucketOptions{Region: cluster.Region})
		})
		s.step("minio-go: 64 MiB both ways, in one request", func() error {
			return roundTrip(ctx, client, "big", content.Content{ID: 2, Size: bigSize}, true)
		})
		s.step("minio-go: 64 MiB both ways, in parts", func() error {
			return roundTrip(ctx, client, "parts", content.Content{ID: 3, Size: bigSize + 1}, false)
		})
		s.step("minio-go: ranges, conditions, metadata, copy, and checksums in trailers", func() error {
			return details(ctx, client)
		})
		s.step("minio-go: list 1,500 keys by pages, delimiters and both versions", func() error {
			if err := putKeys(ctx, client, minioBucket, "list/", listedKeys); err != nil {
				return err
			}
			return listings(client)
		})
		s.step("minio-go: presigned PUT and GET", func() error { return presigned(ctx, client) })
		s.step("minio-go: rules for pages of other origins, a preflight, and an answer that a page may read",
			func() error { return crossOrigin(ctx, client) })
		s.step("minio-go: delete 1,500 keys in batches",
			func() error { return deleteAll(ctx, client, minioBucket, "list/") })
		s.step("minio-go: put what the next start shall find", func() error {
			return roundTrip(ctx, client, keptKey, keptContent, true)
		})
	})
}

// roundTrip stores a content and reads it back, byte for byte.
func roundTrip(ctx context.Context, client *minio.Core, key string, c content.Content, single bool) error {
	opts := minio.PutObjectOptions{DisableMultipart: single, PartSize: 16 << 20, NumThreads: 4}
	info, err := client.Client.PutObject(ctx, minioBucket, key, c.Reader(), c.Size, opts)
	if err != nil {
		return fmt.Errorf("PUT: %w", err)
	}
	if single {
		sum := md5.New()
		if _, err := io.Copy(sum, c.Reader()); err != nil {
			return err
		}
		if want := hex.EncodeToString(sum.Sum(nil)); info.ETag != want {
			return fmt.Errorf("ETag %q, want the MD5 %s", info.ETag, want)
		}
	}
	return expect(ctx, client, minioBucket, key, c)
}

// expect reads an object and compares.
func expect(ctx context.Context, client *minio.Core, bucket, key string, want content.Content) error {
	body, info, _, err := client.GetObject(ctx, bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return fmt.Errorf("GET %s: %w", key, err)
	}
	defer body.Close()
	got, err := content.Read(body)
	if err != nil {
		return fmt.Errorf("GET %s: %w", key, err)
	}
	if got != want || info.Size != want.Size {
		return fmt.Errorf("GET %s: got %+v of announced size %d, want %+v", key, got, info.Size, want)
	}
	return nil
}

func keptObject(ctx context.Context, client *minio.Core) error {
	return expect(ctx, client, minioBucket, keptKey, keptContent)
}

// details are the smaller promises of GET, HEAD, PUT and copy.
func details(ctx context.Context, client *minio.Core) error {
	c := content.Content{ID: 4, Size: 2<<20 + 100}
	all := c.Bytes()
	put, err := client.PutObject(ctx, minioBucket, "details", bytes.NewReader(all), c.Size, "", "",
		minio.PutObjectOptions{ContentType: "text/x-details",
			UserMetadata: map[string]string{"Colour": "blue"}})
	if err != nil {
		return fmt.Errorf("PUT: %w", err)
	}
	var opts minio.GetObjectOptions
	if err := opts.SetRange(1<<20-3, 1<<20+3); err != nil {
		return err
	}
	body, info, _, err := client.GetObject(ctx, minioBucket, "details", opts)
	if err != nil {
		return fmt.Errorf("GET of a range: %w", err)
	}
	part, err := io.ReadAll(body)
	if err := errors.Join(err, body.Close()); err != nil || !bytes.Equal(part, all[1<<20-3:1<<20+4]) {
		return fmt.Errorf("GET of a range: %x, %w", part, err)
	}
	if info.ContentType != "text/x-details" || info.UserMetadata["Colour"] != "blue" {
		return fmt.Errorf("type %q, metadata %v", info.ContentType, info.UserMetadata)
	}
	opts = minio.GetObjectOptions{}
	if err := opts.SetMatchETagExcept(put.ETag); err != nil {
		return err
	}
	_, _, _, err = client.GetObject(ctx, minioBucket, "details", opts)
	if status(err) != http.StatusNotModified {
		return fmt.Errorf("GET if none match: %v, want 304", err)
	}
	_, err = client.CopyObject(ctx, minioBucket, "details", minioBucket, "details copied", nil,
		minio.CopySrcOptions{},
		minio.PutObjectOptions{})
	if err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	if err := expect(ctx, client, minioBucket, "details copied", c); err != nil {
		return err
	}
	if err := client.RemoveObject(ctx, minioBucket, "details", minio.RemoveObjectOptions{}); err != nil {
		return fmt.Errorf("DELETE: %w", err)
	}
	_, err = client.StatObject(ctx, minioBucket, "details", minio.StatObjectOptions{})
	if status(err) != http.StatusNotFound {
		return fmt.Errorf("HEAD of what was deleted: %v, want 404", err)
	}
	return trailers(ctx, client)
}

// trailers sends each checksum that clients know in a header, right and wrong, and one behind the body.
func trailers(ctx context.Context, client *minio.Core) error {
	for _, kind := range []minio.ChecksumType{minio.ChecksumCRC32, minio.ChecksumCRC32C,
		minio.ChecksumCRC64NVME,
		minio.ChecksumSHA1, minio.ChecksumSHA256} {
		c := content.Content{ID: 5, Size: 300_000}
		sum, err := kind.ChecksumReader(c.Reader())
		if err != nil {
			return err
		}
		_, err = client.PutObject(ctx, minioBucket, "sums", c.Reader(), c.Size, "", "",
			minio.PutObjectOptions{UserMetadata: map[string]string{kind.Key(): sum.Encoded()}})
		if err != nil {
			return fmt.Errorf("PUT with %s: %w", kind, err)
		}
		_, err = client.PutObject(ctx, minioBucket, "sums", c.Reader(), c.Size, "", "",
			minio.PutObjectOptions{UserMetadata: map[string]string{kind.Key(): flip(sum.Encoded())}})
		if code := minio.ToErrorResponse(err).Code; code != "BadDigest" {
			return fmt.Errorf("PUT with a wrong %s: %q %w, want BadDigest", kind, code, err)
		}
	}
	for _, signed := range []bool{true, false} {
		c := content.Content{ID: 7, Size: 300_001}
		opts := minio.PutObjectOptions{Checksum: minio.ChecksumCRC32C, DisableContentSha256: !signed}
		_, err := client.PutObject(ctx, minioBucket, "trailer", c.Reader(), c.Size, "", "", opts)
		if err != nil {
			return fmt.Errorf("PUT with a trailer, signed %v: %w", signed, err)
		}
		if err := expect(ctx, client, minioBucket, "trailer", c); err != nil {
			return err
		}
	}
	return expect(ctx, client, minioBucket, "sums", content.Content{ID: 5, Size: 300_000})
}

// flip changes the first character of a checksum in base64.
func flip(sum string) string {
	if sum[0] == 'A' {
		return "B" + sum[1:]
	}
	return "A" + sum[1:]
}

// status is the HTTP status of an error of minio-go, 0 if it has none.
func status(err error) int { return minio.ToErrorResponse(err).StatusCode }

// keyName is the name of key i under a prefix: 30 folders of different sizes.
func keyName(prefix string, i int) string { return fmt.Sprintf("%sf%02d/key %04d", prefix, i%30, i) }

// putKeys stores count small objects.
func putKeys(ctx context.Context, client *minio.Core, bucket, prefix string, count int) error {
	const workers = 8
	errs := make([]error, workers)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w; i < count && errs[w] == nil; i += workers {
				c := content.Content{ID: uint64(i), Size: content.HeaderSize}
				_, errs[w] = client.PutObject(ctx, bucket, keyName(prefix, i), c.Reader(), c.Size, "", "",
					minio.PutObjectOptions{DisableContentSha256: true})
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// listings reads the keys in several ways and counts.
func listings(client *minio.Core) error {
	for _, c := range []struct {
		delimiter      string
		page           int
		keys, prefixes int
		pages          int
	}{{"", listPage, listedKeys, 0, 2}, {"", 77, listedKeys, 0, 20}, {"/", 7, 0, 30, 5}, {"/", 0, 0, 30, 1}} {
		for _, list := range []func(*minio.Core, string, int) (listing, error){listV2, listV1} {
			got, err := list(client, c.delimiter, c.page)
			if err != nil {
				return err
			}
			if len(got.keys) != c.keys || len(got.prefixes) != c.prefixes || got.pages != c.pages {
				return fmt.Errorf("by %q, pages of %d: %d keys, %d prefixes, %d pages, want %d, %d, %d",
					c.delimiter, c.page, len(got.keys), len(got.prefixes), got.pages,
					c.keys, c.prefixes, c.pages)
			}
			for i := range got.keys {
				if i > 0 && got.keys[i-1] >= got.keys[i] {
					return fmt.Errorf("%q follows %q", got.keys[i], got.keys[i-1])
				}
			}
		}
	}
	return nil
}

type listing struct {
	keys, prefixes []string
	pages          int
}

func listV2(client *minio.Core, delimiter string, page int) (l listing, err error) {
	for token := ""; ; {
		r, err := client.ListObjectsV2(minioBucket, "list/", "", token, delimiter, page)
		if err != nil {
			return l, err
		}
		l.add(r.Contents, r.CommonPrefixes)
		if !r.IsTruncated {
			return l, nil
		}
		token = r.NextContinuationToken
	}
}

func listV1(client *minio.Core, delimiter string, page int) (l listing, err error) {
	for marker := ""; ; {
		r, err := client.ListObjects(minioBucket, "list/", marker, delimiter, page)
		if err != nil {
			return l, err
		}
		l.add(r.Contents, r.CommonPrefixes)
		if !r.IsTruncated {
			return l, nil
		}
		if marker = r.NextMarker; marker == "" { // only told with a delimiter
			marker = l.keys[len(l.keys)-1]
		}
	}
}

func (l *listing) add(contents []minio.ObjectInfo, prefixes []minio.CommonPrefix) {
	l.pages++
	for _, o := range contents {
		l.keys = append(l.keys, o.Key)
	}
	for _, p := range prefixes {
		l.prefixes = append(l.prefixes, p.Prefix)
	}
}

// presigned stores and reads by URLs alone.
func presigned(ctx context.Context, client *minio.Core) error {
	c := content.Content{ID: 6, Size: 100_000}
	put, err := client.PresignedPutObject(ctx, minioBucket, "presigned", time.Minute)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, put.String(), c.Reader())
	if err != nil {
		return err
	}
	req.ContentLength = c.Size
	if err := fetch(req, func(io.Reader) error { return nil }); err != nil {
		return err
	}
	get, err := client.PresignedGetObject(ctx, minioBucket, "presigned", time.Minute, nil)
	if err != nil {
		return err
	}
	if req, err = http.NewRequestWithContext(ctx, http.MethodGet, get.String(), nil); err != nil {
		return err
	}
	return fetch(req, func(r io.Reader) error {
		got, err := content.Read(r)
		if err == nil && got != c {
			err = fmt.Errorf("got %+v, want %+v", got, c)
		}
		return err
	})
}

// fetch makes a request that must be answered with 200.
func fetch(req *http.Request, read func(io.Reader) error) error {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // a reason, if there is one
		return fmt.Errorf("%s: %s: %s", req.Method, resp.Status, strings.TrimSpace(string(text)))
	}
	return read(resp.Body)
}

// deleteAll deletes everything under a prefix by DeleteObjects.
func deleteAll(ctx context.Context, client *minio.Core, bucket, prefix string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	objects := client.Client.ListObjects(ctx, bucket,
		minio.ListObjectsOptions{Prefix: prefix, Recursive: true})
	for e := range client.RemoveObjects(ctx, bucket, objects, minio.RemoveObjectsOptions{}) {
		return fmt.Errorf("delete %q: %w", e.ObjectName, e.Err)
	}
	left, err := client.ListObjectsV2(bucket, prefix, "", "", "", listPage)
	if err == nil && len(left.Contents) > 0 {
		err = fmt.Errorf("%d keys are left, the first is %q", len(left.Contents), left.Contents[0].Key)
	}
	return err
}
