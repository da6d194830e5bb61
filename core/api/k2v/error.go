package k2v

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"granary/core/auth"
	"granary/core/block"
	"granary/core/bucket"
	"granary/core/k2v"
	"granary/core/quorum"
	"granary/core/rpc"
)

// statuses are those of the codes that are ever answered.
var statuses = map[string]int{
	"AccessDenied": 403, "InvalidAccessKeyId": 403, "SignatureDoesNotMatch": 403, "RequestTimeTooSkewed": 403,
	"InternalError": 500, "InvalidBucketName": 400, "InvalidRequest": 400, "ItemFull": 409,
	"MethodNotAllowed": 405, "NoSuchBucket": 404, "NoSuchKey": 404, "NotAcceptable": 406, "NotModified": 304,
	"OutcomeUnknown": 503, "ServiceUnavailable": 503, "SlowDown": 503, "InsufficientStorage": 507,
}

// kinds maps the kinds of errors of the packages below to codes.
var kinds = []struct {
	kind error
	code string
}{
	{quorum.ErrUnknown, "OutcomeUnknown"}, // first: why a replica refused does not tell what others did
	{k2v.ErrInvalid, "InvalidRequest"},
	{k2v.ErrFull, "ItemFull"},
	{k2v.ErrNoSuchItem, "NoSuchKey"},
	{k2v.ErrNothingNew, "NotModified"},
	{k2v.ErrTooManyPolls, "SlowDown"},
	{bucket.ErrClosed, "OutcomeUnknown"},
	{block.ErrDiskFull, "InsufficientStorage"},
	{rpc.ErrOverloaded, "SlowDown"},
	{quorum.ErrUnavailable, "ServiceUnavailable"},
	{bucket.ErrNoSuchBucket, "NoSuchBucket"},
	{bucket.ErrInvalidName, "InvalidBucketName"},
}

// failure is what a request is refused with.
type failure struct {
	code, message string
	cause         error // for the log
}

// Error implements error.
func (f *failure) Error() string { return f.code + ": " + f.message }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.cause }

func (f *failure) status() int {
	if s, ok := statuses[f.code]; ok {
		return s
	}
	return http.StatusBadRequest // codes of package auth
}

func refuse(code, format string, args ...any) *failure {
	return &failure{code: code, message: fmt.Sprintf(format, args...)}
}

// badRequest refuses what a client sent; the text names the field.
func badRequest(format string, args ...any) *failure {
	return refuse("InvalidRequest", format, args...)
}

// mayHaveHappened is added to what is told of a failed write.
const mayHaveHappened = "; the write may have happened, or may yet: read before writing again"

// classify turns any error into a failure. writes says whether the request may have changed something.
func classify(err error, writes bool) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	var a *auth.Error
	if errors.As(err, &a) {
		message := a.Kind.Error()
		if a.Subject != "" {
			message += ": " + a.Subject
		}
		if a.Hint != "" {
			message += " (" + a.Hint + ")"
		}
		return &failure{code: a.Code(), message: message, cause: err}
	}
	for _, k := range kinds {
		if errors.Is(err, k.kind) && (writes || k.code != "OutcomeUnknown") {
			return &failure{code: k.code, message: err.Error(), cause: err}
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		f := &failure{code: "ServiceUnavailable", message: "the request took longer than its deadline",
			cause: err}
		if writes {
			f.code, f.message = "OutcomeUnknown", f.message+mayHaveHappened
		}
		return f
	}
	f = &failure{code: "InternalError", message: "the server failed; its log tells more", cause: err}
	if writes {
		f.message += mayHaveHappened
	}
	return f
}

// fail answers with an error, and logs it.
func (c *call) fail(err error) error {
	f := classify(err, c.op != nil && c.op.writes)
	if c.status != 0 {
		return errAborted
	}
	status := f.status()
	if status == http.StatusNotModified {
		return c.empty(status)
	}
	write := c.Env.Info
	if status >= 500 {
		write = c.Env.Warn
	}
	write("k2v request failed", "operation", c.name(), "status", status, "code", f.code, "bucket",
		c.bucketName,
		"signer", string(c.verified.Key), "error", err.Error())
	if status == http.StatusServiceUnavailable {
		c.w.Header().Set("Retry-After", "2")
	}
	path, _ := requestLine(c.http)
	return c.answer(status, map[string]string{"code": f.code, "message": f.message, "region": c.Region,
		"path": path})
}
