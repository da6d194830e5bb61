package workload

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"granary/core/auth"
	"granary/sim/sched"
)

// entry is an object of the store.
type entry struct {
	id, etag string
	body     []byte
}

// store is a small S3 in memory, shared by all nodes, correct unless told otherwise.
type store struct {
	objects map[string]entry
	uploads map[string]map[int][]byte
	ids     map[string]string // of uploads
	caches  []map[string]entry
	seq     int

	stale      bool // nodes answer reads from what they saw last
	lostDelete bool // every third delete is acknowledged and dropped
	lostPut    bool // every tenth put is acknowledged and dropped
	flip       bool // every tenth read has a wrong byte
	hide       bool // listings leave out their second entry
	takeBack   bool // every tenth put is refused and stored all the same
}

func newStore(nodes int) *store {
	s := &store{objects: map[string]entry{}, uploads: map[string]map[int][]byte{}, ids: map[string]string{}}
	for range nodes {
		s.caches = append(s.caches, map[string]entry{})
	}
	return s
}

// testNode is one endpoint of the store.
type testNode struct {
	s        *store
	n        int
	env      *sched.Env
	verifier *auth.Verifier
}

const (
	testKey    = "GKTEST"
	testSecret = "secret"
	testRegion = "test-1"
	testBucket = "bucket"
)

func (n *testNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.env.Sleep(r.Context(), time.Duration(n.env.Rand("lag").IntN(20))*time.Millisecond)
	path, query, _ := strings.Cut(r.RequestURI, "?")
	ar := &auth.Request{Method: r.Method, Path: path, Query: query, Host: r.Host, Header: r.Header,
		ContentLength: r.ContentLength}
	who, err := n.verifier.Verify(ar, n.env.Wall(), func(auth.KeyID) (auth.Secret,
		error) {
		return testSecret, nil
	})
	if err != nil || who.Key != testKey {
		fail(w, 403, err.Error())
		return
	}
	spec, err := auth.NewBodySpec(ar, who.Payload)
	if err != nil {
		fail(w, 400, err.Error())
		return
	}
	body, err := io.ReadAll(auth.NewBody(r.Body, who.Payload, spec))
	if err != nil {
		fail(w, 400, "IncompleteBody")
		return
	}
	key, _ := url.PathUnescape(strings.TrimPrefix(path, "/"+testBucket))
	n.route(w, r, strings.TrimPrefix(key, "/"), body)
	if r.Method == http.MethodPut {
		n.env.Sleep(r.Context(), time.Millisecond)
	}
}

func fail(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", escapeXML(code))
}

func (n *testNode) route(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	q := r.URL.Query()
	switch {
	case key == "" && r.Method == "GET":
		n.list(w, q)
	case key == "":
		n.deleteMany(w, body)
	case q.Has("uploads"), q.Has("uploadId"):
		n.multipart(w, r, key, q, body)
	case r.Method == "PUT" && r.Header.Get("X-Amz-Copy-Source") != "":
		n.copy(w, r, key)
	case r.Method == "PUT":
		n.put(w, r, key, body)
	case r.Method == "DELETE":
		n.delete(key)
		w.WriteHeader(204)
	default:
		n.get(w, r, key)
	}
}

func (n *testNode) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	sum := md5.Sum(body)
	e := entry{r.Header.Get(idHeader), hex.EncodeToString(sum[:]), body}
	n.s.seq++
	if n.s.takeBack && n.s.seq%10 == 0 {
		n.s.objects[key] = e
		fail(w, 503, "ServiceUnavailable")
		return
	}
	if !n.s.lostPut || n.s.seq%10 > 0 {
		n.s.objects[key] = e
	}
	w.Header().Set("Etag", `"`+e.etag+`"`)
}

func (n *testNode) delete(key string) {
	if n.s.seq++; n.s.lostDelete && n.s.seq%3 == 0 {
		return
	}
	delete(n.s.objects, key)
}

func (n *testNode) copy(w http.ResponseWriter, r *http.Request, key string) {
	from, _ := url.PathUnescape(strings.TrimPrefix(r.Header.Get("X-Amz-Copy-Source"), testBucket+"/"))
	e, ok := n.s.objects[from]
	if !ok {
		fail(w, 404, "NoSuchKey")
		return
	}
	n.s.objects[key] = e
	fmt.Fprintf(w, "<CopyObjectResult><ETag>&quot;%s&quot;</ETag></CopyObjectResult>", e.etag)
}

