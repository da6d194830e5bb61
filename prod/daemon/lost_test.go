package daemon

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"granary/core/block"
)

// A block that every member has is not given up, however their answers meet: with -race this shows that those
// who ask share nothing.
func TestGiveUpWhatAllHave(t *testing.T) {
	ds := trio(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	buckets := ds[0].node.Buckets()
	owner, err := buckets.CreateKey(ctx, "owner", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := buckets.Create(ctx, "cats", owner.ID); err != nil {
		t.Fatal(err)
	}
	c, err := minio.New(strings.TrimPrefix(ds[0].S3URL(), "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(string(owner.ID), string(owner.Secret), ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("meow"), 20_000)
	if _, err := c.PutObject(ctx, "cats", "tom", bytes.NewReader(content), int64(len(content)),
		minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	whole, nobodys := block.HashOf(content), block.HashOf([]byte("nobody's"))
	for range 20 {
		why, err := ds[0].node.Blocks().GiveUp(ctx, []block.Hash{whole, nobodys})
		if err != nil {
			t.Fatal(err)
		}
		if len(why) != 2 || why[0] == nil || why[1] == nil {
			t.Fatalf("given up: %v", why)
		}
	}
}
