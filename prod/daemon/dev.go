package daemon

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"granary/core/bucket"
	"granary/core/layout"
	"granary/core/node"
)

// DevBucket is the bucket that a --dev store begins with.
const DevBucket = "demo"

// Credentials are the access key of a --dev store.
type Credentials struct {
	KeyID  string `json:"key_id"`
	Secret string `json:"secret"`
}

// LoadDev reads the credentials of the --dev store in a data folder.
//
// Errors: fs.ErrNotExist if there is no such store.
func LoadDev(data string) (Credentials, error) {
	var c Credentials
	raw, err := os.ReadFile(filepath.Join(data, devName))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(raw, &c); err != nil || c.KeyID == "" || c.Secret == "" {
		return c, fmt.Errorf("the credentials in %s are damaged: remove the file to get new ones",
			filepath.Join(data, devName))
	}
	return c, nil
}

// loadOrCreateDev keeps the credentials of a --dev store from one start to the next.
func loadOrCreateDev(f *folder) (Credentials, error) {
	c, err := LoadDev(f.path)
	if !errors.Is(err, os.ErrNotExist) {
		return c, err
	}
	var raw [42]byte
	rand.Read(raw[:])
	c = Credentials{KeyID: "GK" + hex.EncodeToString(raw[:12]),
		Secret: base64.RawURLEncoding.EncodeToString(raw[12:])}
	text, err := json.Marshal(c)
	if err != nil {
		return c, err
	}
	return c, writeDurable(f.file(devName), string(text)+"\n")
}

// prepareDev makes the node a cluster of one with a key and a bucket, as far as it is not one yet.
func prepareDev(ctx context.Context, n *node.Node, c Credentials, capacity uint64) error {
	if n.Ready() != nil {
		if len(n.Cluster().Status().ID) == 0 {
			params := layout.Params{Replicas: 1, Partitions: layout.DefaultParams().Partitions}
			if err := n.Cluster().Found(ctx, params,
				layout.Role{Zone: "dev", Capacity: max(capacity, 1<<30)}); err != nil {
				return fmt.Errorf("make a cluster of one node: %w", err)
			}
		}
		if _, err := n.Cluster().Apply(ctx); err != nil {
			return fmt.Errorf("make a cluster of one node: %w", err)
		}
	}
	id := bucket.KeyID(c.KeyID)
	have, err := n.Buckets().Key(ctx, id)
	if errors.Is(err, bucket.ErrNoSuchKey) || err == nil && have.Secret != c.Secret {
		_, err = n.Buckets().PutKey(ctx, bucket.Key{ID: id, Secret: c.Secret, Name: "dev",
			CreateBuckets: true})
		if err == nil {
			_, err = n.Buckets().Create(ctx, DevBucket, id)
		}
		if errors.Is(err, bucket.ErrBucketExists) { // of an earlier key: allow the new one
			var b bucket.Bucket
			if b, err = n.Buckets().ByName(ctx, DevBucket); err == nil {
				_, err = n.Buckets().Change(ctx, b.Name, id,
					func(g *bucket.Grant) { g.Read, g.Write, g.Owner = true, true, true })
			}
		}
		if errors.Is(err, bucket.ErrBucketOwned) {
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("make the key and bucket of a --dev store: %w", err)
	}
	return nil
}
