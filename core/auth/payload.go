package auth

// Mode is what a signature promises about the body.
type Mode uint8

// The modes. Zero promises nothing.
const (
	Unsigned            Mode = iota // the body as it comes
	Hashed                          // the body's SHA-256 is in the signature
	SignedChunks                    // aws-chunked, every chunk signed
	SignedChunksTrailer             // aws-chunked, every chunk and the trailer signed
	UnsignedTrailer                 // aws-chunked, a trailer, nothing signed
)

// modeNames are the values of x-amz-content-sha256; Hashed has the hash itself.
var modeNames = [...]string{
	Unsigned:            "UNSIGNED-PAYLOAD",
	Hashed:              "",
	SignedChunks:        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
	SignedChunksTrailer: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
	UnsignedTrailer:     "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
}

// Chunked reports whether the body comes in the aws-chunked encoding.
func (m Mode) Chunked() bool { return m >= SignedChunks }

// signed reports whether chunks carry signatures.
func (m Mode) signed() bool { return m == SignedChunks || m == SignedChunksTrailer }

// trailed reports whether a trailer may follow the chunks.
func (m Mode) trailed() bool { return m == SignedChunksTrailer || m == UnsignedTrailer }

// Payload is the promise about one body. The zero Payload promises nothing.
type Payload struct {
	Mode   Mode
	SHA256 [32]byte // Hashed only

	chain *chain // at the request's signature; signed chunks only
}

// parsePayload parses a value of x-amz-content-sha256.
func parsePayload(value string) (Payload, error) {
	switch value {
	case modeNames[Unsigned]:
		return Payload{Mode: Unsigned}, nil
	case modeNames[SignedChunks]:
		return Payload{Mode: SignedChunks}, nil
	case modeNames[SignedChunksTrailer]:
		return Payload{Mode: SignedChunksTrailer}, nil
	case modeNames[UnsignedTrailer]:
		return Payload{Mode: UnsignedTrailer}, nil
	case "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER":
		return Payload{}, refuse(ErrUnsupportedMechanism, "SigV4A", "sign chunks with AWS4-HMAC-SHA256")
	}
	p := Payload{Mode: Hashed}
	if !decodeHash(&p.SHA256, value) {
		return Payload{}, refuse(ErrMalformedContentSHA256, "X-Amz-Content-Sha256",
			"give UNSIGNED-PAYLOAD, a STREAMING- value or 64 hexadecimal digits")
	}
	return p, nil
}
