package s3

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"granary/core/auth"
	"granary/core/hlc"
	"granary/core/object"

	"pgregory.net/rapid"
)

// TestBodies sends content in every mode of Signature Version 4.
func TestBodies(t *testing.T) {
	data := strings.Repeat("0123456789", 3000)
	sum := "x-amz-checksum-crc32:" + checksum(auth.CRC32, data)
	for name, a := range map[string]ask{
		"hashed":                {},
		"unsigned":              {noSum: true},
		"signed chunks":         {chunks: auth.SignedChunks},
		"signed chunks trailer": {chunks: auth.SignedChunksTrailer, trailer: sum},
		"unsigned trailer":      {chunks: auth.UnsignedTrailer, trailer: sum},
		"no trailer":            {chunks: auth.UnsignedTrailer},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a.method, a.target, a.body = "PUT", "/bucket/a%2Fb//c", data
			resp, _ := w.must(200, a)
			if got := resp.Header.Get("Etag"); got != `"`+md5Of(data)+`"` {
				t.Errorf("ETag %s", got)
			}
			if got := resp.Header.Get("X-Amz-Checksum-Crc32"); (got != "") != (a.trailer != "") {
				t.Errorf("checksum %q", got)
			}
			_, body := w.must(200, ask{method: "GET", target: "/bucket/a/b//c"})
			if body != data {
				t.Errorf("%d bytes came back, want %d", len(body), len(data))
			}
			if n := w.env.counts["s3_received_bytes_total operation PutObject"]; n != float64(len(data)) {
				t.Errorf("counted %v bytes", n)
			}
		})
	}
}

// TestHosts finds the bucket in the host name.
func TestHosts(t *testing.T) {
	w := newWorld(t)
	w.must(200, ask{method: "PUT", target: "/a/b", body: "x", host: "bucket.s3.example.org:3900"})
	w.must(200, ask{method: "GET", target: "/bucket/a/b", host: "s3.example.org"})
	w.must(200, ask{method: "GET", target: "/bucket/a/b", host: "10.0.0.1:3900"})
	w.must(200, ask{method: "GET", target: "/bucket/a/b", host: "[::1]:3900"})
	_, body := w.must(200, ask{method: "GET", target: "/?list-type=2", host: "BUCKET.S3.example.org"})
	if !strings.Contains(body, "<Key>a/b</Key>") {
		t.Error(body)
	}
	w.refused(404, "NoSuchBucket", ask{method: "GET", target: "/a", host: "other.s3.example.org"})
	w.refused(400, "InvalidBucketName", ask{method: "GET", target: "/a", host: "x.s3.example.org"})
}