func (n *testNode) get(w http.ResponseWriter, r *http.Request, key string) {
	e, ok := n.s.objects[key]
	if n.s.stale {
		if c, cached := n.s.caches[n.n][key]; cached && n.env.Rand("stale").IntN(10) == 0 {
			e, ok = c, true
		} else if ok {
			n.s.caches[n.n][key] = e
		}
	}
	if !ok {
		fail(w, 404, "NoSuchKey")
		return
	}
	w.Header().Set("Etag", `"`+e.etag+`"`)
	w.Header().Set(idHeader, e.id)
	body, status := e.body, 200
	var first, last int
	if k, _ := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last); k == 2 {
		if first >= len(body) {
			fail(w, 416, "InvalidRange")
			return
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, min(last, len(body)-1),
			len(body)))
		body, status = body[first:min(last+1, len(body))], 206
	}
	if n.s.seq++; n.s.flip && n.s.seq%10 == 0 && len(body) > 0 {
		body = slices.Clone(body)
		body[len(body)/2] ^= 1
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == "GET" {
		w.Write(body)
	}
}

func (n *testNode) deleteMany(w http.ResponseWriter, body []byte) {
	var x struct{ Object []struct{ Key string } }
	decode(body, &x)
	fmt.Fprint(w, "<DeleteResult>")
	for _, o := range x.Object {
		n.delete(o.Key)
		fmt.Fprintf(w, "<Deleted><Key>%s</Key></Deleted>", escapeXML(o.Key))
	}
	fmt.Fprint(w, "</DeleteResult>")
}

func (n *testNode) list(w http.ResponseWriter, q url.Values) {
	prefix, delim, after := q.Get("prefix"), q.Get("delimiter"), q.Get("continuation-token")
	most, _ := strconv.Atoi(q.Get("max-keys"))
	out, lines, last, truncated := "", 0, "", false
	for i, key := range slices.Sorted(maps.Keys(n.s.objects)) {
		name, group := key, false
		if rest, ok := strings.CutPrefix(key, prefix); !ok || n.s.hide && i%7 == 2 {
			continue
		} else if j := strings.Index(rest, delim); delim != "" && j >= 0 {
			name, group = prefix+rest[:j+len(delim)], true
		}
		if name <= after || name == last {
			continue
		}
		if lines == most {
			truncated = true
			break
		}
		lines, last = lines+1, name
		if group {
			out += fmt.Sprintf("<CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes>", auth.EscapePath(name))
			continue
		}
		e := n.s.objects[key]
		out += fmt.Sprintf("<Contents><Key>%s</Key><ETag>&quot;%s&quot;</ETag><Size>%d</Size></Contents>",
			auth.EscapePath(name), e.etag, len(e.body))
	}
	fmt.Fprintf(w,
		"<ListBucketResult>%s<IsTruncated>%v</IsTruncated><NextContinuationToken>%s</NextContinuationToken>"+
			"</ListBucketResult>", out, truncated, escapeXML(last))
}

func (n *testNode) multipart(w http.ResponseWriter, r *http.Request, key string, q url.Values, body []byte) {
	id := q.Get("uploadId")
	up := n.s.uploads[id]
	switch {
	case q.Has("uploads"):
		n.s.seq++
		id = fmt.Sprint("u/", n.s.seq)
		n.s.uploads[id], n.s.ids[id] = map[int][]byte{}, r.Header.Get(idHeader)
		fmt.Fprintf(w,
			"<InitiateMultipartUploadResult><UploadId>%s</UploadId></InitiateMultipartUploadResult>", id)
	case up == nil:
		fail(w, 404, "NoSuchUpload")
	case r.Method == "PUT":
		part, _ := strconv.Atoi(q.Get("partNumber"))
		up[part] = body
		sum := md5.Sum(body)
		w.Header().Set("Etag", `"`+hex.EncodeToString(sum[:])+`"`)
	case r.Method == "DELETE":
		delete(n.s.uploads, id)
		w.WriteHeader(204)
	default:
		n.complete(w, key, id, up, body)
	}
}

func (n *testNode) complete(w http.ResponseWriter, key, id string, up map[int][]byte, body []byte) {
	var x struct {
		XMLName xml.Name `xml:"CompleteMultipartUpload"`
		Part    []struct{ PartNumber int }
	}
	decode(body, &x)
	var all, sums []byte
	for _, p := range x.Part {
		sum := md5.Sum(up[p.PartNumber])
		all, sums = append(all, up[p.PartNumber]...), append(sums, sum[:]...)
	}
	whole := md5.Sum(sums)
	e := entry{n.s.ids[id], fmt.Sprintf("%s-%d", hex.EncodeToString(whole[:]), len(x.Part)), all}
	n.s.objects[key] = e
	delete(n.s.uploads, id)
	fmt.Fprintf(w,
		"<CompleteMultipartUploadResult><ETag>&quot;%s&quot;</ETag></CompleteMultipartUploadResult>", e.etag)
}
