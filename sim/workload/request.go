package workload

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"granary/core/auth"
	"granary/sim/check"
	"granary/sim/workload/wire"
)

// idHeader carries a value's id.
const idHeader = "X-Amz-Meta-Granary-Value"

// documentMax bounds what is read of an answer that is a document, in bytes.
const documentMax = 4 << 20

// chunkSize is the size of signed chunks, in bytes.
const chunkSize = 64 << 10

// ask is a request in the making.
type ask struct {
	method, key string
	query       string // canonical
	header      http.Header
	body        func() io.Reader // nil for none
	size        int64
	sum         [32]byte // of the body, if signed by hash
	signed      string
	expect      bool
}

// answer is what came back.
type answer struct {
	*wire.Response               // nil if nothing came; closed by its user then
	outcome        check.Outcome // what it means for a write
	name           string        // for the statistics
	document       []byte        // of an answer that is not content
}

// send makes a request and returns the head of the answer. Only the outcome and name count when Response is
// nil.
func (r *runner) send(op *Op, a ask) answer {
	if op.Level != "" {
		if a.header == nil {
			a.header = http.Header{}
		}
		a.header.Set("X-Granary-Consistency", string(op.Level))
	}
	req, err := r.build(a)
	if err != nil {
		panic(err)
	}
	link := r.c.Link
	link.Silent = r.c.Silent > 0 && r.c.Sched.Rand(fmt.Sprint("silent/", op.ID)).IntN(1000) < r.c.Silent
	client := wire.Client{Sched: r.c.Sched, Env: r.c.Env, Link: link}
	for i := range r.c.At {
		env, h, ok := r.c.Serve(r.c.At[(op.Node+i)%len(r.c.At)])
		if !ok {
			continue
		}
		resp, err := client.Do(env, h, req, r.c.Timeout)
		if err != nil {
			return lost(err)
		}
		return answer{Response: resp, name: strconv.Itoa(resp.Status)}
	}
	return answer{outcome: check.Failed, name: "refused"}
}

// lost says what an error without answer means.
func lost(err error) answer {
	var e *wire.Error
	a := answer{name: "reset"}
	if errors.As(err, &e) && !e.Whole {
		a.outcome = check.Failed
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		a.name = "timeout"
	case errors.Is(err, errAbandoned):
		a.name = "abandoned"
	}
	return a
}

// ask makes a request whose answer is a document or nothing, and reads it whole.
func (r *runner) ask(op *Op, a ask) answer {
	ans := r.send(op, a)
	if ans.Response != nil {
		var err error
		ans.document, err = io.ReadAll(io.LimitReader(ans.Body, documentMax))
		ans.Close()
		ans.outcome = meaning(ans.Status, ans.document)
		if err != nil && ans.outcome == check.OK {
			ans.outcome, ans.name = check.Unknown, ans.name+" cut off"
		}
	}
	r.count(op, ans)
	return ans
}

// count adds an answer to the statistics and to the trace.
func (r *runner) count(op *Op, a answer) {
	name := string(op.Kind) + " " + a.name
	if a.Response != nil && a.Status >= 400 {
		name += " " + errorCode(a.document)
	}
	r.stats[name]++
	status := 0
	if a.Response != nil {
		status = a.Status
	}
	r.c.Sched.Fold("s3 answer", op.ID, uint64(status), uint64(a.outcome))
}

// meaning says what an answer means for a write.
func meaning(status int, document []byte) check.Outcome {
	code := errorCode(document)
	switch {
	case status < 300 && code == "":
		return check.OK
	case status < 300:
		return check.Unknown
	case status < 500, status == http.StatusServiceUnavailable && code != "OutcomeUnknown" && code != "",
		status == http.StatusNotImplemented:
		return check.Failed
	}
	return check.Unknown
}

// errorCode returns the code of an error document, "" if it is none.
func errorCode(document []byte) string {
	var x struct {
		XMLName xml.Name
		Code    string
	}
	if xml.Unmarshal(document, &x) != nil || x.XMLName.Local != "Error" {
		return ""
	}
	return x.Code
}

// build signs a request.
func (r *runner) build(a ask) (wire.Request, error) {
	target := "/" + r.c.Bucket
	if a.key != "" {
		target += "/" + auth.EscapePath(a.key)
	}
	req := wire.Request{Method: a.method, Host: "s3.test", Header: a.header, Expect: a.expect}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	ar := &auth.Request{Method: a.method, Path: target, Query: a.query, Host: req.Host, Header: req.Header}
	mode := auth.Hashed
	sum := sha256.Sum256(nil)
	if a.body != nil {
		ar.ContentLength, sum = a.size, a.sum
		switch a.signed {
		case "none":
			mode = auth.Unsigned
		case "chunks":
			mode = auth.SignedChunks
			ar.ContentLength = -1
			req.Header.Set("X-Amz-Decoded-Content-Length", strconv.FormatInt(a.size, 10))
			req.Header.Set("Content-Encoding", "aws-chunked")
		}
	}
	chunker, err := r.signer.Sign(ar, r.c.Env.Wall(), auth.PayloadHash(mode, sum))
	if err != nil {
		return req, err
	}
	req.Target = target
	if a.query != "" {
		req.Target += "?" + a.query
	}
	if a.body != nil {
		req.Body, req.Length = a.body(), ar.ContentLength
		if mode == auth.SignedChunks {
			req.Body = &chunked{src: req.Body, signer: chunker, buf: make([]byte, chunkSize)}
		}
	}
	return req, nil
}

// chunked encodes a body in signed chunks.
type chunked struct {
	src    io.Reader
	signer *auth.ChunkSigner
	buf    []byte
	out    bytes.Buffer
	ended  bool
}

// Read implements io.Reader.
func (c *chunked) Read(p []byte) (int, error) {
	for c.out.Len() == 0 {
		if c.ended {
			return 0, io.EOF
		}
		n, err := io.ReadFull(c.src, c.buf)
		if n > 0 {
			c.out.Write(c.signer.AppendChunk(nil, c.buf[:n]))
		}
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			c.out.Write(c.signer.AppendEnd(nil, false, nil))
			c.ended = true
		case err != nil:
			return 0, err
		}
	}
	return c.out.Read(p)
}

// text returns an ask's body of fixed bytes.
func (a ask) text(s string) ask {
	a.body = func() io.Reader { return strings.NewReader(s) }
	a.size, a.sum = int64(len(s)), sha256.Sum256([]byte(s))
	return a
}
