package s3

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"granary/core/bucket"
	"granary/core/cors"
	"granary/core/hlc"
	"granary/core/object"
	"granary/core/quorum"
)

// fakeStore is Objects and Buckets in memory, for one process and any number of tasks.
type fakeStore struct {
	mu      sync.Mutex
	now     func() time.Time
	keys    map[bucket.KeyID]bucket.Key
	buckets map[string]bucket.Bucket
	objects map[bucket.BucketID]map[object.Key]*fakeObject
	uploads map[object.UploadID]*fakeUpload
	seq     uint64

	fail    error // returned by every operation on objects
	failAt  int64 // reads of bytes from this offset on fail; 0: never
	failAll bool  // Open fails
	again   error // what Again returns
	gets    []object.GetOptions
}

type fakeObject struct {
	info  object.Info
	data  []byte
	parts []int64 // sizes
}

type fakeUpload struct {
	info    object.UploadInfo
	bucket  bucket.BucketID
	headers []object.Header
	parts   map[int]*fakePart
}

type fakePart struct {
	info object.PartInfo
	data []byte
}

func newFakeStore(now func() time.Time) *fakeStore {
	return &fakeStore{now: now, keys: map[bucket.KeyID]bucket.Key{}, buckets: map[string]bucket.Bucket{},
		objects: map[bucket.BucketID]map[object.Key]*fakeObject{}, uploads: map[object.UploadID]*fakeUpload{}}
}

func (s *fakeStore) lock() func() { s.mu.Lock(); return s.mu.Unlock }

// ---- buckets

func (s *fakeStore) ByName(_ context.Context, name string) (bucket.Bucket, error) {
	defer s.lock()()
	b, ok := s.buckets[name]
	if !ok {
		return b, fmt.Errorf("bucket %q: %w", name, bucket.ErrNoSuchBucket)
	}
	return b, nil
}

func (s *fakeStore) Create(_ context.Context, name string, owner bucket.KeyID) (bucket.Bucket, error) {
	defer s.lock()()
	if b, ok := s.buckets[name]; ok {
		if b.Owner == owner {
			return b, bucket.ErrBucketOwned
		}
		return b, bucket.ErrBucketExists
	}
	b := bucket.Bucket{ID: bucketID(name), Name: name, Owner: owner, Created: s.now(),
		Grants: []bucket.Grant{{Key: owner, Read: true, Write: true, Owner: true}}}
	s.buckets[name] = b
	s.objects[b.ID] = map[object.Key]*fakeObject{}
	return b, nil
}

func (s *fakeStore) Delete_(_ context.Context, b bucket.Bucket) error {
	defer s.lock()()
	if len(s.objects[b.ID]) > 0 {
		return bucket.ErrBucketNotEmpty
	}
	delete(s.buckets, b.Name)
	return nil
}

func (s *fakeStore) Again(context.Context, bucket.Bucket) error { return s.again }