// TestPresigned checks URLs that carry their signature, and headers among their parameters.
func TestPresigned(t *testing.T) {
	w := newWorld(t)
	s := auth.Signer{Key: adminKey, Secret: "admin-secret", Region: region, Service: "s3"}
	send := func(method, path, query, body string) *http.Response {
		r := httptest.NewRequest(method, "http://s3.example.org/", strings.NewReader(body))
		ar := &auth.Request{Method: method, Path: path, Query: query, Host: r.Host,
			Header: map[string][]string{}}
		q, err := s.Presign(ar, w.env.wall, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		r.RequestURI = path + "?" + q
		return w.serve(r)
	}
	if resp := send("PUT", "/bucket/a", "x-amz-meta-color=red&x-amz-storage-class=STANDARD&x-id=PutObject",
		"x"); resp.StatusCode != 200 {
		t.Fatal(text(resp))
	}
	if resp := send("GET", "/bucket/a", "", ""); resp.StatusCode != 200 ||
		!sentAsIs(resp.Header, "x-amz-meta-color") {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	if resp := send("PUT", "/bucket/a", "x-amz-server-side-encryption=AES256", "x"); resp.StatusCode != 501 {
		t.Errorf("a header among the parameters got around the table: %d", resp.StatusCode)
	}
	if resp := send("PUT", "/bucket/a", "x-amz-checksum-crc32=AAAAAA%3D%3D", "x"); resp.StatusCode != 400 {
		t.Errorf("a checksum among the parameters was ignored: %d", resp.StatusCode)
	}
	w.env.wall = w.env.wall.Add(2 * time.Hour)
	late := w.request(ask{method: "GET", target: "/bucket/a", key: "-"})
	late.RequestURI = "/bucket/a?" + presign(t, s, epoch)
	if resp := w.serve(late); resp.StatusCode != 403 || errorCode(text(resp)) != "AccessDenied" {
		t.Errorf("expired: %d", resp.StatusCode)
	}
}

func presign(t *testing.T, s auth.Signer, at time.Time) string {
	q, err := s.Presign(&auth.Request{Method: "GET", Path: "/bucket/a", Host: "s3.example.org",
		Header: map[string][]string{}}, at, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// TestFirstBlock checks that a status is sent only with the first block in hand, and that a later loss
// resets.
func TestFirstBlock(t *testing.T) {
	w := newWorld(t)
	w.put("a", strings.Repeat("x", 3*bufferSize))
	w.store.failAll = true
	w.refused(503, "ServiceUnavailable", ask{method: "GET", target: "/bucket/a"})
	w.store.failAll, w.store.failAt = false, 2*bufferSize
	resp := w.do(ask{method: "GET", target: "/bucket/a"})
	if resp.StatusCode != -1 {
		t.Errorf("a cut-off answer ended with %d as if it were whole", resp.StatusCode)
	}
	if last := w.env.lines[len(w.env.lines)-1]; !strings.HasPrefix(last, "warn") ||
		!strings.Contains(last, "cut_off true") {
		t.Error(last)
	}
	w.must(206, ask{method: "GET", target: "/bucket/a", headers: []string{"Range: bytes=0-99"}})
	want := []object.GetOptions{{}, {}, {}}
	if len(w.store.gets) != len(want) {
		t.Errorf("gets: %v", w.store.gets)
	}
}

// TestGetOptions checks that a get says ahead what will be read.
func TestGetOptions(t *testing.T) {
	for value, want := range map[string]int64{"bytes=5-": 5, "bytes=-3": -3, "bytes=7-8": 7, "bytes=-0": 0,
		"bytes=x": 0} {
		w := newWorld(t)
		w.put("a", "0123456789")
		w.do(ask{method: "GET", target: "/bucket/a", headers: []string{"Range: " + value}})
		if got := w.store.gets[0].Offset; got != want {
			t.Errorf("%s: offset %d, want %d", value, got, want)
		}
	}
}

// TestSpan compares the extent of a range with counting bytes one by one.
func TestSpan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(0, 20).Draw(t, "size")
		first, last := rapid.Int64Range(0, 25).Draw(t, "first"), rapid.Int64Range(0, 25).Draw(t, "last")
		form := rapid.IntRange(0, 2).Draw(t, "form")
		value := [...]string{itoa(first) + "-" + itoa(last), itoa(first) + "-", "-" + itoa(last)}[form]
		var want []int64
		for i := range size {
			in := i >= first && (form == 1 || i <= last)
			if form == 2 {
				in = i >= size-last
			}
			if in {
				want = append(want, i)
			}
		}
		s := parseRange("bytes=" + value)
		if form == 0 && first > last {
			if s.ranged {
				t.Fatalf("%s was taken", value)
			}
			return
		}
		e, err := s.inSize(size)
		if (err != nil) != (len(want) == 0) {
			t.Fatalf("%s of %d: error %v, want %v", value, size, err, want)
		}
		if err == nil && (e.off != want[0] || e.length != int64(len(want)) || !e.partial) {
			t.Fatalf("%s of %d: %+v, want %v", value, size, e, want)
		}
	})
}

// TestConditions holds S3's table of precedence.
func TestConditions(t *testing.T) {
	info := object.Info{ETag: "e", Stamp: hlc.At(epoch)}
	before, at, after := epoch.Add(-time.Hour), epoch, epoch.Add(time.Hour)
	tests := []struct {
		match, noneMatch string
		modified, unmod  time.Time
		want             int
	}{
		{"", "", time.Time{}, time.Time{}, 0},
		{`"e"`, "", time.Time{}, time.Time{}, 0},
		{`"x", "e"`, "", time.Time{}, time.Time{}, 0},
		{"e", "", time.Time{}, time.Time{}, 0},
		{"*", "", time.Time{}, time.Time{}, 0},
		{`W/"e"`, "", time.Time{}, time.Time{}, 412},
		{`"x"`, "", time.Time{}, time.Time{}, 412},
		{`"e"`, "", time.Time{}, before, 0},
		{`"x"`, "", time.Time{}, after, 412},
		{"", "", time.Time{}, before, 412},
		{"", "", time.Time{}, at, 0},
		{"", `"e"`, time.Time{}, time.Time{}, 304},
		{"", `W/"e"`, time.Time{}, time.Time{}, 304},
		{"", `"x"`, time.Time{}, time.Time{}, 0},
		{"", `"e"`, before, time.Time{}, 304},
		{"", `"x"`, after, time.Time{}, 0},
		{"", "", before, time.Time{}, 0},
		{"", "", at, time.Time{}, 304},
		{`"e"`, `"e"`, time.Time{}, time.Time{}, 304},
		{"", "", after, before, 412},
	}
	for _, tt := range tests {
		c := &call{fields: http.Header{}}
		for name, value := range map[string]string{"If-Match": tt.match, "If-None-Match": tt.noneMatch} {
			if value != "" {
				c.fields.Set(name, value)
			}
		}
		for name, value := range map[string]time.Time{"If-Modified-Since": tt.modified,
			"If-Unmodified-Since": tt.unmod} {
			if !value.IsZero() {
				c.fields.Set(name, value.Format(http.TimeFormat))
			}
		}
		k := c.conditionsOf("")
		if got := k.verdictOf(&info); got != tt.want {
			t.Errorf("%v: %d, want %d", c.fields, got, tt.want)
		}
	}
}

// TestCopyConditions checks that a copy's conditions are those of its source, and that any failure is 412.
func TestCopyConditions(t *testing.T) {
	w := newWorld(t)
	w.put("src", "x")
	etag := md5Of("x")
	for header, want := range map[string]int{
		"X-Amz-Copy-Source-If-Match: " + etag:                                                       200,
		"X-Amz-Copy-Source-If-None-Match: " + etag:                                                  412,
		"X-Amz-Copy-Source-If-Match: other":                                                         412,
		"X-Amz-Copy-Source-If-Modified-Since: " + epoch.Add(time.Hour).Format(http.TimeFormat):      412,
		"X-Amz-Copy-Source-If-Unmodified-Since: " + epoch.Add(-2*time.Hour).Format(http.TimeFormat): 412,
	} {
		resp := w.do(ask{method: "PUT", target: "/bucket/dst",
			headers: []string{"X-Amz-Copy-Source: bucket/src", header}})
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", header, resp.StatusCode, want)
		}
	}
}

