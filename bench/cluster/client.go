package cluster

import (
	"fmt"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Client returns an S3 client of one node with connections of its own. It never repeats a request, so that
// the caller knows what was asked; a silent server fails a request after a minute.
func (c *Cluster) Client(node int) (*minio.Core, error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, ResponseHeaderTimeout: time.Minute,
		DisableCompression: true}
	client, err := minio.NewCore(c.Nodes[node].S3,
		&minio.Options{Region: Region, Transport: transport, MaxRetries: 1, TrailingHeaders: true,
			BucketLookup: minio.BucketLookupPath, Creds: credentials.NewStaticV4(c.Key.ID, c.Key.Secret, "")})
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", c.Nodes[node].Name, err)
	}
	return client, nil
}
