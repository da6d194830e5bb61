package s3

import (
	"context"
	"errors"
	"strings"

	"granary/core/auth"
	"granary/core/block"
	"granary/core/bucket"
	"granary/core/cors"
	"granary/core/object"
	"granary/core/quorum"
	"granary/core/rpc"
)

// code is one row of the table of S3 error codes.
type code struct {
	name    string
	status  int
	message string // unless the failure has its own
}

// codes lists every code that is ever answered.
var codes = []code{
	{"AccessDenied", 403, "Access denied."},
	{"AccessForbidden", 403, "No CORS rule allows this: the bucket has none for the origin, method and " +
		"headers, or is not there."},
	{"AuthorizationHeaderMalformed", 400, "The authorization header is malformed."},
	{"AuthorizationQueryParametersError", 400, "The parameters of the presigned URL are malformed."},
	{"BadDigest", 400, "The body does not match the digest or checksum that was sent."},
	{"BadRequest", 400, "The request is not valid."},
	{"BlockLost", 500, "A part of the object's content was lost, and given up by an operator: the rest " +
		"can be read by ranges; write the object again, or delete it."},
	{"BucketAlreadyExists", 409, "The bucket name is taken by another owner."},
	{"BucketAlreadyOwnedByYou", 409, "The bucket exists and is yours."},
	{"BucketNotEmpty", 409, "The bucket is not empty."},
	{"EntityTooLarge", 400, "The body or object is larger than the maximum."},
	{"EntityTooSmall", 400, "A part other than the last is smaller than 5 MiB."},
	{"IncompleteBody", 400, "The body ended before the announced length."},
	{"InsufficientStorage", 507, "The disks of too many replicas are full: free space or add nodes."},
	{"InternalError", 500, "The server failed; its log tells more under this request id."},
	{"InvalidAccessKeyId", 403, "The access key id does not exist."},
	{"InvalidArgument", 400, "An argument is not valid."},
	{"InvalidBucketName", 400, "The bucket name breaks the rules: 3 to 63 lower-case letters, digits, " +
		"dots and hyphens."},
	{"InvalidDigest", 400, "The value of Content-MD5 is not valid."},
	{"InvalidLocationConstraint", 400, "The location constraint is not this endpoint's region."},
	{"InvalidPart", 400, "A part was not found, or its ETag or checksum differs."},
	{"InvalidPartNumber", 416, "The object has no such part."},
	{"InvalidPartOrder", 400, "The parts are not in ascending order."},
	{"InvalidRange", 416, "The range is not satisfiable."},
	{"InvalidRequest", 400, "The request is not valid."},
	{"InvalidStorageClass", 400, "The only storage class is STANDARD."},
	{"InvalidToken", 400, "Session tokens are not supported."},
	{"InvalidURI", 400, "The URI does not parse."},
	{"KeyTooLongError", 400, "The key is longer than 1024 bytes."},
	{"MalformedPOSTRequest", 400, "The form is malformed."},
	{"MalformedTrailerError", 400, "The trailer is malformed."},
	{"MalformedXML", 400, "The XML document is malformed or not of the expected form."},
	{"MaxMessageLengthExceeded", 400, "The document is too large."},
	{"MetadataTooLarge", 400, "The user metadata is larger than 2048 bytes."},
	{"MethodNotAllowed", 405, "The method is not allowed on this resource."},
	{"MissingContentLength", 411, "The Content-Length header is needed."},
	{"MissingSecurityHeader", 400, "A header that the signature needs is missing."},
	{"NoSuchBucket", 404, "The bucket does not exist."},
	{"NoSuchCORSConfiguration", 404, "The bucket has no CORS rules."},
	{"NoSuchKey", 404, "The key does not exist."},
	{"NoSuchUpload", 404, "The upload does not exist; it may have been completed or aborted."},
	{"NotImplemented", 501, "The request asks for something that is not implemented."},
	{"NotModified", 304, "Not modified."},
	{"OutcomeUnknown", 503, "The outcome of the write is unknown: it may have happened, or may yet. " +
		"Repeating it is safe and is a new write."},
	{"PreconditionFailed", 412, "A condition of the request does not hold."},
	{"RequestHeaderSectionTooLarge", 400, "The headers of the request are too large."},
	{"RequestTimeTooSkewed", 403, "The request's time differs too much from the server's."},
	{"RequestTimeout", 400, "The body did not arrive in time."},
	{"ServiceUnavailable", 503, "The request was not carried out: try again."},
	{"SignatureDoesNotMatch", 403, "The signature does not match: check the secret key and what was signed."},
	{"SlowDown", 503, "The request was not carried out because there are too many: try again, more slowly."},
	{"XAmzContentSHA256Mismatch", 400, "The body does not match x-amz-content-sha256."},
}

