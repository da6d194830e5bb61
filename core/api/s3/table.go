package s3

import (
	"net/http"
	"strings"
)

// verdict is what happens to a header or parameter.
type verdict uint8

const (
	used     verdict = iota + 1 // it has S3's meaning
	harmless                    // it changes nothing, here or at S3
	fixed                       // accepted with values that ask for what happens anyway, refused with others
	refused                     // the request fails and says why
)

// String returns the verdict's name for the documentation.
func (v verdict) String() string {
	return [...]string{"", "used", "harmless", "accepted with", "refused"}[v]
}

// rule is one row of the table of headers or of parameters. Of several rows of one name the first that holds
// for the operation counts; when none does, the name is unknown there.
type rule struct {
	name    string // as S3 writes it; a final * stands for any rest
	ops     ops
	verdict verdict
	values  []string // fixed only
	code    string   // S3 code of the refusal, NotImplemented when empty
	note    string   // for the documentation and, when refused, for the client
}

const everyOther = everyOp

// headerRules says of every header what becomes of it. An x-amz-* header that is not here is refused, any
// other is harmless. Parameters that are named x-amz-* are looked up here: presigned URLs carry headers that
// way.
var headerRules = []rule{
	{"Authorization", everyOp, used, nil, "", "Signature Version 4"},
	{"Host", everyOp, used, nil, "", "bucket of virtual-host style"},
	{"Date", everyOp, used, nil, "", "time of signing, without x-amz-date"},
	{"Content-Length", everyOp, used, nil, "", ""},
	{"Transfer-Encoding", everyOp, used, nil, "", ""},
	{"Expect", everyOp, used, nil, "", "100-continue is sent when the body is read, after all other checks"},
	{"x-amz-date", everyOp, used, nil, "", ""},
	{"x-amz-content-sha256", everyOp, used, nil, "", "every mode of Signature Version 4"},
	{"x-amz-security-token", everyOp, refused, nil, "InvalidToken", "there are no temporary credentials"},
	{"x-amz-s3session-token", everyOp, refused, nil, "InvalidToken", "there are no sessions"},

	{"Content-MD5", opsContent | opsDocument | opsOf(opCompleteMultipartUpload), used, nil, "", "checked"},
	{"x-amz-decoded-content-length", everyOp, used, nil, "", "length of a chunked body"},
	{"x-amz-trailer", opsContent | opsDocument, used, nil, "", "one x-amz-checksum-* field"},
	{"x-amz-sdk-checksum-algorithm", opsContent | opsDocument, used, nil, "", "must be the one that is sent"},
	{"x-amz-sdk-checksum-algorithm", everyOther, harmless, nil, "", ""},
	{"x-amz-checksum-mode", opsReadObject, used, nil, "", "ENABLED returns the checksums of whole objects"},
	{"x-amz-checksum-algorithm", opsOf(opCreateMultipartUpload, opCopyObject), used, nil, "", ""},
	{"x-amz-checksum-algorithm", opsContent | opsDocument, harmless, nil, "", "the checksum itself says it"},
	{"x-amz-checksum-type", opsOf(opCreateMultipartUpload, opCompleteMultipartUpload), used, nil, "", ""},
	{"x-amz-checksum-type", opsOf(opPutObject), fixed, []string{"FULL_OBJECT"}, "",
		"the type of plain objects"},
	{"x-amz-checksum-type", opsOf(opUploadPart), harmless, nil, "", "the upload says it"},
	{"x-amz-checksum-crc32", opsContent | opsDocument, used, nil, "", "checked and kept"},
	{"x-amz-checksum-crc32c", opsContent | opsDocument, used, nil, "", "checked and kept"},
	{"x-amz-checksum-crc64nvme", opsContent | opsDocument, used, nil, "", "checked and kept"},
	{"x-amz-checksum-sha1", opsContent | opsDocument, used, nil, "", "checked and kept"},
	{"x-amz-checksum-sha256", opsContent | opsDocument, used, nil, "", "checked and kept"},
	{"x-amz-checksum-crc32", opsOf(opCompleteMultipartUpload), used, nil, "", "of the whole object"},
	{"x-amz-checksum-crc32c", opsOf(opCompleteMultipartUpload), used, nil, "", "of the whole object"},
	{"x-amz-checksum-crc64nvme", opsOf(opCompleteMultipartUpload), used, nil, "", "of the whole object"},
	{"x-amz-checksum-sha1", opsOf(opCompleteMultipartUpload), used, nil, "", "of the whole object"},
	{"x-amz-checksum-sha256", opsOf(opCompleteMultipartUpload), used, nil, "", "of the whole object"},
	{"x-amz-mp-object-size", opsOf(opCompleteMultipartUpload), used, nil, "", "checked"},

	{"Content-Type", opsKeep, used, nil, "", "kept with the object"},
	{"Content-Type", everyOther, harmless, nil, "", ""},
	{"Content-Encoding", opsKeep, used, nil, "", "kept without aws-chunked"},
	{"Content-Encoding", everyOther, harmless, nil, "", ""},
	{"Cache-Control", opsKeep, used, nil, "", "kept with the object"},
	{"Content-Disposition", opsKeep, used, nil, "", "kept with the object"},
	{"Content-Language", opsKeep, used, nil, "", "kept with the object"},
	{"Expires", opsKeep, used, nil, "", "kept with the object"},
	{"x-amz-meta-*", opsKeep, used, nil, "", "kept with the object, 2 KiB together"},
	{"x-amz-meta-*", everyOther, refused, nil, "InvalidArgument", "metadata belongs to a whole object"},

	{"Range", opsReadObject, used, nil, "", "one range; several are answered with the whole object"},
	{"Range", everyOther, harmless, nil, "", ""},
	{"If-Range", opsReadObject, used, nil, "", ""},
	{"If-Match", opsReadObject, used, nil, "", ""},
	{"If-None-Match", opsReadObject, used, nil, "", ""},
	{"If-Modified-Since", opsReadObject, used, nil, "", ""},
	{"If-Unmodified-Since", opsReadObject, used, nil, "", ""},
	{"If-Match", opsWrite, refused, nil, "", "writes have no conditions"},
	{"If-None-Match", opsWrite, refused, nil, "", "writes have no conditions"},
	{"If-Modified-Since", opsWrite, refused, nil, "", "writes have no conditions"},
	{"If-Unmodified-Since", opsWrite, refused, nil, "", "writes have no conditions"},
	{"x-amz-if-match-*", everyOp, refused, nil, "", "deletes have no conditions"},

	{"x-amz-copy-source", opsCopy, used, nil, "", "bucket/key, escaped; versionId is refused"},
	{"x-amz-copy-source-range", opsOf(opUploadPartCopy), used, nil, "", "bytes=first-last"},
	{"x-amz-copy-source-if-match", opsCopy, used, nil, "", ""},
	{"x-amz-copy-source-if-none-match", opsCopy, used, nil, "", ""},
	{"x-amz-copy-source-if-modified-since", opsCopy, used, nil, "", ""},
	{"x-amz-copy-source-if-unmodified-since", opsCopy, used, nil, "", ""},
	{"x-amz-copy-source-server-side-encryption-*", everyOp, refused, nil, "",
		"no encryption with customer keys"},
	{"x-amz-metadata-directive", opsOf(opCopyObject), used, nil, "",
		"COPY takes the source's metadata and, as S3 does, none of the request's; REPLACE the request's"},
	{"x-amz-metadata-directive", everyOther, refused, nil, "InvalidArgument", "only copies have a directive"},
	{"x-amz-tagging-directive", opsOf(opCopyObject), fixed, []string{"COPY"}, "", "there are no tags"},

	{"x-amz-expected-bucket-owner", everyOp ^ opsOf(opListBuckets, opCreateBucket), used, nil, "",
		"an access key id: the bucket's owner"},
	{"x-amz-source-expected-bucket-owner", opsCopy, used, nil, "",
		"an access key id: the owner of the source"},
	{"x-granary-consistency", everyOp ^ opsOf(opListBuckets, opCreateBucket), used, nil, "",
		"read-after-write, monotonic or eventual; else the bucket's level"},
	{"x-amz-request-payer", everyOp, fixed, []string{"requester"}, "", "nobody pays"},
	{"x-amz-acl", opsKeep | opsOf(opCreateBucket), fixed, []string{"private", "bucket-owner-full-control"},
		"",
		"access is by grants on buckets"},
	{"x-amz-grant-*", everyOp, refused, nil, "", "access is by grants on buckets"},
	{"x-amz-object-ownership", opsOf(opCreateBucket), fixed, []string{"BucketOwnerEnforced"}, "", ""},
	{"x-amz-bucket-object-lock-enabled", opsOf(opCreateBucket), fixed, []string{"false", "False"}, "", ""},
	{"x-amz-bucket-namespace", opsOf(opCreateBucket), fixed, []string{"global"}, "", ""},
	{"x-amz-storage-class", opsKeep, fixed, []string{"STANDARD"}, "InvalidStorageClass", ""},
	{"x-amz-server-side-encryption*", everyOp, refused, nil, "", "objects are not encrypted by the server"},
	{"x-amz-object-lock-*", everyOp, refused, nil, "", "no object lock"},
	{"x-amz-bypass-governance-retention", everyOp, refused, nil, "", "no object lock"},
	{"x-amz-mfa", everyOp, refused, nil, "", "no versions to protect"},
	{"x-amz-tagging", everyOp, refused, nil, "", "no tags"},
	{"x-amz-website-redirect-location", everyOp, refused, nil, "", "no web sites"},
	{"x-amz-write-offset-bytes", everyOp, refused, nil, "", "no appending"},
	{"x-amz-object-attributes", everyOp, refused, nil, "", "no GetObjectAttributes"},
	{"x-amz-optional-object-attributes", everyOp, refused, nil, "", "listings have no further attributes"},

	{"x-amz-user-agent", everyOp, harmless, nil, "", "telemetry"},
	{"x-amz-id-2", everyOp, harmless, nil, "", "telemetry"},
	{"x-amz-request-id", everyOp, harmless, nil, "", "telemetry"},
	{"x-amzn-trace-id", everyOp, harmless, nil, "", "telemetry"},
	{"x-amz-cf-id", everyOp, harmless, nil, "", "telemetry"},
	{"amz-sdk-invocation-id", everyOp, harmless, nil, "", "telemetry"},
	{"amz-sdk-request", everyOp, harmless, nil, "", "telemetry"},
	{"User-Agent", everyOp, harmless, nil, "", "telemetry"},
	{"Accept*", everyOp, harmless, nil, "", "answers come in one form"},
	{"Origin", everyOp, used, nil, "", "the bucket's CORS rules say what the answer tells the page"},
}

