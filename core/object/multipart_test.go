package object

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"granary/core/rt"
)

// uploadTest is an upload in progress, driven from any node.
type uploadTest struct {
	c  *testCluster
	k  Key
	id UploadID
}

func (c *testCluster) upload(k Key) *uploadTest {
	c.t.Helper()
	u := &uploadTest{c: c, k: k}
	c.nodes[0].must(func(ctx context.Context, s *Store) (err error) {
		u.id, err = s.CreateUpload(ctx, testBucket, k, []Header{{"a", "b"}}, "", "")
		return err
	})
	return u
}

func (u *uploadTest) part(ctx context.Context, s *Store, n int, data []byte) (PartRef, error) {
	info, err := s.PutPart(ctx, testBucket, u.k, u.id, n, int64(len(data)),
		etagBody{bytes.NewReader(data), tagOf(data)})
	return PartRef{Number: n, ETag: info.ETag}, err
}

func (u *uploadTest) complete(ctx context.Context, s *Store, parts ...PartRef) (Info, error) {
	return s.Complete(ctx, testBucket, u.k, u.id, CompleteOptions{Parts: parts, Size: -1,
		Combine: func(_ UploadInfo, parts []PartInfo) (Sums, error) {
			return Sums{ETag: fmt.Sprintf("whole-%d", len(parts))}, nil
		}})
}

// parts uploads contents as parts 1, 3, 5, … from different nodes.
func (u *uploadTest) parts(contents ...[]byte) (refs []PartRef) {
	u.c.t.Helper()
	for i, data := range contents {
		u.c.nodes[i%3].must(func(ctx context.Context, s *Store) error {
			ref, err := u.part(ctx, s, 2*i+1, data)
			refs = append(refs, ref)
			return err
		})
	}
	return refs
}

// TestMultipart makes an object of parts that do not end with blocks, reads it whole, by part and across
// parts, and copies it.
func TestMultipart(t *testing.T) {
	c := newTestCluster(t, 21, 256*kib)
	u := c.upload("multi")
	one, two, three := content(1, PartSizeMin+77), content(2, PartSizeMin), content(3, 999)
	refs := u.parts(one, two, three)
	u.c.nodes[1].must(func(ctx context.Context, s *Store) error {
		info, err := u.complete(ctx, s, refs...)
		if err == nil && (info.ETag != "whole-3" || info.Parts != 3 || len(info.Headers) != 1) {
			err = fmt.Errorf("complete answered %+v", info)
		}
		return err
	})
	whole := slices.Concat(one, two, three)
	for _, n := range c.nodes {
		n.wants("multi", whole)
	}
	c.nodes[2].must(func(ctx context.Context, s *Store) error {
		o, err := s.Get(ctx, testBucket, "multi", GetOptions{Part: 3})
		if err != nil {
			return err
		}
		defer o.Close()
		off, n, err := o.PartRange(3)
		if err != nil || off != int64(len(one)) || n != int64(len(two)) {
			return fmt.Errorf("part 3 is %d bytes from %d: %v", n, off, err)
		}
		got, err := readRange(ctx, o, off-10, n+20)
		if err == nil && !bytes.Equal(got, whole[off-10:off+n+10]) {
			err = errors.New("the range across parts differs")
		}
		return err
	})
	c.nodes[0].must(func(ctx context.Context, s *Store) error {
		_, err := s.Copy(ctx, testBucket, "copy", CopySource{Bucket: testBucket, Key: "multi",
			Check: func(Info) error { return nil }}, nil)
		return err
	})
	c.nodes[1].wants("copy", whole)
	c.quiet()
}

// TestPartAgain: a part uploaded twice with the same bytes counts once, and its blocks stay whole whichever
// attempt is taken.
func TestPartAgain(t *testing.T) {
	c := newTestCluster(t, 22, 64*kib)
	u := c.upload("again")
	data, other := content(1, 100*kib), content(2, 120*kib)
	c.nodes[0].must(func(ctx context.Context, s *Store) error {
		for _, d := range [][]byte{data, data, other} {
			if _, err := u.part(ctx, s, 4, d); err != nil {
				return err
			}
		}
		parts, more, _, err := s.ListParts(ctx, testBucket, u.k, u.id, 0, 10)
		if err != nil || more || len(parts) != 1 || parts[0].ETag != tagOf(other) {
			return fmt.Errorf("listed %+v, more %v, %v", parts, more, err)
		}
		for range attemptsMax - 3 {
			if _, err := u.part(ctx, s, 4, []byte("x")); err != nil {
				return err
			}
		}
		if _, err := u.part(ctx, s, 4, data); !errors.Is(err, ErrInvalidPart) {
			return fmt.Errorf("too many attempts: %v", err)
		}
		_, err = u.complete(ctx, s, PartRef{Number: 4, ETag: tagOf(data)})
		return err
	})
	c.nodes[1].wants("again", data)
	c.quiet()
}