// codeOf finds codes by name.
var codeOf = func() map[string]*code {
	m := make(map[string]*code, len(codes))
	for i := range codes {
		m[codes[i].name] = &codes[i]
	}
	return m
}()

// kinds maps the kinds of errors of the packages below to codes. Told kinds have texts that are meant for
// clients.
var kinds = []struct {
	kind error
	code string
	told bool
}{
	{quorum.ErrUnknown, "OutcomeUnknown", true},
	{bucket.ErrClosed, "OutcomeUnknown", true},
	{block.ErrDiskFull, "InsufficientStorage", true},
	{rpc.ErrOverloaded, "SlowDown", true},
	{block.ErrLost, "BlockLost", true},
	{quorum.ErrUnavailable, "ServiceUnavailable", true},
	{object.ErrNoSuchKey, "NoSuchKey", false},
	{object.ErrNoSuchUpload, "NoSuchUpload", false},
	{object.ErrUploadConflict, "NoSuchUpload", true},
	{object.ErrInvalidPart, "InvalidPart", true},
	{object.ErrPartOrder, "InvalidPartOrder", false},
	{object.ErrPartTooSmall, "EntityTooSmall", true},
	{object.ErrTooLarge, "EntityTooLarge", true},
	{object.ErrInvalidRange, "InvalidRange", false},
	{object.ErrBadKey, "InvalidURI", true},
	{object.ErrBadToken, "InvalidArgument", true},
	{bucket.ErrNoSuchBucket, "NoSuchBucket", false},
	{bucket.ErrBucketExists, "BucketAlreadyExists", false},
	{bucket.ErrBucketOwned, "BucketAlreadyOwnedByYou", false},
	{bucket.ErrBucketNotEmpty, "BucketNotEmpty", false},
	{bucket.ErrInvalidName, "InvalidBucketName", true},
	{bucket.ErrNoSuchKey, "InvalidAccessKeyId", false},
	{bucket.ErrDenied, "AccessDenied", false},
	{cors.ErrInvalid, "InvalidRequest", true},
}

// failure is what a request is refused with.
type failure struct {
	*code
	message string  // empty: the code's
	details []param // further elements of the document
	cause   error   // for the log
	wait    int     // seconds of Retry-After; 0 for none
}

// Error returns code, message and cause.
func (f *failure) Error() string {
	s := f.name + ": " + f.text()
	if f.cause != nil {
		s += ": " + f.cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.cause }

// text returns what the client is told.
func (f *failure) text() string {
	if f.message != "" {
		return f.message
	}
	return f.code.message
}

// with adds an element to the document.
func (f *failure) with(name, value string) *failure {
	f.details = append(f.details, param{name, value})
	return f
}

// refuse returns a failure with a message, or the code's when it is empty.
func refuse(name, message string) *failure {
	c := codeOf[name]
	if c == nil {
		c = codeOf["InternalError"]
	}
	f := &failure{code: c, message: message}
	if c.status == 503 {
		f.wait = 2
	}
	return f
}

// refuseCause is refuse that keeps the cause for the log.
func refuseCause(name, message string, cause error) *failure {
	f := refuse(name, message)
	f.cause = cause
	return f
}

// invalidArgument refuses a header's or parameter's value.
func invalidArgument(name, value, message string) *failure {
	return refuse("InvalidArgument", message).with("ArgumentName", name).with("ArgumentValue", value)
}

// classify turns any error into a failure. Writes says whether the request may have changed something.
func classify(err error, writes bool) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var a *auth.Error
	if errors.As(err, &a) {
		return classifyAuth(a)
	}
	for _, k := range kinds {
		if !errors.Is(err, k.kind) || k.code == "OutcomeUnknown" && !writes {
			continue
		}
		message := ""
		if k.told {
			message = codeOf[k.code].message + " " + err.Error()
		}
		return refuseCause(k.code, message, err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		if writes {
			return refuseCause("OutcomeUnknown", "", err)
		}
		return refuseCause("ServiceUnavailable", "The request took longer than its deadline.", err)
	}
	return refuseCause("InternalError", "", err)
}

// classifyAuth turns a refusal of package auth into a failure.
func classifyAuth(a *auth.Error) *failure {
	text := a.Kind.Error()
	message := strings.ToUpper(text[:1]) + text[1:]
	if a.Subject != "" {
		message += ": " + a.Subject
	}
	if a.Hint != "" {
		message += " (" + a.Hint + ")"
	}
	f := refuseCause(a.Code(), message+".", a)
	if a.Region != "" {
		f.with("Region", a.Region)
	}
	if a.StringToSign != "" {
		f.with("StringToSign", a.StringToSign).with("CanonicalRequest", a.CanonicalRequest)
	}
	return f
}