// paramRules says of every parameter what becomes of it, those that choose an operation apart (selectors). A
// parameter that is not here is refused on operations that change what is stored, and harmless on others, as
// at S3.
var paramRules = []rule{
	{"X-Amz-Algorithm", everyOp, used, nil, "", "presigned"},
	{"X-Amz-Credential", everyOp, used, nil, "", "presigned"},
	{"X-Amz-Date", everyOp, used, nil, "", "presigned"},
	{"X-Amz-Expires", everyOp, used, nil, "", "presigned"},
	{"X-Amz-SignedHeaders", everyOp, used, nil, "", "presigned"},
	{"X-Amz-Signature", everyOp, used, nil, "", "presigned"},
	{"X-Amz-Content-Sha256", everyOp, used, nil, "", "presigned"},
	{"x-id", everyOp, harmless, nil, "", "telemetry: the operation's name"},

	{"location", opsOf(opGetBucketLocation), used, nil, "", ""},
	{"cors", opsCORS, used, nil, "", ""},
	{"uploads", opsOf(opListMultipartUploads, opCreateMultipartUpload), used, nil, "", ""},
	{"delete", opsOf(opDeleteObjects), used, nil, "", ""},
	{"list-type", opsOf(opListObjectsV2), used, nil, "", "2"},
	{"uploadId", opsUpload, used, nil, "", ""},
	{"partNumber", opsPart | opsReadObject, used, nil, "", "1 to 10000"},
	{"versionId", everyOp, refused, nil, "", "objects have one version"},

	{"prefix", opsList | opsOf(opListBuckets), used, nil, "", ""},
	{"delimiter", opsList, used, nil, "", ""},
	{"encoding-type", opsList | opsOf(opListParts), used, nil, "", "url"},
	{"max-keys", opsOf(opListObjects, opListObjectsV2), used, nil, "", "0 to 1000; more counts as 1000"},
	{"marker", opsOf(opListObjects), used, nil, "", ""},
	{"start-after", opsOf(opListObjectsV2), used, nil, "", ""},
	{"continuation-token", opsOf(opListObjectsV2, opListBuckets), used, nil, "", ""},
	{"fetch-owner", opsOf(opListObjectsV2), used, nil, "", ""},
	{"key-marker", opsOf(opListMultipartUploads), used, nil, "", ""},
	{"upload-id-marker", opsOf(opListMultipartUploads), used, nil, "", ""},
	{"max-uploads", opsOf(opListMultipartUploads), used, nil, "", "0 to 1000; more counts as 1000"},
	{"part-number-marker", opsOf(opListParts), used, nil, "", ""},
	{"max-parts", opsOf(opListParts), used, nil, "", "0 to 1000; more counts as 1000"},
	{"max-buckets", opsOf(opListBuckets), used, nil, "", "1 to 10000"},
	{"bucket-region", opsOf(opListBuckets), used, nil, "", ""},

	{"response-cache-control", opsReadObject, used, nil, "", "overrides the header"},
	{"response-content-disposition", opsReadObject, used, nil, "", "overrides the header"},
	{"response-content-encoding", opsReadObject, used, nil, "", "overrides the header"},
	{"response-content-language", opsReadObject, used, nil, "", "overrides the header"},
	{"response-content-type", opsReadObject, used, nil, "", "overrides the header"},
	{"response-expires", opsReadObject, used, nil, "", "overrides the header"},
}

// ruleIndex finds rules by name.
type ruleIndex struct {
	exact  map[string][]*rule
	prefix []*rule // names that end with *, without it
}

var (
	headerIndex = indexRules(headerRules, http.CanonicalHeaderKey)
	paramIndex  = indexRules(paramRules, func(name string) string { return name })
)

// indexRules indexes a table by the form in which requests carry its names.
func indexRules(table []rule, form func(string) string) ruleIndex {
	x := ruleIndex{exact: make(map[string][]*rule, len(table))}
	for i := range table {
		r := &table[i]
		if stem, ok := strings.CutSuffix(r.name, "*"); ok {
			r := *r
			r.name = form(stem)
			x.prefix = append(x.prefix, &r)
			continue
		}
		x.exact[form(r.name)] = append(x.exact[form(r.name)], r)
	}
	return x
}

// find returns the rule of a name for an operation, nil when the name is unknown there.
func (x *ruleIndex) find(name string, op opID) *rule {
	for _, r := range x.exact[name] {
		if r.ops.has(op) {
			return r
		}
	}
	for _, r := range x.prefix {
		if r.ops.has(op) && strings.HasPrefix(name, r.name) {
			return r
		}
	}
	return nil
}