func (s *fakeStore) Visible(_ context.Context, k bucket.KeyID) ([]bucket.Bucket, error) {
	defer s.lock()()
	var out []bucket.Bucket
	for _, b := range s.buckets {
		if _, ok := b.Grant(k); ok {
			out = append(out, b)
		}
	}
	slices.SortFunc(out, func(a, b bucket.Bucket) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

func (s *fakeStore) CORS(ctx context.Context, name string) (cors.Rules, error) {
	b, err := s.ByName(ctx, name)
	return b.CORS, err
}

func (s *fakeStore) SetCORS(_ context.Context, b bucket.Bucket, rules cors.Rules) error {
	defer s.lock()()
	b.CORS = rules
	s.buckets[b.Name] = b
	return nil
}

func (s *fakeStore) Key(_ context.Context, id bucket.KeyID) (bucket.Key, error) {
	defer s.lock()()
	k, ok := s.keys[id]
	if !ok {
		return k, bucket.ErrNoSuchKey
	}
	return k, nil
}

// fakeBuckets gives the bucket half of the store its Delete.
type fakeBuckets struct{ *fakeStore }

func (s fakeBuckets) Delete(ctx context.Context, b bucket.Bucket) error { return s.Delete_(ctx, b) }

// ---- objects

func (s *fakeStore) stamp() hlc.Stamp { return hlc.At(s.now()) }

func (s *fakeStore) Put(_ context.Context, b bucket.BucketID, k object.Key, h []object.Header, size int64,
	body object.Body) (object.Info, error) {
	data, sums, err := readBody(body, size)
	if err != nil {
		return object.Info{}, err
	}
	defer s.lock()()
	if s.fail != nil {
		return object.Info{}, s.fail
	}
	o := &fakeObject{data: data, info: object.Info{Key: k, Stamp: s.stamp(), Size: int64(len(data)),
		ETag:    sums.ETag,
		Headers: h, Checksums: sums.Checksums}}
	s.objects[b][k] = o
	return o.info, nil
}

func readBody(body object.Body, size int64) ([]byte, object.Sums, error) {
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, object.Sums{}, fmt.Errorf("read body: %w", err)
	}
	sums, err := body.Sums()
	if err == nil && size >= 0 && int64(len(data)) != size {
		err = fmt.Errorf("%d bytes instead of %d", len(data), size)
	}
	return data, sums, err
}

func (s *fakeStore) find(b bucket.BucketID, k object.Key) (*fakeObject, error) {
	if s.fail != nil {
		return nil, s.fail
	}
	o := s.objects[b][k]
	if o == nil {
		return nil, fmt.Errorf("object %q: %w", k, object.ErrNoSuchKey)
	}
	return o, nil
}

func (s *fakeStore) Get(_ context.Context, b bucket.BucketID, k object.Key, o object.GetOptions) (Object,
	error) {
	defer s.lock()()
	s.gets = append(s.gets, o)
	f, err := s.find(b, k)
	if err != nil {
		return nil, err
	}
	return &fakeReader{fakeObject: f, s: s}, nil
}

type fakeReader struct {
	*fakeObject
	s *fakeStore
}

func (o *fakeReader) Info() object.Info { return o.info }
func (o *fakeReader) Close()            {}

func (o *fakeReader) PartRange(n int) (int64, int64, error) {
	if len(o.parts) == 0 && n == 1 {
		return 0, int64(len(o.data)), nil
	}
	if n > len(o.parts) {
		return 0, 0, object.ErrInvalidPart
	}
	var off int64
	for _, size := range o.parts[:n-1] {
		off += size
	}
	return off, o.parts[n-1], nil
}

func (o *fakeReader) Open(_ context.Context, off, n int64) (io.ReadCloser, error) {
	if o.s.failAll {
		return nil, fmt.Errorf("block 0: %w", quorum.ErrUnavailable)
	}
	r := io.Reader(bytes.NewReader(o.data[off : off+n]))
	if o.s.failAt > 0 && off+n > o.s.failAt {
		r = io.MultiReader(bytes.NewReader(o.data[off:o.s.failAt]), failingReader{})
	}
	return io.NopCloser(struct{ io.Reader }{r}), nil
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, quorum.ErrUnavailable }

func (s *fakeStore) Head(_ context.Context, b bucket.BucketID, k object.Key) (object.Info, error) {
	defer s.lock()()
	o, err := s.find(b, k)
	if err != nil {
		return object.Info{}, err
	}
	return o.info, nil
}

func (s *fakeStore) Delete(_ context.Context, b bucket.BucketID, k object.Key) error {
	defer s.lock()()
	if s.fail != nil {
		return s.fail
	}
	delete(s.objects[b], k)
	return nil
}

func (s *fakeStore) DeleteMany(ctx context.Context, b bucket.BucketID, keys []object.Key) []error {
	errs := make([]error, len(keys))
	for i, k := range keys {
		errs[i] = s.Delete(ctx, b, k)
	}
	return errs
}

func (s *fakeStore) List(_ context.Context, b bucket.BucketID, q object.ListQuery) (object.Page, error) {
	defer s.lock()()
	if s.fail != nil {
		return object.Page{}, s.fail
	}
	after := q.After
	if q.Token != "" {
		raw, err := hex.DecodeString(q.Token)
		if err != nil {
			return object.Page{}, object.ErrBadToken
		}
		after = string(raw)
	}
	var keys []string
	for k := range s.objects[b] {
		keys = append(keys, string(k))
	}
	sort.Strings(keys)
	var p object.Page
	more := fold(keys, q.Prefix, q.Delimiter, after, q.Max, func(k string) {
		o := s.objects[b][object.Key(k)]
		e := object.Entry{Key: o.info.Key, Size: o.info.Size, ETag: o.info.ETag, Modified: o.info.Modified()}
		if len(o.info.Checksums) > 0 {
			e.Checksum = o.info.Checksums[0].Algo
		}
		p.Entries, p.NextKey = append(p.Entries, e), k
	}, func(prefix string) { p.Prefixes, p.NextKey = append(p.Prefixes, prefix), prefix })
	if p.Truncated = more; more {
		p.NextToken = hex.EncodeToString([]byte(p.NextKey))
	} else {
		p.NextKey = ""
	}
	return p, nil
}

// fold lists keys with common prefixes: what is listed is greater than after.
func fold(keys []string, prefix, delimiter, after string, most int, key, common func(string)) (more bool) {
	last, n := "", 0
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, prefix)
		if !ok {
			continue
		}
		group := ""
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			group = prefix + rest[:i+len(delimiter)]
		}
		if group == "" && k <= after || group != "" && (group <= after || group == last) {
			continue
		}
		if n++; n > most {
			return true
		}
		if group != "" {
			last = group
			common(group)
		} else {
			key(k)
		}
	}
	return false
}

