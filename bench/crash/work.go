package crash

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/bench/content"
	"granary/sim/check"
)

// The shape of the load.
const (
	workers  = 6
	keys     = 120
	listKeys = 25 // of a page
	partSize = 5 << 20
)

// keyOf names key i: ten folders.
func keyOf(i int) string { return fmt.Sprintf("folder %d/key %03d", i%10, i) }

// worker is one client, who does one thing at a time through any node.
type worker struct {
	*Load
	id   int
	rand *rand.Rand
}

// step does one operation, and notes whether it succeeded.
func (w *worker) step(ctx context.Context) {
	node := w.choose()
	began, before := time.Now(), w.downs.count()
	key := keyOf(w.rand.IntN(keys))
	var err error
	var what string
	writes := true
	switch p := w.rand.IntN(100); {
	case p < 40:
		size := w.size()
		what, err = fmt.Sprintf("PUT of %d bytes", size), w.put(ctx, node, key, size)
	case p < 41:
		what, err = "multipart upload", w.multipart(ctx, node, key)
	case p < 50:
		what, err = "DELETE", w.remove(ctx, node, key)
	case p < 95:
		what, writes, err = "GET", false, w.get(ctx, node, key)
	default:
		what, writes, err = "listing", false, w.list(ctx, node)
	}
	spared := w.downs.spared(node, before)
	switch {
	case err == nil && spared:
		w.pulse.Load().beat(writes, time.Since(began), what)
	case err != nil && ctx.Err() == nil && spared:
		w.refuse(fmt.Errorf("through %s: %w", w.cluster.Nodes[node].Name, err))
	}
	time.Sleep(w.pace) // also after a refused connection, which costs nothing
}

// choose picks a node: mostly a live one, sometimes any, unless one that is down would not even refuse.
func (w *worker) choose() int {
	node := w.rand.IntN(len(w.clients))
	if node == w.downs.now() && (w.avoid.Load() || w.rand.IntN(10) > 0) {
		node = (node + 1 + w.rand.IntN(len(w.clients)-1)) % len(w.clients)
	}
	return node
}

// size draws the size of an object: inline, one block, several blocks.
func (w *worker) size() int64 {
	switch p := w.rand.IntN(100); {
	case p < 70:
		return content.HeaderSize + w.rand.Int64N(3000)
	case p < 98:
		return 4096 + w.rand.Int64N(200_000)
	}
	return 1<<20 + w.rand.Int64N(3<<20)
}

// outcome is what an error of a write means.
func outcome(err error) check.Outcome {
	e := minio.ToErrorResponse(err)
	switch {
	case err == nil:
		return check.OK
	case e.StatusCode >= 400 && e.StatusCode < 500, e.Code == "ServiceUnavailable", e.Code == "SlowDown":
		return check.Failed // the server says that nothing was done
	}
	return check.Unknown
}

func (w *worker) put(ctx context.Context, node int, key string, size int64) error {
	c := content.Content{ID: w.ledger.newValue(), Size: size}
	body := c.Bytes()
	sum := md5.Sum(body)
	i := w.ledger.begin(check.Op{Client: w.id, Kind: check.Put, Key: key,
		Value: check.ValueID(c.ID), Size: size, ETag: hex.EncodeToString(sum[:]),
		Note: w.cluster.Nodes[node].Name})
	info, err := w.clients[node].PutObject(ctx, loadBucket, key, c.Reader(), size, "", "",
		minio.PutObjectOptions{})
	if err == nil && info.ETag != hex.EncodeToString(sum[:]) {
		err = fmt.Errorf("PUT %s: ETag %q, want %x", key, info.ETag, sum)
	}
	w.ledger.end(i, outcome(err), nil)
	return wrap("PUT", key, err)
}

