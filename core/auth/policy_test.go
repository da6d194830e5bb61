package auth

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

var postTime = time.Date(2015, 12, 29, 0, 0, 0, 0, time.UTC)

const postPolicy = `{ "expiration": "2015-12-30T12:00:00.000Z",
  "conditions": [
    {"bucket": "sigv4examplebucket"},
    ["starts-with", "$key", "user/user1/"],
    {"acl": "public-read"},
    {"success_action_status": 201},
    ["starts-with", "$Content-Type", "image/"],
    ["eq", "$x-amz-meta-uuid", "14365123651274"],
    ["starts-with", "$x-amz-meta-tag", ""],
    ["content-length-range", 10, "100"],
    ["content-length-range", 0, 1000],
    {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request"},
    {"x-amz-algorithm": "AWS4-HMAC-SHA256"},
    {"x-amz-date": "20151229T000000Z" }
  ]
}`

// postForm signs a policy and adds the fields that postPolicy asks for.
func postForm(policy string) Form {
	form := docSigner().SignPolicy(base64.StdEncoding.EncodeToString([]byte(policy)), postTime)
	return append(form, Form{
		{"key", "user/user1/${filename}"}, {"acl", "public-read"}, {"success_action_status", "201"},
		{"Content-Type", "image/png, image/jpeg"}, {"x-amz-meta-uuid", "14365123651274"},
		{"x-amz-meta-tag", "anything"}, {"x-ignore-me", "yes"},
	}...)
}

// post verifies a form posted to the example's bucket.
func post(f Form, now time.Time) (PostVerified, error) {
	return docVerifier().VerifyPost(f, "sigv4examplebucket", "user/user1/photo.png", now, docLookup)
}

func TestDocumentedPostSignature(t *testing.T) {
	const document = "" +
		"eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6IFsNCiAgICB7ImJ1" +
		"Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXkiLCAidXNlci91c2VyMS8i" +
		"XSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25fcmVkaXJlY3QiOiAiaHR0cDov" +
		"L3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBsb2FkLmh0bWwifSwNCiAgICBbInN0" +
		"YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUx" +
		"MjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRpb24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFy" +
		"dHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZP" +
		"RE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRfcmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGht" +
		"IjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9"
	form := docSigner().SignPolicy(document, postTime)
	got, _ := form.get("X-Amz-Signature")
	if want := "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e"; got != want {
		t.Fatalf("signed %s, want %s", got, want)
	}
	if p, err := ParsePolicy(document); err != nil || len(p.conditions) != 11 || p.SizeMax != -1 {
		t.Fatalf("%+v, %v", p, err)
	}
}