// TestCompleteTwice: a retry is the same version and wins over nothing; another list conflicts.
func TestCompleteTwice(t *testing.T) {
	c := newTestCluster(t, 23, 0)
	u := c.upload("k")
	refs := u.parts([]byte("one"))
	n := c.nodes[0]
	var first Info
	n.must(func(ctx context.Context, s *Store) (err error) {
		first,
			err = u.complete(ctx, s, refs...)
		return err
	})
	c.nodes[1].must(func(ctx context.Context, s *Store) error {
		again, err := u.complete(ctx, s, refs...)
		if err == nil && (again.Version != first.Version || again.Stamp != first.Stamp) {
			err = fmt.Errorf("the retry answers %+v, the first %+v", again, first)
		}
		return err
	})
	n.must(func(ctx context.Context, s *Store) error {
		_,
			err := put(ctx, s, "k", []byte("later"))
		return err
	})
	for _, m := range c.nodes {
		m.must(func(ctx context.Context, s *Store) error {
			again, err := u.complete(ctx, s, refs...)
			if err == nil && again.Stamp != first.Stamp {
				err = fmt.Errorf("stamped anew: %+v", again)
			}
			return err
		})
		m.wants("k", []byte("later"))
	}
	for _, err := range []error{
		n.do(func(ctx context.Context, s *Store) error {
			_, err := u.complete(ctx, s, PartRef{Number: 2, ETag: "other"})
			return err
		}),
		n.do(func(ctx context.Context, s *Store) error {
			_,
				err := u.part(ctx, s, 2, []byte("late"))
			return err
		}),
		n.do(func(ctx context.Context, s *Store) error { return s.Abort(ctx, testBucket, u.k, u.id) }),
	} {
		if !errors.Is(err, ErrUploadConflict) && !errors.Is(err, ErrNoSuchUpload) {
			t.Errorf("after the completion: %v", err)
		}
	}
	c.lingering()
}

// TestSlowComplete: a Complete that stood still while a retry of it succeeded, and while the object was
// overwritten, must not bring it back.
func TestSlowComplete(t *testing.T) {
	c := newTestCluster(t, 24, 0)
	u := c.upload("k")
	refs := u.parts([]byte("one"))
	slow := c.nodes[0]
	entered, resume := rt.NewFuture[struct{}](slow.env), rt.NewFuture[struct{}](slow.env)
	var slowErr error
	ended := false
	slow.env.Go("slow complete", func() {
		ctx := slow.env.Background()
		_, slowErr = slow.store.Complete(ctx, testBucket, u.k, u.id, CompleteOptions{Parts: refs, Size: -1,
			Combine: func(UploadInfo, []PartInfo) (Sums, error) {
				entered.Set(struct{}{}, nil)
				_, err := resume.Get(ctx)
				return Sums{ETag: "whole-1"}, err
			}})
		ended = true
	})
	if err := c.s.RunUntil(time.Minute, entered.Done); err != nil {
		t.Fatal(err)
	}
	c.nodes[1].must(func(ctx context.Context, s *Store) error {
		_,
			err := u.complete(ctx, s, refs...)
		return err
	})
	c.nodes[1].must(func(ctx context.Context, s *Store) error {
		_,
			err := put(ctx, s, "k", []byte("later"))
		return err
	})
	c.run(time.Second)
	slow.must(func(context.Context, *Store) error { resume.Set(struct{}{}, nil); return nil })
	if err := c.s.RunUntil(time.Minute, func() bool { return ended }); err != nil {
		t.Fatal(err)
	}
	if slowErr != nil {
		t.Errorf("the slow Complete: %v, want the result of the other", slowErr)
	}
	for _, n := range c.nodes {
		n.wants("k", []byte("later"))
	}
	if c.s.Sometimes()["two completions of one upload met"] == 0 {
		t.Error("the story did not happen")
	}
	c.lingering()
}

