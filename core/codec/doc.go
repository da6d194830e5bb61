// Package codec encodes everything that granary stores or sends.
//
// A value is CBOR in the core deterministic form of RFC 8949 §4.2: shortest integers and lengths, map keys in
// bytewise order. One value has one encoding, so replicas that agree hold equal bytes, and digests of bytes
// are digests of values. Structs use small integer keys (`cbor:"1,keyasint"`), which are never used again for
// something else. Marshal and Unmarshal are the wire form. Seal and Open add what storage needs:
//
//	0      1         2                          n-4      n
//	+------+---------+--------------------------+--------+
//	| kind | version | payload (one CBOR value) | crc32c |
//	+------+---------+--------------------------+--------+
//	|<------------- checksummed ------------->|  big endian, Castagnoli
//
// The contract with the caller:
//
//  1. Fields may be added under new keys at any time: a reader ignores keys that it does not know, and
//     finds the zero value where a writer did not know the field. Anything else is a new version of the
//     kind.
//  2. A version is written only once every member of the cluster can read it; the caller passes it, since the
//     feature level decides. Open refuses versions newer than the kind was registered with (ErrVersion).
//  3. A Go string is text and must be valid UTF-8; it is refused when written, so that no row is stored which
//     could not be read back. Bytes of any other nature are []byte or [N]byte.
//  4. What exceeds a limit of this package is refused when written as well as when read.
//  5. Duplicate keys, tags, indefinite lengths and trailing bytes are refused when read.
//  6. A byte string whose length differs from that of a [N]byte field is cut or filled with zeros by the CBOR
//     library. Types for which that matters check themselves.
//  7. Only MarshalCBOR and UnmarshalCBOR are honoured; MarshalBinary and MarshalText are not.
//
// All functions are pure, and may be called concurrently.
package codec