func (s *fakeStore) Copy(_ context.Context, b bucket.BucketID, k object.Key, src object.CopySource,
	h *[]object.Header) (object.Info, error) {
	defer s.lock()()
	from, err := s.find(src.Bucket, src.Key)
	if err != nil {
		return object.Info{}, err
	}
	if err := src.Check(from.info); err != nil {
		return object.Info{}, err
	}
	o := &fakeObject{data: from.data, info: from.info}
	o.info.Key, o.info.Stamp = k, s.stamp()
	if h != nil {
		o.info.Headers = *h
	}
	if src.Body != nil {
		_, sums, err := readBody(src.Body(bytes.NewReader(o.data)), -1)
		if err != nil {
			return object.Info{}, err
		}
		o.info.ETag, o.info.Checksums = sums.ETag, sums.Checksums
	}
	s.objects[b][k] = o
	return o.info, nil
}

// ---- multipart

func (s *fakeStore) CreateUpload(_ context.Context, b bucket.BucketID, k object.Key, h []object.Header,
	algo, typ string) (object.UploadID, error) {
	defer s.lock()()
	s.seq++
	var id object.UploadID
	binary.BigEndian.PutUint64(id[8:], s.seq)
	s.uploads[id] = &fakeUpload{bucket: b, headers: h, parts: map[int]*fakePart{},
		info: object.UploadInfo{Key: k, ID: id, Initiated: s.now(), Algo: algo, Type: typ}}
	return id, s.fail
}

func (s *fakeStore) upload(b bucket.BucketID, k object.Key, u object.UploadID) (*fakeUpload, error) {
	if s.fail != nil {
		return nil, s.fail
	}
	up := s.uploads[u]
	if up == nil || up.bucket != b || up.info.Key != k {
		return nil, object.ErrNoSuchUpload
	}
	return up, nil
}

func (s *fakeStore) PutPart(_ context.Context, b bucket.BucketID, k object.Key, u object.UploadID, n int,
	size int64,
	body object.Body) (object.PartInfo, error) {
	data, sums, err := readBody(body, size)
	if err != nil {
		return object.PartInfo{}, err
	}
	return s.addPart(b, k, u, n, data, sums.ETag, sums.Checksums)
}

func (s *fakeStore) addPart(b bucket.BucketID, k object.Key, u object.UploadID, n int, data []byte,
	etag string,
	sums []object.Checksum) (object.PartInfo, error) {
	defer s.lock()()
	up, err := s.upload(b, k, u)
	if err != nil {
		return object.PartInfo{}, err
	}
	p := &fakePart{data: data, info: object.PartInfo{Number: n, Size: int64(len(data)), ETag: etag,
		Modified: s.now(), Checksums: sums}}
	up.parts[n] = p
	return p.info, nil
}

func (s *fakeStore) CopyPart(ctx context.Context, b bucket.BucketID, k object.Key, u object.UploadID, n int,
	src object.CopySource) (object.PartInfo, error) {
	unlock := s.lock()
	from, err := s.find(src.Bucket, src.Key)
	unlock()
	if err != nil {
		return object.PartInfo{}, err
	}
	if err := src.Check(from.info); err != nil {
		return object.PartInfo{}, err
	}
	data := from.data
	if src.End > 0 {
		data = data[src.Start:src.End]
	}
	_, sums, err := readBody(src.Body(bytes.NewReader(data)), -1)
	if err != nil {
		return object.PartInfo{}, err
	}
	return s.addPart(b, k, u, n, data, sums.ETag, sums.Checksums)
}

