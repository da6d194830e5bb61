package auth

import "strings"

// Kind is the stable reason of a refusal; compare with errors.Is. Zero is no kind.
type Kind uint8

// The kinds of refusal.
const (
	ErrMalformedAuthorization Kind = iota + 1 // the credentials do not parse or name another scope
	ErrTwoMechanisms                          // a header and a query signature, or one of them twice
	ErrUnsupportedMechanism                   // SigV2, SigV4A, Bearer and the like
	ErrSessionToken                           // temporary credentials: there are none here
	ErrUnknownKey                             // no such access key
	ErrMissingDate                            // neither X-Amz-Date nor Date
	ErrMalformedDate                          // a date that does not parse
	ErrSkew                                   // the request's time is too far from ours
	ErrNotYetValid                            // a presigned URL dated in the future
	ErrExpired                                // a presigned URL or a policy past its end
	ErrUnsignedHeader                         // Host or an x-amz-* header that the signature does not cover
	ErrMissingContentSHA256                   // the header form without x-amz-content-sha256
	ErrMalformedContentSHA256                 // x-amz-content-sha256 with a value of no known kind
	ErrMalformedURI                           // a path or query with a bad percent escape
	ErrTooLarge                               // a header, query or policy beyond the limits
	ErrSignature                              // the request's signature is wrong
	ErrMalformedPolicy                        // a POST form or its policy does not parse
	ErrPolicyViolated                         // a POST form does not fulfil its policy
	ErrPolicyTooSmall                         // the file is smaller than the policy's range
	ErrPolicyTooLarge                         // the file is larger than the policy's range
	ErrChunkSignature                         // a chunk's signature is wrong
	ErrTrailerSignature                       // the trailer's signature is wrong or missing
	ErrMalformedChunk                         // the chunked framing is broken
	ErrMalformedTrailer                       // the trailer does not parse or is not what was announced
	ErrIncompleteBody                         // the body ended early
	ErrBodyTooLong                            // the body is longer than announced
	ErrMissingDecodedLength                   // a chunked body without x-amz-decoded-content-length
	ErrMalformedLength                        // a length that is no number or out of range
	ErrContentSHA256Mismatch                  // the body does not hash to x-amz-content-sha256
	ErrMalformedMD5                           // Content-MD5 is not the base64 of 16 bytes
	ErrMD5Mismatch                            // the body does not hash to Content-MD5
	ErrMalformedChecksum                      // a checksum header that does not parse, or several
	ErrChecksumMismatch                       // the body does not match its x-amz-checksum
	ErrUnknownAlgorithm                       // a checksum algorithm or type nobody here computes
)

