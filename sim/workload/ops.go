package workload

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"granary/sim/check"
)

// errAbandoned ends a body that its client gives up.
var errAbandoned = errors.New("workload: the client gave up")

// value returns what an operation writes.
func (op *Op) value() value {
	v := value{id: op.ID, size: op.Size}
	if op.Parts > 1 {
		v.size += int64(op.Parts-1) * partSize
	}
	return v
}

// record returns the record of a put of the operation's value.
func (op *Op) record() check.Op {
	v := op.value()
	return check.Op{Kind: check.Put, Key: op.Key, Value: check.ValueID(v.id), Size: v.size,
		ETag: v.etag(op.Parts),
		Note: string(op.Kind)}
}

// content returns an ask that sends the bytes [off, end) of a value.
func (a ask) content(v value, off, end int64) ask {
	a.size = end - off
	a.body = func() io.Reader { return v.reader(off, end) }
	if a.signed == "hash" {
		h := sha256.New()
		io.Copy(h, v.reader(off, end))
		h.Sum(a.sum[:0])
	}
	return a
}

func (r *runner) put(op *Op) {
	v := op.value()
	a := ask{method: http.MethodPut, key: op.Key, signed: op.Signed, expect: op.Expect}.content(v, 0, v.size)
	a.header = http.Header{idHeader: {strconv.FormatUint(op.ID, 10)},
		"Content-Type": {"application/x-granary"}}
	if op.Kind == Abandon {
		a.body = func() io.Reader { return &valueReader{v: v, end: op.Offset, cut: errAbandoned} }
	}
	i := r.begin(op, op.record())
	ans := r.ask(op, a)
	r.acknowledged(i, ans)
}

// acknowledged records the return of a put that tells an ETag.
func (r *runner) acknowledged(i int, ans answer) {
	rec := &r.h.Ops[i]
	if ans.outcome == check.OK {
		if etag := unquoted(ans.Header.Get("Etag")); etag != "" && etag != rec.ETag {
			rec.Fault = fmt.Sprintf("acknowledged with etag %q, it is %q", etag, rec.ETag)
		}
	}
	rec.Note += " " + ans.name
	r.end(i, ans.outcome)
}

func (r *runner) delete(op *Op) {
	i := r.begin(op, check.Op{Kind: check.Delete, Key: op.Key, Size: -1})
	ans := r.ask(op, ask{method: http.MethodDelete, key: op.Key})
	r.h.Ops[i].Note = ans.name
	r.end(i, ans.outcome)
}

// get reads an object whole or in part.
func (r *runner) get(op *Op) {
	a := ask{method: http.MethodGet, key: op.Key, header: http.Header{}}
	off := int64(0)
	if op.Kind == Range {
		off = op.Offset
		a.header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+op.Length-1))
	}
	i := r.begin(op, check.Op{Kind: check.Get, Key: op.Key, Size: -1, Note: string(op.Kind)})
	ans := r.send(op, a)
	if ans.Response == nil {
		r.read(op, i, ans, nil)
		return
	}
	defer ans.Close()
	if ans.Status != http.StatusOK && ans.Status != http.StatusPartialContent {
		ans.document, _ = io.ReadAll(io.LimitReader(ans.Body, documentMax))
		r.read(op, i, ans, nil)
		return
	}
	if ans.Status == http.StatusOK {
		off = 0
	}
	v := &verifier{v: value{id: idOf(ans.Header)}, off: off}
	n, err := io.Copy(v, ans.Body)
	if err == nil && ans.Length >= 0 && n != ans.Length {
		v.fault = fmt.Sprintf("%d bytes came, %d were announced", n, ans.Length)
	}
	if err != nil {
		ans.name += " cut off"
	}
	r.read(op, i, ans, v)
}

func (r *runner) head(op *Op) {
	i := r.begin(op, check.Op{Kind: check.Head, Key: op.Key, Size: -1})
	ans := r.send(op, ask{method: http.MethodHead, key: op.Key})
	if ans.Response != nil {
		ans.Close()
	}
	r.read(op, i, ans, &verifier{})
}

// read records the return of a Get or Head. Without an object v is nil or unused.
func (r *runner) read(op *Op, i int, ans answer, v *verifier) {
	rec := &r.h.Ops[i]
	rec.Note = strings.TrimSpace(rec.Note + " " + ans.name)
	outcome := check.Failed
	switch {
	case ans.Response == nil:
	case ans.Status == http.StatusNotFound && (op.Kind == Head || errorCode(ans.document) == "NoSuchKey"):
		rec.Absent, outcome = true, check.OK
	case ans.Status == http.StatusOK || ans.Status == http.StatusPartialContent:
		rec.Value, rec.ETag = check.ValueID(idOf(ans.Header)), unquoted(ans.Header.Get("Etag"))
		rec.Size, rec.Fault = sizeOf(ans), v.fault
		if rec.Value == 0 {
			rec.Fault = "the object carries no value id"
		}
		if !strings.HasSuffix(ans.name, "cut off") || rec.Fault != "" {
			outcome = check.OK
		}
	}
	ans.outcome = outcome
	r.count(op, ans)
	r.end(i, outcome)
}

// idOf returns the value id that an object carries, 0 if it has none.
func idOf(h http.Header) uint64 {
	id, err := strconv.ParseUint(h.Get(idHeader), 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// sizeOf returns the whole size of an object, -1 if the answer does not tell.
func sizeOf(ans answer) int64 {
	text := ans.Header.Get("Content-Length")
	if ans.Status == http.StatusPartialContent {
		_, text, _ = strings.Cut(ans.Header.Get("Content-Range"), "/")
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// copy copies an object. It reads the source, which is recorded as such, and writes the other key.
func (r *runner) copy(op *Op) {
	a := ask{method: http.MethodPut, key: op.Key, header: http.Header{}}
	a.header.Set("X-Amz-Copy-Source", r.c.Bucket+"/"+escapeKey(op.From))
	to := r.begin(op, check.Op{Kind: check.Put, Key: op.Key, From: op.From, Size: -1, Note: "copy"})
	from := r.begin(op, check.Op{Kind: check.Head, Key: op.From, Size: -1, Note: "source of copy"})
	ans := r.ask(op, a)
	r.h.Ops[to].Note += " " + ans.name
	seen := check.Failed
	switch {
	case ans.outcome == check.OK:
		var x struct{ ETag string }
		decode(ans.document, &x)
		etag := unquoted(x.ETag)
		r.h.Ops[to].ETag, r.h.Ops[from].ETag = etag, etag
		seen = check.OK
	case ans.Response != nil && ans.Status == http.StatusNotFound && errorCode(ans.document) == "NoSuchKey":
		r.h.Ops[from].Absent, seen = true, check.OK
	}
	r.end(from, seen)
	r.end(to, ans.outcome)
}

// unquoted returns an ETag without its quotes.
func unquoted(etag string) string { return strings.Trim(etag, `"`) }
