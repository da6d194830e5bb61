package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"granary/prod/config"
)

// selfSigned writes a certificate for 127.0.0.1 and its key, and returns their files and who trusts it.
func selfSigned(t *testing.T) (cert, key string, trust *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	trust = x509.NewCertPool()
	trust.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", raw), write("key.pem", "PRIVATE KEY", secret), trust
}

// TestTLS shows that with a certificate S3 and the admin API are served over TLS of at least 1.2, to those
// who trust the certificate, and that plain HTTP gets nothing of either.
func TestTLS(t *testing.T) {
	cert, key, trust := selfSigned(t)
	token, hash := config.NewToken()
	opts := options(t.TempDir())
	opts.Config.S3.TLSCert, opts.Config.S3.TLSKey = cert, key
	opts.Config.Admin = config.Admin{Listen: "127.0.0.1:0", TLSCert: cert, TLSKey: key, TokenHash: hash}
	d := start(t, opts)
	if !strings.HasPrefix(d.S3URL(), "https://") {
		t.Fatalf("S3 at %s", d.S3URL())
	}
	s3Addr := strings.TrimPrefix(d.S3URL(), "https://")
	transport := func(conf *tls.Config) *http.Transport {
		tr := &http.Transport{TLSClientConfig: conf}
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	}
	trusting := transport(&tls.Config{RootCAs: trust})

	c, err := minio.New(s3Addr, &minio.Options{Secure: true, Transport: trusting, Region: "us-east-1",
		Creds: credentials.NewStaticV4(d.Dev().KeyID, d.Dev().Secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.PutObject(t.Context(), DevBucket, "x", strings.NewReader("secret"), 6,
		minio.PutObjectOptions{})
	if err != nil {
		t.Fatalf("put over TLS: %v", err)
	}
	o, err := c.GetObject(t.Context(), DevBucket, "x", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(o); err != nil || string(got) != "secret" {
		t.Errorf("got %q over TLS: %v", got, err)
	}
	req, err := http.NewRequest("GET", "https://"+d.AdminAddr()+"/v1/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := trusting.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || !strings.Contains(string(text), d.S3URL()) {
		t.Errorf("status over TLS: %d %s %v", resp.StatusCode, text, err)
	}
	for _, addr := range []string{s3Addr, d.AdminAddr()} {
		refusesOthers(t, addr, transport, trust)
	}
}

// refusesOthers checks what a TLS listener must not accept.
func refusesOthers(t *testing.T, addr string, transport func(*tls.Config) *http.Transport,
	trust *x509.CertPool) {
	t.Helper()
	client := &http.Client{Timeout: patience, Transport: transport(nil)}
	if resp, err := client.Get("http://" + addr + "/livez"); err == nil {
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || resp.Header.Get("Server") != "" ||
			!strings.Contains(string(text), "HTTP request to an HTTPS server") {
			t.Errorf("plain HTTP at %s: %d %q", addr, resp.StatusCode, text)
		}
	}
	if _, err := client.Get("https://" + addr + "/livez"); err == nil {
		t.Errorf("a client that does not trust the certificate was served at %s", addr)
	}
	client.Transport = transport(&tls.Config{RootCAs: trust, MaxVersion: tls.VersionTLS11,
		MinVersion: tls.VersionTLS10})
	if _, err := client.Get("https://" + addr + "/livez"); err == nil {
		t.Errorf("TLS 1.1 was accepted at %s", addr)
	}
}
