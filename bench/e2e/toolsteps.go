package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
)

func newGet(ctx context.Context, url string) (*http.Request, error) {
	return http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
}

var awsSteps = []toolStep{
	{"make a bucket", func(ctx context.Context, w *session) error {
		_, err := w.call(ctx, "s3", "mb", "s3://"+w.bucket)
		return err
	}},
	{"64 MiB both ways", func(ctx context.Context, w *session) error {
		err := w.calls(ctx, []string{"s3", "cp", "--no-progress", "big", "s3://" + w.bucket + "/big"},
			[]string{"s3", "cp", "--no-progress", "s3://" + w.bucket + "/big", "big.back"})
		if err != nil {
			return err
		}
		return w.same("big", "big.back")
	}},
	{"64 MiB both ways, in one request", func(ctx context.Context, w *session) error {
		err := w.calls(ctx,
			[]string{"s3api", "put-object", "--bucket", w.bucket, "--key", "one", "--body", "big"},
			[]string{"s3api", "get-object", "--bucket", w.bucket, "--key", "one", "one.back"})
		if err != nil {
			return err
		}
		return w.same("big", "one.back")
	}},
	{"list 1,500 keys by pages and delimiters", func(ctx context.Context, w *session) error {
		if err := w.manyKeys(ctx); err != nil {
			return err
		}
		out, err := w.call(ctx, "s3", "ls", "--recursive", "s3://"+w.bucket+"/list/")
		if err != nil {
			return err
		}
		if err := counted(out, "key ", listedKeys); err != nil {
			return err
		}
		if out, err = w.call(ctx, "s3", "ls", "s3://"+w.bucket+"/list/"); err != nil {
			return err
		}
		return counted(out, "PRE f", 30)
	}},
	{"rules for pages of other origins", func(ctx context.Context, w *session) error {
		const rules = `{"CORSRules": [{"AllowedOrigins": ["https://app.example"],
			"AllowedMethods": ["GET"]}]}`
		about := []string{"--bucket", w.bucket}
		err := w.calls(ctx, append([]string{"s3api", "put-bucket-cors", "--cors-configuration", rules},
			about...))
		if err != nil {
			return err
		}
		out, err := w.call(ctx, append([]string{"s3api", "get-bucket-cors"}, about...)...)
		if err != nil {
			return err
		}
		if err := counted(out, "https://app.example", 1); err != nil {
			return err
		}
		if err := w.calls(ctx, append([]string{"s3api", "delete-bucket-cors"}, about...)); err != nil {
			return err
		}
		if _, err := w.call(ctx, append([]string{"s3api", "get-bucket-cors"}, about...)...); err == nil ||
			!strings.Contains(err.Error(), "NoSuchCORSConfiguration") {
			return fmt.Errorf("rules that were deleted: %w", err)
		}
		return nil
	}},
	{"presigned GET", func(ctx context.Context, w *session) error {
		// By itself this client presigns with the signature that came before Signature Version 4.
		_, err := w.call(ctx, "configure", "set", "default.s3.signature_version", "s3v4")
		if err != nil {
			return err
		}
		out, err := w.call(ctx, "s3", "presign", "s3://"+w.bucket+"/big")
		if err != nil {
			return err
		}
		return w.presignedGet(ctx, out, "big")
	}},
	{"sync a folder both ways, with a deletion", func(ctx context.Context, w *session) error {
		remote := "s3://" + w.bucket + "/tree"
		if err := w.calls(ctx, []string{"s3", "sync", "--no-progress", "tree", remote}); err != nil {
			return err
		}
		if err := os.Remove(w.path("tree/folder 1/file 1 ü+&.txt")); err != nil {
			return err
		}
		out, err := w.call(ctx, "s3", "sync", "--no-progress", "--delete", "tree", remote)
		if err != nil {
			return err
		}
		if n := strings.Count(out, "\n"); n != 1 {
			return fmt.Errorf("the second sync did %d things, want 1: %s", n, out)
		}
		if err := w.calls(ctx, []string{"s3", "sync", "--no-progress", remote, "tree.back"}); err != nil {
			return err
		}
		return w.sameTree("tree", "tree.back")
	}},
	{"remove everything and the bucket", func(ctx context.Context, w *session) error {
		return w.calls(ctx, []string{"s3", "rb", "--force", "s3://" + w.bucket})
	}},
}

