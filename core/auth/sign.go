package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signer signs requests as a client. All fields but PathTwice must be set.
type Signer struct {
	Key       KeyID
	Secret    Secret
	Region    string
	Service   string
	PathTwice bool // as in Verifier
}

// PayloadHash returns the value of x-amz-content-sha256 for a mode; sum is the body's hash, used when Hashed.
func PayloadHash(m Mode, sum [32]byte) string {
	if m == Hashed {
		return hex.EncodeToString(sum[:])
	}
	return modeNames[m]
}

// Sign sets X-Amz-Date, X-Amz-Content-Sha256 and Authorization in r.Header, which must not be nil. Payload
// is from [PayloadHash]. Covered are Host, Date, Range, all Content-* but the length, and all x-amz-*
// headers.
//
// The result signs the chunks of the body when payload announces signed chunks, else it is nil.
// Errors: ErrMalformedURI for a path or query with a bad escape.
func (s *Signer) Sign(r *Request, now time.Time, payload string) (*ChunkSigner, error) {
	c := s.claim(now, payload)
	r.Header["X-Amz-Date"] = []string{c.stamp}
	r.Header["X-Amz-Content-Sha256"] = []string{payload}
	c.signed = signable(r)
	var err error
	if c.params, err = parseQuery(r.Query); err != nil {
		return nil, err
	}
	key, err := s.seal(r, &c)
	if err != nil {
		return nil, err
	}
	r.Header["Authorization"] = []string{algorithm + " Credential=" + s.credential(&c) + ", SignedHeaders=" +
		strings.Join(c.signed, ";") + ", Signature=" + hex.EncodeToString(c.signature[:])}
	if payload == modeNames[SignedChunks] || payload == modeNames[SignedChunksTrailer] {
		return &ChunkSigner{newChain(&key, c.stamp, c.scope, c.signature)}, nil
	}
	return nil, nil
}

// Presign returns the query that makes r valid for a duration from now, in whole seconds. Covered are the
// headers of r that Sign would cover; whoever uses the URL must send them. The body is unsigned.
//
// Errors: ErrMalformedURI, ErrMalformedAuthorization for a duration out of range.
func (s *Signer) Presign(r *Request, now time.Time, life time.Duration) (string, error) {
	c := s.claim(now, modeNames[Unsigned])
	c.mechanism = ByQuery
	if life < time.Second || life > ExpiresMax {
		return "", c.malformed("X-Amz-Expires", "give 1 to 604800 seconds")
	}
	c.signed = signable(r)
	var err error
	if c.params, err = parseQuery(r.Query); err != nil {
		return "", err
	}
	add := func(i int, value string) {
		c.params = append(c.params, param{presignedNames[i], EscapeQuery(value)})
	}
	add(paramAlgorithm, algorithm)
	add(paramCredential, s.credential(&c))
	add(paramDate, c.stamp)
	add(paramExpires, strconv.FormatInt(int64(life/time.Second), 10))
	add(paramSignedHeaders, strings.Join(c.signed, ";"))
	if _, err := s.seal(r, &c); err != nil {
		return "", err
	}
	query := appendQuery(nil, c.params)
	return string(query) + "&X-Amz-Signature=" + hex.EncodeToString(c.signature[:]), nil
}

// SignPolicy returns the fields of a POST form that sign a policy document in base64, the policy included.
func (s *Signer) SignPolicy(document string, now time.Time) Form {
	c := s.claim(now, "")
	key := deriveKey(s.Secret, c.scope)
	sum := key.sign([]byte(document))
	return Form{
		{"policy", document}, {"x-amz-algorithm", algorithm}, {"x-amz-credential", s.credential(&c)},
		{"x-amz-date", c.stamp}, {"x-amz-signature", hex.EncodeToString(sum[:])},
	}
}

// claim starts a claim at a time.
func (s *Signer) claim(now time.Time, payload string) claim {
	stamp := now.UTC().Format(amzLayout)
	return claim{
		mechanism: ByHeader, key: s.Key, stamp: stamp, payload: payload,
		scope: scope{stamp[:len(dayLayout)], s.Region, s.Service},
	}
}

// credential returns the credential with its scope.
func (s *Signer) credential(c *claim) string {
	return string(c.scope.append([]byte(string(s.Key) + "/")))
}

// seal computes the claim's signature.
func (s *Signer) seal(r *Request, c *claim) (signingKey, error) {
	canonical, err := appendCanonical(nil, r, c, s.PathTwice)
	if err != nil {
		return signingKey{}, err
	}
	key := deriveKey(s.Secret, c.scope)
	c.signature = key.sign(appendStringToSign(nil, c.stamp, c.scope, canonical))
	return key, nil
}

// signable returns the lower-case names of the headers that Sign covers, sorted.
func signable(r *Request) []string {
	names := []string{"host"}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		lower := strings.ToLower(name)
		switch {
		case lower == "content-length" || len(r.Header[name]) == 0:
		case isAmz(lower), strings.HasPrefix(lower, "content-"), lower == "date", lower == "range":
			names = append(names, lower)
		}
	}
	slices.Sort(names)
	return names
}

// ChunkSigner writes the chunks of a body in the aws-chunked encoding. A nil ChunkSigner writes unsigned
// chunks.
type ChunkSigner struct{ chain *chain }

// AppendChunk appends one chunk with its framing; data must not be empty, for an empty chunk ends the body.
func (s *ChunkSigner) AppendChunk(dst, data []byte) []byte {
	dst = s.appendHeader(dst, data)
	dst = append(dst, data...)
	return append(dst, '\r', '\n')
}

// AppendEnd appends the last, empty chunk and ends the body. For the modes with a trailer, trailed is true
// and fields may be empty; their names must be lower-case.
func (s *ChunkSigner) AppendEnd(dst []byte, trailed bool, fields []TrailerField) []byte {
	dst = s.appendHeader(dst, nil)
	if trailed {
		for _, f := range fields {
			dst = append(dst, f.Name+":"+f.Value+"\r\n"...)
		}
		if s != nil {
			sum := s.chain.trailer(sha256.Sum256(appendTrailer(nil, fields)))
			dst = append(dst, "x-amz-trailer-signature:"...)
			dst = append(hex.AppendEncode(dst, sum[:]), '\r', '\n')
		}
	}
	return append(dst, '\r', '\n')
}

// appendHeader appends the line before a chunk.
func (s *ChunkSigner) appendHeader(dst, data []byte) []byte {
	dst = strconv.AppendInt(dst, int64(len(data)), 16)
	if s != nil {
		sum := s.chain.chunk(sha256.Sum256(data))
		dst = append(dst, ";chunk-signature="...)
		dst = hex.AppendEncode(dst, sum[:])
	}
	return append(dst, '\r', '\n')
}