func (s *fakeStore) Complete(_ context.Context, b bucket.BucketID, k object.Key, u object.UploadID,
	o object.CompleteOptions) (object.Info, error) {
	defer s.lock()()
	up, err := s.upload(b, k, u)
	if err != nil {
		return object.Info{}, err
	}
	obj := &fakeObject{info: object.Info{Key: k, Stamp: s.stamp(), Headers: up.headers, Parts: len(o.Parts)}}
	last := 0
	var infos []object.PartInfo
	for i, ref := range o.Parts {
		p := up.parts[ref.Number]
		switch {
		case ref.Number <= last:
			return object.Info{}, object.ErrPartOrder
		case p == nil || p.info.ETag != ref.ETag:
			return object.Info{}, fmt.Errorf("part %d: %w", ref.Number, object.ErrInvalidPart)
		case p.info.Size < object.PartSizeMin && i < len(o.Parts)-1:
			return object.Info{}, fmt.Errorf("part %d: %w", ref.Number, object.ErrPartTooSmall)
		}
		last = ref.Number
		infos = append(infos, p.info)
		obj.data = append(obj.data, p.data...)
		obj.parts = append(obj.parts, p.info.Size)
	}
	sums, err := o.Combine(up.info, infos)
	if err != nil {
		return object.Info{}, err
	}
	obj.info.Size, obj.info.ETag, obj.info.Checksums = int64(len(obj.data)), sums.ETag, sums.Checksums
	if o.Size >= 0 && o.Size != obj.info.Size {
		return object.Info{}, fmt.Errorf("size: %w", object.ErrInvalidPart)
	}
	s.objects[b][k] = obj
	delete(s.uploads, u)
	return obj.info, nil
}

func (s *fakeStore) Abort(_ context.Context, b bucket.BucketID, k object.Key, u object.UploadID) error {
	defer s.lock()()
	if _, err := s.upload(b, k, u); err != nil {
		return err
	}
	delete(s.uploads, u)
	return nil
}

func (s *fakeStore) ListParts(_ context.Context, b bucket.BucketID, k object.Key, u object.UploadID,
	after, most int) (parts []object.PartInfo, truncated bool, _ object.UploadInfo, err error) {
	defer s.lock()()
	up, err := s.upload(b, k, u)
	if err != nil {
		return nil, false, object.UploadInfo{}, err
	}
	for n, p := range up.parts {
		if n > after {
			parts = append(parts, p.info)
		}
	}
	slices.SortFunc(parts, func(a, b object.PartInfo) int { return a.Number - b.Number })
	if len(parts) > most {
		parts, truncated = parts[:most], true
	}
	return parts, truncated, up.info, nil
}

func (s *fakeStore) ListUploads(_ context.Context, b bucket.BucketID, prefix, delimiter, keyMarker,
	uploadMarker string, most int) (p object.UploadsPage, err error) {
	defer s.lock()()
	var all []object.UploadInfo
	for _, up := range s.uploads {
		k := string(up.info.Key)
		if up.bucket == b && (k > keyMarker || k == keyMarker && uploadMarker != "" &&
			up.info.ID.String() > uploadMarker) {
			all = append(all, up.info)
		}
	}
	slices.SortFunc(all, func(a, b object.UploadInfo) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID.String(), b.ID.String()))
	})
	keys := make([]string, len(all))
	for i := range all {
		keys[i] = string(all[i].Key)
	}
	next := 0
	p.Truncated = fold(keys, prefix, delimiter, "", most, func(k string) {
		for string(all[next].Key) != k || len(p.Uploads) > 0 &&
			all[next].ID == p.Uploads[len(p.Uploads)-1].ID {
			next++
		}
		p.Uploads = append(p.Uploads, all[next])
		p.NextKey, p.NextUpload = k, all[next].ID.String()
	}, func(prefix string) { p.Prefixes, p.NextKey, p.NextUpload = append(p.Prefixes, prefix), prefix, "" })
	return p, s.fail
}

// bucketID is the id that the fake gives a bucket.
func bucketID(name string) (id bucket.BucketID) {
	copy(id[:], name)
	return id
}
