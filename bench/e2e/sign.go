package main

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"granary/bench/cluster"
)

// What x-amz-content-sha256 says of a body that is not hashed as a whole.
const (
	unsignedPayload = "UNSIGNED-PAYLOAD"
	signedChunks    = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
)

// request is a request that can be wrong in every way, because nothing but this file writes it.
type request struct {
	method, path string // the path as it is sent, escaped
	query        url.Values
	header       map[string]string // names in lower case
	body         string
	payload      string // of x-amz-content-sha256; empty: the body's hash
	at           time.Time
	key          cluster.Key
	host         string
	length       int  // announced; 0: that of the body
	cut          bool // nothing follows the body
	presigned    bool
}

// sign adds a SigV4 Authorization header and returns its signature.
// Source: Signature Version 4 in the S3 API reference, "Authenticating Requests: Using the Authorization
// Header".
func (r *request) sign() string {
	if r.payload == "" {
		r.payload = hash(r.body)
	}
	r.header["host"] = r.host
	r.header["x-amz-date"] = r.at.UTC().Format("20060102T150405Z")
	r.header["x-amz-content-sha256"] = r.payload
	names := r.names()
	signature := r.signature(strings.Join(names, ";"), r.payload)
	r.header["authorization"] = fmt.Sprintf(
		"AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", r.key.ID,
		r.scope(), strings.Join(names, ";"), signature)
	return signature
}

// presign adds a SigV4 signature to the query, valid for the time given.
func (r *request) presign(valid time.Duration) {
	r.header["host"], r.presigned = r.host, true
	r.query.Set("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
	r.query.Set("X-Amz-Credential", r.key.ID+"/"+r.scope())
	r.query.Set("X-Amz-Date", r.at.UTC().Format("20060102T150405Z"))
	r.query.Set("X-Amz-Expires", fmt.Sprint(int(valid.Seconds())))
	r.query.Set("X-Amz-SignedHeaders", "host")
	r.query.Set("X-Amz-Signature", r.signature("host", unsignedPayload))
}

func (r *request) scope() string {
	return r.at.UTC().Format("20060102") + "/" + cluster.Region + "/s3/aws4_request"
}

func (r *request) names() []string {
	var names []string
	for name := range r.header {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (r *request) signature(names, payload string) string {
	canonical := []string{r.method, r.path, strings.ReplaceAll(r.query.Encode(), "+", "%20")}
	for name := range strings.SplitSeq(names, ";") {
		canonical = append(canonical, name+":"+r.header[name])
	}
	canonical = append(canonical, "", names, payload)
	text := strings.Join([]string{"AWS4-HMAC-SHA256", r.at.UTC().Format("20060102T150405Z"), r.scope(),
		hash(strings.Join(canonical, "\n"))}, "\n")
	key := []byte("AWS4" + r.key.Secret)
	for part := range strings.SplitSeq(r.scope(), "/") {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, text))
}

// wire returns the request as it goes over the socket.
func (r *request) wire() string {
	target := r.path
	if len(r.query) > 0 {
		target += "?" + strings.ReplaceAll(r.query.Encode(), "+", "%20")
	}
	length := r.length
	if length == 0 {
		length = len(r.body)
	}
	text := fmt.Sprintf("%s %s HTTP/1.1\r\ncontent-length: %d\r\nconnection: close\r\n", r.method, target,
		length)
	for _, name := range r.names() {
		text += name + ": " + r.header[name] + "\r\n"
	}
	return text + "\r\n" + r.body
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// md5Base64 is the value of Content-MD5.
func md5Base64(text string) string {
	sum := md5.Sum([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