// TestCopyRange checks that the range of a part copy must lie within the source.
func TestCopyRange(t *testing.T) {
	w := newWorld(t)
	w.put("src", "0123456789")
	w.store.CreateUpload(context.Background(), bucketID("bucket"), "dst", nil, "", "")
	target := "/bucket/dst?partNumber=1&uploadId=" + object.UploadID{15: 1}.String()
	copyRange := func(value string) ask {
		return ask{method: "PUT", target: target, headers: []string{"X-Amz-Copy-Source: bucket/src",
			"X-Amz-Copy-Source-Range: " + value}}
	}
	_, body := w.must(200, copyRange("bytes=3-9"))
	if !strings.Contains(body, md5Of("3456789")) {
		t.Error(body)
	}
	w.refused(416, "InvalidRange", copyRange("bytes=3-10"))
	w.refused(400, "InvalidArgument", copyRange("bytes=-3"))
	w.refused(400, "EntityTooLarge", copyRange("bytes=0-5368709120"))
}

// TestCompositeSum checks the checksum of an upload whose parts carry SHA-256.
func TestCompositeSum(t *testing.T) {
	part := object.PartInfo{Number: 1, ETag: md5Of("x"), Size: 1, Checksums: []object.Checksum{
		{Algo: "SHA256", Value: checksum(auth.SHA256, "x")}}}
	up := object.UploadInfo{Algo: "SHA256", Type: "COMPOSITE"}
	var none wholeSum
	sums, err := none.combine(up, []object.PartInfo{part})
	if err != nil || !strings.HasSuffix(sums.Checksums[0].Value, "-1") ||
		!strings.HasSuffix(sums.ETag, "-1") {
		t.Fatalf("%+v, %v", sums, err)
	}
	for value, ok := range map[string]bool{
		sums.Checksums[0].Value:                           true,
		strings.TrimSuffix(sums.Checksums[0].Value, "-1"): true,
		checksum(auth.SHA256, "x"):                        false,
	} {
		w := wholeSum{algo: auth.SHA256, value: value}
		if _, err := w.combine(up, []object.PartInfo{part}); (err == nil) != ok {
			t.Errorf("%s: %v", value, err)
		}
	}
	bare := object.PartInfo{Number: 2, ETag: md5Of("y"), Size: 1}
	if _, err := none.combine(up, []object.PartInfo{part, bare}); err == nil {
		t.Error("a part without checksum was taken")
	}
	w := wholeSum{algo: auth.CRC32, value: checksum(auth.CRC32, "x")}
	if _, err := w.combine(up, []object.PartInfo{part}); err == nil {
		t.Error("a checksum of another algorithm was taken")
	}
	if _, err := w.combine(object.UploadInfo{}, []object.PartInfo{part}); err == nil {
		t.Error("a checksum that no part carries was taken")
	}
}