// kinds holds for every Kind its S3 code and what it says. The code of the first is for the header form.
var kinds = [...]struct{ code, text string }{
	ErrMalformedAuthorization: {"AuthorizationHeaderMalformed", "the credentials are malformed"},
	ErrTwoMechanisms:          {"InvalidArgument", "only one authentication mechanism is allowed"},
	ErrUnsupportedMechanism:   {"InvalidRequest", "the authorization mechanism is not supported"},
	ErrSessionToken:           {"InvalidToken", "session tokens are not supported"},
	ErrUnknownKey:             {"InvalidAccessKeyId", "the access key does not exist"},
	ErrMissingDate:            {"AccessDenied", "a signed request needs x-amz-date or Date"},
	ErrMalformedDate:          {"AccessDenied", "the date of the request is malformed"},
	ErrSkew:                   {"RequestTimeTooSkewed", "the request's time is too far from the server's"},
	ErrNotYetValid:            {"AccessDenied", "the request is not valid yet"},
	ErrExpired:                {"AccessDenied", "the request has expired"},
	ErrUnsignedHeader:         {"AccessDenied", "a header that must be signed is not"},
	ErrMissingContentSHA256:   {"MissingSecurityHeader", "the header x-amz-content-sha256 is missing"},
	ErrMalformedContentSHA256: {"InvalidArgument", "the value of x-amz-content-sha256 is not valid"},
	ErrMalformedURI:           {"InvalidURI", "the URI does not parse"},
	ErrTooLarge:               {"RequestHeaderSectionTooLarge", "the request's metadata is too large"},
	ErrSignature:              {"SignatureDoesNotMatch", "the signature does not match"},
	ErrMalformedPolicy:        {"MalformedPOSTRequest", "the form or its policy is malformed"},
	ErrPolicyViolated:         {"AccessDenied", "the form does not fulfil its policy"},
	ErrPolicyTooSmall:         {"EntityTooSmall", "the file is smaller than the policy allows"},
	ErrPolicyTooLarge:         {"EntityTooLarge", "the file is larger than the policy allows"},
	ErrChunkSignature:         {"SignatureDoesNotMatch", "the signature of a chunk does not match"},
	ErrTrailerSignature:       {"SignatureDoesNotMatch", "the signature of the trailer does not match"},
	ErrMalformedChunk:         {"InvalidRequest", "the chunked encoding is malformed"},
	ErrMalformedTrailer:       {"MalformedTrailerError", "the trailer is malformed"},
	ErrIncompleteBody:         {"IncompleteBody", "the body is shorter than announced"},
	ErrBodyTooLong:            {"InvalidRequest", "the body is longer than announced"},
	ErrMissingDecodedLength:   {"MissingContentLength", "the header x-amz-decoded-content-length is missing"},
	ErrMalformedLength:        {"InvalidArgument", "the length is not valid"},
	ErrContentSHA256Mismatch:  {"XAmzContentSHA256Mismatch", "the body does not match x-amz-content-sha256"},
	ErrMalformedMD5:           {"InvalidDigest", "the value of Content-MD5 is not valid"},
	ErrMD5Mismatch:            {"BadDigest", "the body does not match Content-MD5"},
	ErrMalformedChecksum:      {"InvalidRequest", "the checksum header is not valid"},
	ErrChecksumMismatch:       {"BadDigest", "the body does not match its checksum"},
	ErrUnknownAlgorithm:       {"InvalidRequest", "the checksum algorithm or type is not supported"},
}

// Error returns what the kind says.
func (k Kind) Error() string {
	if k == 0 || int(k) >= len(kinds) {
		return "unknown kind"
	}
	return kinds[k].text
}

// Code returns the S3 error code of the kind in the header form; [Error.Code] knows the other forms.
func (k Kind) Code() string {
	if k == 0 || int(k) >= len(kinds) {
		return "InternalError"
	}
	return kinds[k].code
}

// Error is one refusal. errors.Is finds its Kind, and its Cause when there is one.
type Error struct {
	Op        string    // what was being done: "verify", "read body", …
	Kind      Kind      // never zero
	Mechanism Mechanism // the form of the credentials; zero when they play no part
	Subject   string    // the header, parameter or field, with its value or bound; never a secret
	Hint      string    // what to do next; may be empty
	Region    string    // the right region when the request named another one; else empty
	Cause     error     // may be nil

	// What we hashed and signed, when Kind is ErrSignature: the client compares it with its own.
	CanonicalRequest string
	StringToSign     string
}

// Error returns operation, subject, kind, cause and hint on one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("auth: ")
	b.WriteString(e.Op)
	b.WriteString(": ")
	if e.Subject != "" {
		b.WriteString(e.Subject)
		b.WriteString(": ")
	}
	b.WriteString(e.Kind.Error())
	if e.Cause != nil {
		b.WriteString(": ")
		b.WriteString(e.Cause.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap lets errors.Is and errors.As reach the kind and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Code returns the S3 error code. S3 names malformed credentials after the place they were found in.
func (e *Error) Code() string {
	if e.Kind == ErrMalformedAuthorization || e.Kind == ErrMalformedDate {
		switch e.Mechanism {
		case ByQuery:
			return "AuthorizationQueryParametersError"
		case ByForm:
			return "InvalidArgument"
		}
	}
	return e.Kind.Code()
}

// refuse returns an Error of the verifier.
func refuse(kind Kind, subject, hint string) *Error {
	return &Error{Op: "verify", Kind: kind, Subject: subject, Hint: hint}
}
