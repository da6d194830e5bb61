package auth

import (
	"slices"
	"strconv"
	"time"
)

// The parameters of a presigned URL, in the order of queryClaim.values.
const (
	paramAlgorithm = iota
	paramCredential
	paramDate
	paramExpires
	paramSignature
	paramSignedHeaders
	paramsRequired // the parameters above must be there
	paramContentSHA256
	paramsKnown
)

// presignedNames are the names of those parameters.
var presignedNames = [paramsKnown]string{
	paramAlgorithm:     "X-Amz-Algorithm",
	paramCredential:    "X-Amz-Credential",
	paramDate:          "X-Amz-Date",
	paramExpires:       "X-Amz-Expires",
	paramSignature:     "X-Amz-Signature",
	paramSignedHeaders: "X-Amz-SignedHeaders",
	paramContentSHA256: "X-Amz-Content-Sha256",
}

// queryMechanism recognises a signed query by its parameters.
func queryMechanism(params []param) (Mechanism, error) {
	var v2 int
	for _, p := range params {
		switch p.name {
		case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature":
			return ByQuery, nil
		case "AWSAccessKeyId", "Signature":
			v2++
		}
	}
	if v2 >= 2 {
		return 0, refuse(ErrUnsupportedMechanism, "SigV2",
			"presign with SigV4; aws CLI 1: aws configure set default.s3.signature_version s3v4")
	}
	return Anonymous, nil
}

// parsePresigned parses the credentials of a presigned URL. Params is the whole query.
func parsePresigned(params []param) (claim, error) {
	c := claim{mechanism: ByQuery}
	values, err := c.presignedValues(params)
	if err != nil {
		return c, err
	}
	if values[paramAlgorithm] != algorithm {
		return c, checkScheme(values[paramAlgorithm])
	}
	if err := c.setCredential(values[paramCredential]); err != nil {
		return c, err
	}
	if err := c.setStamp(values[paramDate]); err != nil {
		return c, err
	}
	if err := c.setSigned(values[paramSignedHeaders]); err != nil {
		return c, err
	}
	if err := c.setSignature(values[paramSignature]); err != nil {
		return c, err
	}
	seconds, err := strconv.ParseUint(values[paramExpires], 10, 32)
	if err != nil || seconds < 1 || seconds > uint64(ExpiresMax/time.Second) {
		return c, c.malformed("X-Amz-Expires", "give 1 to 604800 seconds")
	}
	c.expires = time.Duration(seconds) * time.Second
	c.payload = values[paramContentSHA256]
	return c, nil
}

// presignedValues collects the decoded parameters and refuses what is missing or given twice.
func (c *claim) presignedValues(params []param) (values [paramsKnown]string, err error) {
	var seen [paramsKnown]bool
	for _, p := range params {
		if p.name == "X-Amz-Security-Token" || p.name == "X-Amz-S3session-Token" {
			return values, refuse(ErrSessionToken, p.name, "use a permanent access key")
		}
		i := slices.Index(presignedNames[:], p.name)
		if i < 0 {
			continue
		}
		if seen[i] {
			return values, c.malformed(p.name, "give the parameter once")
		}
		seen[i] = true
		values[i] = unescape(p.value)
	}
	for i := range paramsRequired {
		if !seen[i] {
			return values, c.malformed(presignedNames[i], "the parameter is missing")
		}
	}
	return values, nil
}
