package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// client is minio-go talking to a Handler over loopback.
type client struct {
	*testing.T
	*minio.Client
	ctx context.Context
	w   *world
}

func newClient(t *testing.T, o minio.Options) *client {
	w := newWorld(t)
	w.env.wall = time.Now()
	server := httptest.NewServer(w.h)
	t.Cleanup(server.Close)
	o.Creds = credentials.NewStaticV4(adminKey, "admin-secret", "")
	o.Region = region
	mc, err := minio.New(strings.TrimPrefix(server.URL, "http://"), &o)
	if err != nil {
		t.Fatal(err)
	}
	return &client{T: t, Client: mc, ctx: t.Context(), w: w}
}

func (c *client) ok(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err, c.w.env.lines)
	}
}

func (c *client) read(key string, o minio.GetObjectOptions) string {
	c.Helper()
	r, err := c.GetObject(c.ctx, "bucket", key, o)
	c.ok(err)
	defer r.Close()
	b, err := io.ReadAll(r)
	c.ok(err)
	return string(b)
}

// TestClientObjects puts, gets, copies and deletes objects of several sizes in several ways with minio-go.
func TestClientObjects(t *testing.T) {
	for name, o := range map[string]minio.Options{"plain": {}, "trailing headers": {TrailingHeaders: true}} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, o)
			c.ok(c.MakeBucket(c.ctx, "fresh", minio.MakeBucketOptions{Region: region}))
			if found, err := c.BucketExists(c.ctx, "fresh"); err != nil || !found {
				t.Fatal(found, err)
			}
			big := strings.Repeat("0123456789abcdef", 11<<20/16)
			for key, data := range map[string]string{"empty": "", "small ü&+": "hello", "big": big} {
				_, err := c.PutObject(c.ctx, "bucket", key, strings.NewReader(data), int64(len(data)),
					minio.PutObjectOptions{
						PartSize: 5 << 20, ContentType: "text/plain",
						UserMetadata: map[string]string{"Color": "red"}})
				c.ok(err)
				if got := c.read(key, minio.GetObjectOptions{}); got != data {
					t.Errorf("%s: %d bytes came back, want %d", key, len(got), len(data))
				}
				info, err := c.StatObject(c.ctx, "bucket", key, minio.StatObjectOptions{})
				c.ok(err)
				if info.ContentType != "text/plain" || info.UserMetadata["Color"] != "red" ||
					info.Size != int64(len(data)) {
					t.Errorf("%s: %+v", key, info)
				}
			}
			_, err := c.PutObject(c.ctx, "bucket", "stream", io.MultiReader(strings.NewReader(big)), -1,
				minio.PutObjectOptions{PartSize: 5 << 20})
			c.ok(err)
			var ranged minio.GetObjectOptions
			ranged.SetRange(5<<20-3, 5<<20+3)
			if got := c.read("stream", ranged); got != big[5<<20-3:5<<20+4] {
				t.Errorf("range: %q", got)
			}
		})
	}
}

// TestClientChecksums has minio-go compute and compare the checksums of S3.
func TestClientChecksums(t *testing.T) {
	c := newClient(t, minio.Options{TrailingHeaders: true})
	data := strings.Repeat("0123456789abcdef", 11<<20/16)
	for _, sum := range []minio.ChecksumType{minio.ChecksumCRC32, minio.ChecksumCRC32C,
		minio.ChecksumCRC64NVME,
		minio.ChecksumSHA1, minio.ChecksumSHA256} {
		for _, size := range []int{100, len(data)} {
			_, err := c.PutObject(c.ctx, "bucket", "k", strings.NewReader(data[:size]), int64(size),
				minio.PutObjectOptions{PartSize: 5 << 20, Checksum: sum})
			c.ok(err)
			if got := c.read("k", minio.GetObjectOptions{Checksum: true}); got != data[:size] {
				t.Errorf("%s: %d bytes", sum, len(got))
			}
			info, err := c.StatObject(c.ctx, "bucket", "k", minio.StatObjectOptions{Checksum: true})
			c.ok(err)
			if got := info.ChecksumCRC32 + info.ChecksumCRC32C + info.ChecksumCRC64NVME + info.ChecksumSHA1 +
				info.ChecksumSHA256; got == "" {
				t.Errorf("%s of %d bytes: no checksum in %+v", sum, size, info)
			}
		}
	}
}

// TestClientCopies copies whole objects and composes one of ranges.
func TestClientCopies(t *testing.T) {
	c := newClient(t, minio.Options{})
	big := strings.Repeat("0123456789abcdef", 6<<20/16)
	_, err := c.PutObject(c.ctx, "bucket", "a b", strings.NewReader(big), int64(len(big)),
		minio.PutObjectOptions{DisableMultipart: true})
	c.ok(err)
	_, err = c.CopyObject(c.ctx, minio.CopyDestOptions{Bucket: "bucket", Object: "copy",
		ReplaceMetadata: true,
		UserMetadata:    map[string]string{"New": "yes"}},
		minio.CopySrcOptions{Bucket: "bucket", Object: "a b"})
	c.ok(err)
	info, err := c.StatObject(c.ctx, "bucket", "copy", minio.StatObjectOptions{})
	c.ok(err)
	if info.UserMetadata["New"] != "yes" || info.Size != int64(len(big)) {
		t.Errorf("%+v", info)
	}
	src := minio.CopySrcOptions{Bucket: "bucket", Object: "a b", MatchRange: true, Start: 0, End: 5<<20 - 1}
	tail := minio.CopySrcOptions{Bucket: "bucket", Object: "a b", MatchRange: true, Start: 1, End: 10}
	_, err = c.ComposeObject(c.ctx, minio.CopyDestOptions{Bucket: "bucket", Object: "made"}, src, tail)
	c.ok(err)
	if got := c.read("made", minio.GetObjectOptions{}); got != big[:5<<20]+big[1:11] {
		t.Errorf("%d bytes", len(got))
	}
}

