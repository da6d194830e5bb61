package s3lat

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Endpoint says where an S3 server is and who asks.
type Endpoint struct {
	URL         string // http://host:port or https://host:port
	Region      string
	Key, Secret string
	Bucket      string
	// Dial opens connections. nil: from here.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// S3 is a Store behind an endpoint, reached by minio-go over kept connections. Requests are never repeated by
// the client, and bodies are not signed over plain HTTP beyond what the client does by default.
type S3 struct {
	client *minio.Core
	bucket string
	body   []byte
	buf    []byte
}

// DialS3 returns the store of an endpoint. Nothing is sent yet.
func DialS3(e Endpoint) (*S3, error) {
	scheme, host, found := strings.Cut(e.URL, "://")
	if !found || scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("endpoint %q: want http://host:port or https://host:port", e.URL)
	}
	client, err := minio.NewCore(strings.TrimSuffix(host, "/"), &minio.Options{
		Creds: credentials.NewStaticV4(e.Key, e.Secret, ""), Secure: scheme == "https", Region: e.Region,
		BucketLookup: minio.BucketLookupPath, MaxRetries: 1, TrailingHeaders: true,
		Transport: &http.Transport{MaxIdleConnsPerHost: 4, ResponseHeaderTimeout: time.Minute,
			DisableCompression: true, DialContext: e.Dial},
	})
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", e.URL, err)
	}
	return &S3{client: client, bucket: e.Bucket, buf: make([]byte, 256<<10)}, nil
}

// MakeBucket creates the bucket unless the key owns one of that name, and reports whether it did.
func (s *S3) MakeBucket(ctx context.Context) (made bool, err error) {
	err = s.client.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{})
	if code := minio.ToErrorResponse(err).Code; code == "BucketAlreadyOwnedByYou" {
		return false, nil
	}
	return err == nil, err
}

// RemoveBucket removes the bucket, which must be empty.
func (s *S3) RemoveBucket(ctx context.Context) error { return s.client.RemoveBucket(ctx, s.bucket) }

// Do implements Store.
func (s *S3) Do(ctx context.Context, op Operation, key string, size int64) (Took, error) {
	if op == PutObject {
		s.body = noise(s.body, size) // before the clock starts
	}
	start := time.Now()
	var part time.Time
	err := errors.ErrUnsupported
	switch op {
	case ListBuckets:
		_, err = s.client.ListBuckets(ctx)
	case ListObjects:
		_, err = s.client.ListObjectsV2(s.bucket, Listed(key), "", "", "", 1000)
	case GetObject:
		part, err = s.get(ctx, key, size)
	case PutObject:
		part, err = s.put(ctx, key)
	case RemoveObject:
		err = s.client.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{})
	}
	end := time.Now()
	took := Took{Whole: end.Sub(start)}
	switch op {
	case GetObject:
		took.Part = part.Sub(start)
	case PutObject:
		took.Part = end.Sub(part)
	}
	return took, err
}

// get reads an object and returns when its first byte was there.
func (s *S3) get(ctx context.Context, key string, size int64) (first time.Time, err error) {
	r, _, _, err := s.client.GetObject(ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return first, err
	}
	defer r.Close()
	if _, err := io.ReadFull(r, s.buf[:1]); err != nil {
		return first, err
	}
	first = time.Now()
	n, err := io.CopyBuffer(onlyWriter{io.Discard}, r, s.buf)
	if err == nil && n+1 != size {
		err = fmt.Errorf("object %s has %d bytes, want %d", key, n+1, size)
	}
	return first, err
}

// onlyWriter hides what else a writer can do, so that CopyBuffer uses its buffer.
type onlyWriter struct{ io.Writer }

// put writes an object and returns when its last byte was taken from us.
func (s *S3) put(ctx context.Context, key string) (last time.Time, err error) {
	body := &timedReader{left: s.body}
	_, err = s.client.PutObject(ctx, s.bucket, key, body, int64(len(s.body)), "", "",
		minio.PutObjectOptions{})
	return body.last, err
}

// timedReader notes when its last byte was read.
type timedReader struct {
	left []byte
	last time.Time
}

// Read implements io.Reader.
func (r *timedReader) Read(p []byte) (int, error) {
	if len(r.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.left)
	if r.left = r.left[n:]; len(r.left) == 0 {
		r.last = time.Now()
	}
	return n, nil
}

// noise returns a body that does not compress and shares no block with any other, in old if that is long
// enough.
func noise(old []byte, size int64) []byte {
	b := slices.Grow(old[:0], int(size))[:size]
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], rand.Uint64())
	binary.LittleEndian.PutUint64(seed[8:], rand.Uint64())
	rand.NewChaCha8(seed).Read(b)
	return b
}