func TestPost(t *testing.T) {
	v, err := post(postForm(postPolicy), postTime)
	if err != nil {
		t.Fatal(err)
	}
	if v.Mechanism != ByForm || v.Key != docKey || v.Policy.SizeMin != 10 || v.Policy.SizeMax != 100 {
		t.Fatalf("%+v", v)
	}
	for size, want := range map[int64]error{9: ErrPolicyTooSmall, 10: nil, 100: nil, 101: ErrPolicyTooLarge} {
		if err := v.Policy.CheckSize(size); want == nil && err != nil || want != nil && !errors.Is(err,
			want) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if v, err := post(Form{{"key", "k"}}, postTime); err != nil || v.Mechanism != Anonymous {
		t.Fatalf("an unsigned form: %+v, %v", v, err)
	}
}

func TestBadPosts(t *testing.T) {
	set := func(name, value string) func(*Form) {
		return func(f *Form) {
			i := slices.IndexFunc(*f, func(field Field) bool { return strings.EqualFold(field.Name, name) })
			(*f)[i].Value = value
		}
	}
	drop := func(name string) func(*Form) {
		return func(f *Form) {
			*f = slices.DeleteFunc(*f, func(field Field) bool { return strings.EqualFold(field.Name, name) })
		}
	}
	add := func(name, value string) func(*Form) {
		return func(f *Form) {
			*f = append(*f, Field{name,
				value})
		}
	}
	cases := []struct {
		name  string
		spoil func(*Form)
		now   time.Time
		kind  Kind
		code  string
	}{
		{"expired", func(*Form) {}, postTime.Add(36 * time.Hour), ErrExpired, "AccessDenied"},
		{"no policy", drop("policy"), postTime, ErrMalformedPolicy, "MalformedPOSTRequest"},
		{"no date", drop("x-amz-date"), postTime, ErrMalformedPolicy, "MalformedPOSTRequest"},
		{"field twice", add("ACL", "public-read"), postTime, ErrMalformedPolicy, "MalformedPOSTRequest"},
		{"huge policy", set("policy", strings.Repeat("a", PolicyMax+1)), postTime, ErrMalformedPolicy,
			"MalformedPOSTRequest"},
		{"other policy", set("policy", "e30="), postTime, ErrSignature, "SignatureDoesNotMatch"},
		{"bad signature", set("x-amz-signature", "00"), postTime, ErrMalformedAuthorization,
			"InvalidArgument"},
		{"bad date", set("x-amz-date", "2015"), postTime, ErrMalformedDate, "InvalidArgument"},
		{"other day", set("x-amz-date", "20151230T000000Z"), postTime, ErrMalformedAuthorization,
			"InvalidArgument"},
		{"other region", set("x-amz-credential", "a/20151229/us-east-2/s3/aws4_request"), postTime,
			ErrMalformedAuthorization, "InvalidArgument"},
		{"unknown key", set("x-amz-credential", "a/20151229/us-east-1/s3/aws4_request"), postTime,
			ErrUnknownKey,
			"InvalidAccessKeyId"},
		{"SigV4A", set("x-amz-algorithm", "AWS4-ECDSA-P256-SHA256"), postTime, ErrUnsupportedMechanism,
			"InvalidRequest"},
		{"SigV2", func(f *Form) { *f = Form{{"AWSAccessKeyId", "a"}, {"signature", "b"}} }, postTime,
			ErrUnsupportedMechanism, "InvalidRequest"},
		{"token", add("x-amz-security-token", "t"), postTime, ErrSessionToken, "InvalidToken"},
		{"eq", set("acl", "private"), postTime, ErrPolicyViolated, "AccessDenied"},
		{"eq, missing", drop("acl"), postTime, ErrPolicyViolated, "AccessDenied"},
		{"starts-with in a list", set("Content-Type", "image/png,text/html"), postTime, ErrPolicyViolated,
			"AccessDenied"},
		{"field without a condition", add("x-amz-meta-other", "1"), postTime, ErrPolicyViolated,
			"AccessDenied"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			form := postForm(postPolicy)
			c.spoil(&form)
			_, err := post(form, c.now)
			var e *Error
			if !errors.Is(err, c.kind) || !errors.As(err, &e) || e.Code() != c.code {
				t.Fatalf("got %v, want %q, %s", err, c.kind, c.code)
			}
		})
	}
	if _, err := docVerifier().VerifyPost(postForm(postPolicy), "other", "user/user1/x", postTime,
		docLookup); !errors.Is(
		err, ErrPolicyViolated) {
		t.Errorf("another bucket: %v", err)
	}
	if _, err := docVerifier().VerifyPost(postForm(postPolicy), "sigv4examplebucket", "user/user2/x",
		postTime,
		docLookup); !errors.Is(err, ErrPolicyViolated) {
		t.Errorf("another key: %v", err)
	}
}

func TestBadPolicies(t *testing.T) {
	with := func(conditions string) string {
		return `{"expiration":"2015-12-30T12:00:00Z","conditions":[` + conditions + `]}`
	}
	for _, bad := range []string{
		``, `{`, `[]`, `null x`, `{"conditions":[]}`, `{"expiration":"tomorrow"}`, with(``) + `{}`,
		with(``) + `}`,
		with(`1`), with(`null`), with(`{}`), with(`{"a":"b","c":"d"}`), with(`{"a":["b"]}`),
		with(`{"":"b"}`), with(`[]`),
		with(`["eq","$a"]`), with(`["eq","a","b"]`), with(`["eq","$","b"]`), with(`["eq",1,"b"]`),
		with(`["eq","$a",null]`),
		with(`["ends-with","$a","b"]`), with(`[1,"$a","b"]`), with(`["content-length-range",2,1]`),
		with(`["content-length-range",-1,1]`), with(`["content-length-range","a",1]`),
		with(`["content-length-range",0,1.5]`), with(strings.Repeat(`{"a":"b"},`, 300) + `{"a":"b"}`),
	} {
		if _, err := ParsePolicy(base64.StdEncoding.EncodeToString([]byte(bad))); !errors.Is(err,
			ErrMalformedPolicy) {
			t.Errorf("%.80s: %v", bad, err)
		}
	}
	if _, err := ParsePolicy("***"); !errors.Is(err, ErrMalformedPolicy) {
		t.Errorf("no base64: %v", err)
	}
	p, err := ParsePolicy(base64.StdEncoding.EncodeToString([]byte(with(`{"bucket":"b"}`))))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(nil, "b", "k", postTime); !errors.Is(err, ErrPolicyViolated) {
		t.Errorf("a policy that does not name the key: %v", err)
	}
}