// multipart stores an object of two parts.
func (w *worker) multipart(ctx context.Context, node int, key string) error {
	client := w.clients[node]
	c := content.Content{ID: w.ledger.newValue(), Size: partSize + 1 + w.rand.Int64N(1<<20)}
	body := c.Bytes()
	id, err := client.NewMultipartUpload(ctx, loadBucket, key, minio.PutObjectOptions{})
	if err != nil {
		return wrap("begin an upload of", key, err)
	}
	var parts []minio.CompletePart
	var sums []byte
	for i, part := range [][]byte{body[:partSize], body[partSize:]} {
		sum := md5.Sum(part)
		sums = append(sums, sum[:]...)
		p, err := client.PutObjectPart(ctx, loadBucket, key, id, i+1, strings.NewReader(string(part)),
			int64(len(part)),
			minio.PutObjectPartOptions{})
		if err != nil {
			return wrap("upload a part of", key, err)
		}
		parts = append(parts, minio.CompletePart{PartNumber: i + 1, ETag: p.ETag})
	}
	whole := md5.Sum(sums)
	i := w.ledger.begin(check.Op{Client: w.id, Kind: check.Put, Key: key, Value: check.ValueID(c.ID),
		Size: c.Size,
		ETag: hex.EncodeToString(whole[:]) + "-2", Note: "multipart, " + w.cluster.Nodes[node].Name})
	_, err = client.CompleteMultipartUpload(ctx, loadBucket, key, id, parts, minio.PutObjectOptions{})
	w.ledger.end(i, outcome(err), nil)
	return wrap("complete an upload of", key, err)
}

func (w *worker) remove(ctx context.Context, node int, key string) error {
	i := w.ledger.begin(check.Op{Client: w.id, Kind: check.Delete, Key: key,
		Note: w.cluster.Nodes[node].Name})
	err := w.clients[node].RemoveObject(ctx, loadBucket, key, minio.RemoveObjectOptions{})
	w.ledger.end(i, outcome(err), nil)
	return wrap("DELETE", key, err)
}

func (w *worker) get(ctx context.Context, node int, key string) error {
	i := w.ledger.begin(check.Op{Client: w.id, Kind: check.Get, Key: key, Size: -1,
		Note: w.cluster.Nodes[node].Name})
	body, info, _, err := w.clients[node].GetObject(ctx, loadBucket, key, minio.GetObjectOptions{})
	if status(err) == http.StatusNotFound && minio.ToErrorResponse(err).Code == "NoSuchKey" {
		w.ledger.end(i, check.OK, func(op *check.Op) { op.Absent = true })
		return nil
	}
	if err != nil {
		w.ledger.end(i, check.Failed, nil)
		return wrap("GET", key, err)
	}
	defer body.Close()
	got, err := content.Read(body)
	switch {
	case errors.Is(err, content.ErrWrong):
		w.ledger.end(i, check.OK, func(op *check.Op) {
			op.Value, op.Fault = check.ValueID(got.ID), err.Error()
		})
	case err != nil: // cut in the middle: nothing was told
		w.ledger.end(i, check.Failed, nil)
	default:
		w.ledger.end(i, check.OK, func(op *check.Op) {
			op.Value, op.Size, op.ETag = check.ValueID(got.ID), info.Size, info.ETag
		})
	}
	return wrap("GET", key, err)
}

// list reads all pages of a folder, or of everything by folders.
func (w *worker) list(ctx context.Context, node int) error {
	l := &check.Listing{Max: listKeys}
	if w.rand.IntN(2) == 0 {
		l.Prefix = fmt.Sprintf("folder %d/", w.rand.IntN(10))
	} else {
		l.Delimiter = "/"
	}
	i := w.ledger.begin(check.Op{Client: w.id, Kind: check.List, Key: l.Prefix, Listing: l})
	token := ""
	for {
		p := check.Page{Call: w.ledger.tick()}
		r, err := w.clients[node].ListObjectsV2(loadBucket, l.Prefix, "", token, l.Delimiter, listKeys)
		if err != nil {
			w.ledger.end(i, check.Failed, nil)
			return wrap("list", l.Prefix, err)
		}
		p.Return, p.Truncated = w.ledger.tick(), r.IsTruncated
		for _, o := range r.Contents {
			p.Entries = append(p.Entries, check.Entry{Key: o.Key, ETag: strings.Trim(o.ETag, `"`),
				Size: o.Size})
		}
		for _, c := range r.CommonPrefixes {
			p.Prefixes = append(p.Prefixes, c.Prefix)
		}
		l.Pages = append(l.Pages, p)
		if !r.IsTruncated || ctx.Err() != nil {
			w.ledger.end(i, check.OK, nil)
			return nil
		}
		token = r.NextContinuationToken
	}
}

func status(err error) int { return minio.ToErrorResponse(err).StatusCode }

func wrap(what, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", what, key, err)
}