var rcloneSteps = []toolStep{
	{"make a bucket", func(ctx context.Context, w *session) error {
		conf := "[g]\ntype = s3\nprovider = Other\nenv_auth = true\nregion = us-east-1\nendpoint = http://" +
			w.endpoint + "\n"
		if err := os.WriteFile(w.path("rclone.conf"), []byte(conf), 0o600); err != nil {
			return err
		}
		w.common = []string{"--config", w.path("rclone.conf"), "--retries", "1"}
		return w.calls(ctx, []string{"mkdir", "g:" + w.bucket})
	}},
	{"64 MiB both ways", func(ctx context.Context, w *session) error {
		err := w.calls(ctx, []string{"copyto", "--s3-upload-cutoff", "8M", "big", "g:" + w.bucket + "/big"},
			[]string{"copyto", "g:" + w.bucket + "/big", "big.back"})
		if err != nil {
			return err
		}
		return w.same("big", "big.back")
	}},
	{"list 1,500 keys by pages and delimiters", func(ctx context.Context, w *session) error {
		if err := w.manyKeys(ctx); err != nil {
			return err
		}
		out, err := w.call(ctx, "lsf", "-R", "--files-only", "g:"+w.bucket+"/list")
		if err != nil {
			return err
		}
		if err := counted(out, "key ", listedKeys); err != nil {
			return err
		}
		if out, err = w.call(ctx, "lsf", "g:"+w.bucket+"/list"); err != nil {
			return err
		}
		return counted(out, "/", 30)
	}},
	{"presigned GET", func(ctx context.Context, w *session) error {
		out, err := w.call(ctx, "link", "--expire", "10m", "g:"+w.bucket+"/big")
		if err != nil {
			return err
		}
		return w.presignedGet(ctx, out, "big")
	}},
	{"sync a folder both ways, with a deletion, and check it", func(ctx context.Context, w *session) error {
		remote := "g:" + w.bucket + "/tree"
		if err := w.calls(ctx, []string{"sync", "tree", remote}); err != nil {
			return err
		}
		if err := os.Remove(w.path("tree/folder 1/file 1 ü+&.txt")); err != nil {
			return err
		}
		err := w.calls(ctx, []string{"sync", "tree", remote}, []string{"check", "tree", remote},
			[]string{"sync", remote, "tree.back"})
		if err != nil {
			return err
		}
		return w.sameTree("tree", "tree.back")
	}},
	{"remove everything and the bucket", func(ctx context.Context, w *session) error {
		return w.calls(ctx, []string{"purge", "g:" + w.bucket})
	}},
}

var s3cmdSteps = []toolStep{
	{"make a bucket", func(ctx context.Context, w *session) error {
		w.common = []string{"--no-ssl", "--host", w.endpoint, "--host-bucket", w.endpoint,
			"--access_key", w.key.ID, "--secret_key", w.key.Secret, "--region", "us-east-1",
			"--no-progress", "--config", w.path("s3cfg")}
		if err := os.WriteFile(w.path("s3cfg"), []byte("[default]\n"), 0o600); err != nil {
			return err
		}
		return w.calls(ctx, []string{"mb", "s3://" + w.bucket})
	}},
	{"64 MiB both ways", func(ctx context.Context, w *session) error {
		err := w.calls(ctx, []string{"put", "big", "s3://" + w.bucket + "/big"},
			[]string{"get", "s3://" + w.bucket + "/big", "big.back"})
		if err != nil {
			return err
		}
		return w.same("big", "big.back")
	}},
	{"list 1,500 keys by pages and delimiters", func(ctx context.Context, w *session) error {
		if err := w.manyKeys(ctx); err != nil {
			return err
		}
		out, err := w.call(ctx, "ls", "--recursive", "s3://"+w.bucket+"/list/")
		if err != nil {
			return err
		}
		if err := counted(out, "key ", listedKeys); err != nil {
			return err
		}
		if out, err = w.call(ctx, "ls", "s3://"+w.bucket+"/list/"); err != nil {
			return err
		}
		return counted(out, "DIR", 30)
	}},
	{"sync a folder both ways, with a deletion", func(ctx context.Context, w *session) error {
		remote := "s3://" + w.bucket + "/tree/"
		if err := w.calls(ctx, []string{"sync", "tree/", remote}); err != nil {
			return err
		}
		if err := os.Remove(w.path("tree/folder 1/file 1 ü+&.txt")); err != nil {
			return err
		}
		if err := os.MkdirAll(w.path("tree.back"), 0o700); err != nil {
			return err
		}
		err := w.calls(ctx, []string{"sync", "--delete-removed", "tree/", remote},
			[]string{"sync", remote, "tree.back/"})
		if err != nil {
			return err
		}
		return w.sameTree("tree", "tree.back")
	}},
	{"remove everything and the bucket", func(ctx context.Context, w *session) error {
		return w.calls(ctx, []string{"del", "--recursive", "--force", "s3://" + w.bucket},
			[]string{"rb", "s3://" + w.bucket})
	}},
}

var resticSteps = []toolStep{
	{"make a repository", func(ctx context.Context, w *session) error {
		w.env = append(w.env, "RESTIC_REPOSITORY=s3:http://"+w.endpoint+"/"+w.bucket+"/repo",
			"RESTIC_PASSWORD=correct horse", "RESTIC_CACHE_DIR="+w.path("cache"))
		return w.calls(ctx, []string{"init"})
	}},
	{"back up 64 MiB and a folder, twice", func(ctx context.Context, w *session) error {
		return w.calls(ctx, []string{"backup", "big", "tree"}, []string{"backup", "big", "tree"})
	}},
	{"check, reading all data", func(ctx context.Context, w *session) error {
		return w.calls(ctx, []string{"check", "--read-data"})
	}},
	{"restore", func(ctx context.Context, w *session) error {
		if err := w.calls(ctx, []string{"restore", "latest", "--target", "back"}); err != nil {
			return err
		}
		if err := w.same("big", "back/big"); err != nil {
			return err
		}
		return w.sameTree("tree", "back/tree")
	}},
	{"forget and prune", func(ctx context.Context, w *session) error {
		return w.calls(ctx, []string{"forget", "--keep-last", "1", "--prune"}, []string{"check"})
	}},
}