// TestClientLists pages through listings of both versions and deletes everything.
func TestClientLists(t *testing.T) {
	c := newClient(t, minio.Options{})
	for i := range 1500 {
		c.w.put(fmt.Sprintf("dir %d/%04d", i%3, i), "x")
	}
	for _, v1 := range []bool{false, true} {
		for _, tt := range []struct {
			recursive bool
			most      int
			want      int
		}{{true, 0, 1500}, {true, 7, 1500}, {false, 2, 3}} {
			n := 0
			for o := range c.ListObjects(c.ctx, "bucket",
				minio.ListObjectsOptions{Recursive: tt.recursive, MaxKeys: tt.most,
					UseV1: v1}) {
				c.ok(o.Err)
				n++
			}
			if n != tt.want {
				t.Errorf("v1 %v, %+v: %d entries", v1, tt, n)
			}
		}
	}
	objects := make(chan minio.ObjectInfo)
	go func() {
		defer close(objects)
		for o := range c.ListObjects(c.ctx, "bucket", minio.ListObjectsOptions{Recursive: true}) {
			objects <- o
		}
	}()
	for e := range c.RemoveObjects(c.ctx, "bucket", objects, minio.RemoveObjectsOptions{}) {
		t.Error(e)
	}
	c.ok(c.RemoveBucket(c.ctx, "bucket"))
	buckets, err := c.ListBuckets(c.ctx)
	c.ok(err)
	if len(buckets) != 0 {
		t.Errorf("%v", buckets)
	}
}

// TestClientRest covers presigned URLs, unfinished uploads and refusals.
func TestClientRest(t *testing.T) {
	c := newClient(t, minio.Options{})
	u, err := c.PresignedPutObject(c.ctx, "bucket", "k", time.Hour)
	c.ok(err)
	req, _ := http.NewRequest("PUT", u.String(), bytes.NewReader([]byte("hello")))
	resp, err := http.DefaultClient.Do(req)
	c.ok(err)
	resp.Body.Close()
	if u, err = c.PresignedGetObject(c.ctx, "bucket", "k", time.Hour, nil); err != nil {
		t.Fatal(err)
	}
	resp, err = http.Get(u.String())
	c.ok(err)
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(b) != "hello" {
		t.Errorf("%q", b)
	}
	core := minio.Core{Client: c.Client}
	id, err := core.NewMultipartUpload(c.ctx, "bucket", "up", minio.PutObjectOptions{})
	c.ok(err)
	_, err = core.PutObjectPart(c.ctx, "bucket", "up", id, 1, strings.NewReader("x"), 1,
		minio.PutObjectPartOptions{})
	c.ok(err)
	parts, err := core.ListObjectParts(c.ctx, "bucket", "up", id, 0, 10)
	c.ok(err)
	if len(parts.ObjectParts) != 1 || parts.ObjectParts[0].Size != 1 {
		t.Errorf("%+v", parts)
	}
	n := 0
	for up := range c.ListIncompleteUploads(c.ctx, "bucket", "", true) {
		c.ok(up.Err)
		n++
	}
	if n != 1 {
		t.Errorf("%d uploads", n)
	}
	c.ok(c.RemoveIncompleteUpload(c.ctx, "bucket", "up"))
	if _, err := c.GetBucketVersioning(c.ctx, "bucket"); minio.ToErrorResponse(err).Code != "NotImplemented" {
		t.Error(err)
	}
	if _, err := c.StatObject(c.ctx, "bucket", "absent",
		minio.StatObjectOptions{}); minio.ToErrorResponse(err).Code != "NoSuchKey" {
		t.Error(err)
	}
}

// TestClientKeepsConnection checks that an early refusal of a small body keeps the connection, and that a
// large one does not hang; and that a cut-off answer is an error of the client's.
func TestClientKeepsConnection(t *testing.T) {
	c := newClient(t, minio.Options{})
	for _, size := range []int{100, 8 << 20} {
		_, err := c.PutObject(c.ctx, "absent", "k", bytes.NewReader(make([]byte, size)), int64(size),
			minio.PutObjectOptions{DisableMultipart: true})
		if err == nil {
			t.Errorf("%d bytes were taken", size)
		}
	}
	c.w.put("cut", strings.Repeat("x", 4*bufferSize))
	c.w.store.failAt = 3 * bufferSize
	r, err := c.GetObject(c.ctx, "bucket", "cut", minio.GetObjectOptions{})
	c.ok(err)
	if b, err := io.ReadAll(r); err == nil {
		t.Errorf("%d bytes ended cleanly", len(b))
	}
}