// TestAbort: an aborted upload takes no parts and no completion, also at a replica that learns of it late.
func TestAbort(t *testing.T) {
	c := newTestCluster(t, 25, 0)
	u := c.upload("k")
	refs := u.parts([]byte("one"))
	late := c.nodes[2]
	if err := c.model.Isolate(late.name); err != nil {
		t.Fatal(err)
	}
	c.nodes[0].must(func(ctx context.Context, s *Store) error { return s.Abort(ctx, testBucket, u.k, u.id) })
	c.run(time.Minute)
	c.model.Clear()
	c.run(10 * time.Second)
	for i, n := range c.nodes {
		for what, err := range map[string]error{
			"part": n.do(func(ctx context.Context, s *Store) error {
				_,
					err := u.part(ctx, s, i+1, []byte("x"))
				return err
			}),
			"complete": n.do(func(ctx context.Context, s *Store) error {
				_,
					err := u.complete(ctx, s, refs...)
				return err
			}),
			"abort": n.do(func(ctx context.Context,
				s *Store) error {
				return s.Abort(ctx, testBucket, u.k, u.id)
			}),
			"list": n.do(func(ctx context.Context, s *Store) error {
				_, _, _, err := s.ListParts(ctx, testBucket, u.k, u.id, 0, 1)
				return err
			}),
		} {
			if !errors.Is(err, ErrNoSuchUpload) {
				t.Errorf("%s after the abort at %s: %v", what, n.name, err)
			}
		}
		n.absent("k")
	}
	c.quiet()
}

// TestLatePart: the replicas refuse a part whose upload was aborted while its body was being read.
func TestLatePart(t *testing.T) {
	c := newTestCluster(t, 26, 0)
	u := c.upload("k")
	n := c.nodes[0]
	body := &pausedBody{}
	err := n.do(func(ctx context.Context, s *Store) error {
		body.before = func() {
			_ = n.env.Sleep(ctx, time.Second) // the upload was found by now
			if err := s.Abort(ctx, testBucket, u.k, u.id); err != nil {
				t.Error(err)
			}
		}
		_, err := s.PutPart(ctx, testBucket, u.k, u.id, 1, -1, body)
		return err
	})
	if !errors.Is(err, ErrNoSuchUpload) {
		t.Errorf("part of an upload aborted meanwhile: %v", err)
	}
	c.quiet()
}

// pausedBody calls before when it is read, and is empty.
type pausedBody struct{ before func() }

func (b *pausedBody) Read([]byte) (int, error) { b.before(); return 0, io.EOF }
func (b *pausedBody) Sums() (Sums, error)      { return Sums{ETag: "e"}, nil }

// TestCopyPart makes parts of ranges of an object.
func TestCopyPart(t *testing.T) {
	c := newTestCluster(t, 27, 64*kib)
	n := c.nodes[0]
	data := content(5, 300*kib)
	n.must(func(ctx context.Context, s *Store) error { _, err := put(ctx, s, "src", data); return err })
	u := c.upload("dst")
	for _, r := range []struct {
		start, end int64
		want       error
	}{{0, 0, nil}, {0, 1, nil}, {65000, 200_001, nil}, {10, 5, ErrInvalidRange}, {0, 1 << 30,
		ErrInvalidRange},
		{-1, 5, ErrInvalidRange}} {
		end := r.end
		if end == 0 {
			end = int64(len(data))
		}
		err := n.do(func(ctx context.Context, s *Store) error {
			info, err := s.CopyPart(ctx, testBucket, u.k, u.id, 1, CopySource{Bucket: testBucket, Key: "src",
				Start: r.start, End: r.end, Check: func(Info) error { return nil },
				Body: func(src io.Reader) Body { return &tagged{Reader: src} }})
			if err == nil && (info.Size != end-r.start || info.ETag != tagOf(data[r.start:end])) {
				err = fmt.Errorf("%+v", info)
			}
			return err
		})
		if !errors.Is(err, r.want) {
			t.Errorf("bytes %d to %d: %v, want %v", r.start, r.end, err, r.want)
		}
	}
	c.quiet()
}

// tagged is a body that hashes what it reads.
type tagged struct {
	io.Reader
	all []byte
}

func (b *tagged) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.all = append(b.all, p[:n]...)
	return n, err
}

func (b *tagged) Sums() (Sums, error) { return Sums{ETag: tagOf(b.all)}, nil }

