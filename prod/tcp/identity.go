package tcp

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"

	"granary/core/rpc"
	"granary/core/rt"
)

// IDOf is the node id that an identity proves: its public key.
func IDOf(id rpc.Identity) rt.NodeID {
	return rt.NodeID(ed25519.NewKeyFromSeed(id.Seed[:]).Public().(ed25519.PublicKey))
}

// protocols are the ALPN names of the classes.
var protocols = [...]string{rpc.Meta: "granary-meta/1", rpc.Bulk: "granary-bulk/1"}

// certificate makes the self-signed certificate of an identity. All of it but the key is constant and means
// nothing.
func certificate(id rpc.Identity) (tls.Certificate, error) {
	key := ed25519.NewKeyFromSeed(id.Seed[:])
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "granary node"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // "no end", RFC 5280, 4.1.2.5
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("tcp: make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// baseConfig is common to both sides. Verification of the certificate's chain is off because there is none;
// verify checks the key, and TLS itself that the other side holds it.
func baseConfig(cert tls.Certificate, verify func(tls.ConnectionState) error) *tls.Config {
	return &tls.Config{
		Certificates:                []tls.Certificate{cert},
		MinVersion:                  tls.VersionTLS13,
		InsecureSkipVerify:          true,
		ClientAuth:                  tls.RequireAnyClientCert,
		VerifyConnection:            verify,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}

// proven returns what the other side of a handshake has proven.
func proven(s tls.ConnectionState) (peer rt.NodeID, class rpc.Class, err error) {
	if len(s.PeerCertificates) == 0 {
		return peer, class, fmt.Errorf("%w: no certificate", rpc.ErrIdentity)
	}
	key, ok := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok {
		return peer, class, fmt.Errorf("%w: not an Ed25519 key", rpc.ErrIdentity)
	}
	for c, name := range protocols {
		if name == s.NegotiatedProtocol {
			return rt.NodeID(key), rpc.Class(c), nil
		}
	}
	return peer, class, fmt.Errorf("%w: protocol %q", rpc.ErrIdentity, s.NegotiatedProtocol)
}