// TestIfRange checks that a range stands only for the object that it was meant for.
func TestIfRange(t *testing.T) {
	w := newWorld(t)
	w.put("a", "0123456789")
	for value, want := range map[string]int{`"` + md5Of("0123456789") + `"`: 206, `"other"`: 200,
		epoch.Format(http.TimeFormat): 206, epoch.Add(-time.Hour).Format(http.TimeFormat): 200} {
		w.must(want, ask{method: "GET", target: "/bucket/a",
			headers: []string{"Range: bytes=1-2", "If-Range: " + value}})
	}
}

// TestEscapes compares the decoder of paths and the encoder of listings with net/url.
func TestEscapes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringOf(rapid.RuneFrom([]rune("aZ0-._~/%+ &=?#ü\u20ac\x01"))).Draw(t, "s")
		escaped := string(appendEscaped(nil, s))
		if back, err := url.PathUnescape(escaped); err != nil || back != s {
			t.Fatalf("%q escaped is %q, which is %q: %v", s, escaped, back, err)
		}
		want, err := url.QueryUnescape(s)
		got, ok := unescape(s, true)
		if ok != (err == nil) || ok && got != want {
			t.Fatalf("unescape %q: %q %v, net/url says %q %v", s, got, ok, want, err)
		}
	})
}

// TestQuietHandler checks that what goes well is not logged, and that each request is counted.
func TestQuietHandler(t *testing.T) {
	w := newWorld(t)
	resp, _ := w.must(200, ask{method: "PUT", target: "/bucket/a", body: "x"})
	if len(w.env.lines) != 0 {
		t.Error(w.env.lines)
	}
	if w.env.counts["s3_requests_total operation PutObject status 200"] != 1 {
		t.Error(w.env.counts)
	}
	if len(resp.Header.Get("X-Amz-Request-Id")) != 16 {
		t.Error(resp.Header)
	}
}

// TestPanic checks that a panic below becomes an answer.
func TestPanic(t *testing.T) {
	w := newWorld(t)
	w.store.objects = nil // a write to it panics
	w.refused(500, "InternalError", ask{method: "PUT", target: "/bucket/a", body: "x"})
}

// sentAsIs reports whether a field was set under exactly that name, whose case is part of the answer.
func sentAsIs(h http.Header, name string) bool { return h[name] != nil }