// TestListUploads pages through uploads whose keys contain zeros and begin with each other.
func TestListUploads(t *testing.T) {
	c := newTestCluster(t, 28, 0)
	keys := []Key{"a", "a\x00", "a\x00\x00b", "a/", "a/b", "a/b/c", "ab", "b"}
	for _, k := range keys {
		c.upload(k)
		if k == "a" || k == "a/b" {
			c.upload(k)
		}
	}
	u := c.upload("gone")
	c.nodes[0].must(func(ctx context.Context, s *Store) error { return s.Abort(ctx, testBucket, u.k, u.id) })
	for _, q := range []struct{ prefix, delimiter, want string }{
		{"", "", "a a a\x00 a\x00\x00b a/ a/b a/b a/b/c ab b"},
		{"a\x00", "", "a\x00 a\x00\x00b"},
		{"", "/", "a a a\x00 a\x00\x00b P:a/ ab b"},
		{"a/", "/", "a/ a/b a/b P:a/b/"},
		{"", "\x00", "a a P:a\x00 a/ a/b a/b a/b/c ab b"},
		{"", "\xff", "a a a\x00 a\x00\x00b a/ a/b a/b a/b/c ab b"},
	} {
		for _, max := range []int{1, 2, 3, 100} {
			c.nodes[1].must(func(ctx context.Context, s *Store) error {
				got, err := listUploads(ctx, s, q.prefix, q.delimiter, max)
				if err == nil && strings.Join(got, " ") != q.want {
					err = fmt.Errorf("prefix %q, delimiter %q, pages of %d: %q, want %q", q.prefix,
						q.delimiter, max,
						strings.Join(got, " "), q.want)
				}
				return err
			})
		}
	}
	c.nodes[0].must(func(ctx context.Context, s *Store) error {
		page, err := s.ListUploads(ctx, testBucket, "a/", "/", "a/", "", 10)
		if err == nil && len(page.Uploads) != 2 {
			err = fmt.Errorf("behind the key a/ itself: %+v", page)
		}
		if _, bad := s.ListUploads(ctx, testBucket, "", "", "a", "zz", 10); !errors.Is(bad, ErrBadToken) {
			err = fmt.Errorf("malformed marker: %v", bad)
		}
		return err
	})
}

// listUploads pages through a listing and returns it in one order.
func listUploads(ctx context.Context, s *Store, prefix, delimiter string, max int) (all []string, err error) {
	key, id := "", ""
	for pages := 0; pages < 100; pages++ {
		page, err := s.ListUploads(ctx, testBucket, prefix, delimiter, key, id, max)
		if err != nil {
			return nil, err
		}
		if n := len(page.Uploads) + len(page.Prefixes); n > max {
			return nil, fmt.Errorf("%d entries, at most %d", n, max)
		}
		var entries []string
		for _, u := range page.Uploads {
			entries = append(entries, string(u.Key))
		}
		for _, p := range page.Prefixes {
			entries = append(entries, "P:"+p)
		}
		slices.SortStableFunc(entries, func(a, b string) int {
			return strings.Compare(strings.TrimPrefix(a, "P:"), strings.TrimPrefix(b, "P:"))
		})
		all = append(all, entries...)
		if !page.Truncated {
			return all, nil
		}
		key, id = page.NextKey, page.NextUpload
	}
	return nil, errors.New("no end of pages")
}

// TestListParts pages through many parts, some of them uploaded twice.
func TestListParts(t *testing.T) {
	c := newTestCluster(t, 29, 0)
	u := c.upload("k")
	n := c.nodes[0]
	n.must(func(ctx context.Context, s *Store) error {
		for i := range 30 {
			for range 1 + i%2 {
				if _, err := u.part(ctx, s, 1+i*7, []byte{byte(i)}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for _, max := range []int{1, 7, 30, 100} {
		c.nodes[1].must(func(ctx context.Context, s *Store) error {
			after := 0
			for i := 0; ; {
				parts, more, info, err := s.ListParts(ctx, testBucket, u.k, u.id, after, max)
				if err != nil || info.ID != u.id || more != (i+len(parts) < 30) || more && len(parts) != max {
					return fmt.Errorf("%d parts after %d, more %v: %v", len(parts), after, more, err)
				}
				for _, p := range parts {
					if p.Number != 1+i*7 {
						return fmt.Errorf("part %d where %d is next", p.Number, 1+i*7)
					}
					i, after = i+1, p.Number
				}
				if !more {
					return nil
				}
			}
		})
	}
}
