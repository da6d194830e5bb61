package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"granary/bench/cluster"
	"granary/bench/content"
)

// tool is a client that may be installed.
type tool struct {
	name    string
	program string
	steps   []toolStep
}

type toolStep struct {
	name string
	run  func(ctx context.Context, t *session) error
}

// tools are driven in this order.
var tools = []tool{
	{"aws CLI", "aws", awsSteps},
	{"rclone", "rclone", rcloneSteps},
	{"s3cmd", "s3cmd", s3cmdSteps},
	{"restic", "restic", resticSteps},
}

// session is one tool at work on one node.
type session struct {
	endpoint string // host:port
	key      cluster.Key
	store    *cluster.Cluster
	bucket   string
	folder   string // files of this session
	program  string
	env      []string
	common   []string // arguments of every call
}

// drive runs all steps of a tool, if it is installed and works. A failed step ends it.
func (t *tool) drive(ctx context.Context, s *scene, c *cluster.Cluster) {
	path, err := exec.LookPath(t.program)
	if err == nil {
		err = exec.CommandContext(ctx, path, versionArg(t.program)).Run()
	}
	if err != nil {
		s.missing(t.name)
		return
	}
	s.client(t.name, func() {
		var w *session
		ok := s.step(t.name+": prepare files", func() (err error) {
			w, err = newSession(s, c, t.program, path)
			return err
		})
		for _, step := range t.steps {
			ok = ok && s.step(t.name+": "+step.name, func() error { return step.run(ctx, w) })
		}
	})
}

func versionArg(program string) string {
	if program == "restic" || program == "rclone" {
		return "version"
	}
	return "--version"
}

func newSession(s *scene, c *cluster.Cluster, program, path string) (*session, error) {
	w := &session{endpoint: c.Nodes[0].S3, key: c.Key, store: c, bucket: program + "-bucket", program: path,
		folder: filepath.Join(s.folder, program)}
	w.env = append(c.Nodes[0].Env(), "HOME="+w.folder, "LC_ALL=C.UTF-8",
		"AWS_ENDPOINT_URL=http://"+w.endpoint, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID="+c.Key.ID, "AWS_SECRET_ACCESS_KEY="+c.Key.Secret,
		"AWS_REGION="+cluster.Region, "AWS_DEFAULT_REGION="+cluster.Region)
	return w, w.files()
}

// files makes what is copied: a file of 64 MiB, and a folder that is synchronised.
func (w *session) files() error {
	if err := os.MkdirAll(w.folder, 0o700); err != nil {
		return err
	}
	f, err := os.Create(w.path("big"))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content.Content{ID: 100, Size: bigSize}.Reader())
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for i := range 40 {
		path := w.path(fmt.Sprintf("tree/folder %d/file %d ü+&.txt", i%4, i))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		c := content.Content{ID: uint64(200 + i), Size: int64(content.HeaderSize + i*i*100)}
		if err := os.WriteFile(path, c.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (w *session) path(name string) string { return filepath.Join(w.folder, name) }

// call runs the tool and returns its standard output.
func (w *session) call(ctx context.Context, args ...string) (string, error) {
	return w.run(ctx, w.program, append(slices.Clone(w.common), args...)...)
}

func (w *session) run(ctx context.Context, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var out, complaint bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = w.env, w.folder, &out, &complaint
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err,
			tail(complaint.String()+out.String(), 2000))
	}
	return out.String(), nil
}

func tail(s string, most int) string { return s[max(0, len(s)-most):] }

// calls runs the tool several times.
func (w *session) calls(ctx context.Context, list ...[]string) error {
	for _, args := range list {
		if _, err := w.call(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// same compares two files by their SHA-256.
func (w *session) same(a, b string) error {
	x, err := sum(w.path(a))
	if err != nil {
		return err
	}
	y, err := sum(w.path(b))
	if err == nil && x != y {
		err = fmt.Errorf("%s has SHA-256 %x, %s has %x", a, x, b, y)
	}
	return err
}

func sum(path string) (out [32]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return out, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err = io.Copy(h, f); err == nil {
		h.Sum(out[:0])
	}
	return out, err
}

// sameTree compares two folders: names and contents of all files.
func (w *session) sameTree(a, b string) error {
	x, err := tree(w.path(a))
	if err != nil {
		return err
	}
	y, err := tree(w.path(b))
	if err != nil {
		return err
	}
	if !slices.Equal(x, y) {
		return fmt.Errorf("%s and %s differ:\n%s\n%s", a, b, strings.Join(x, "\n"), strings.Join(y, "\n"))
	}
	return nil
}

// tree returns a line for every file, with its sum.
func tree(root string) (lines []string, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		s, err := sum(path)
		lines = append(lines, fmt.Sprintf("%s %x", strings.TrimPrefix(path, root), s[:4]))
		return err
	})
	return lines, err
}

// manyKeys stores 1,500 keys by minio-go, for the tool to list.
func (w *session) manyKeys(ctx context.Context) error {
	client, err := w.store.Client(0)
	if err != nil {
		return err
	}
	return putKeys(ctx, client, w.bucket, "list/", listedKeys)
}

// counted compares a number of lines.
func counted(out, containing string, want int) error {
	got := 0
	for line := range strings.Lines(out) {
		if strings.Contains(line, containing) {
			got++
		}
	}
	if got != want {
		return fmt.Errorf("%d lines contain %q, want %d; the output begins with\n%.300s", got, containing,
			want, out)
	}
	return nil
}

// presignedGet fetches a presigned URL by nothing but HTTP, and compares with a file.
func (w *session) presignedGet(ctx context.Context, url, want string) error {
	req, err := newGet(ctx, strings.TrimSpace(url))
	if err != nil {
		return err
	}
	expected, err := os.ReadFile(w.path(want))
	if err != nil {
		return err
	}
	return fetch(req, func(r io.Reader) error {
		got, err := io.ReadAll(r)
		if err == nil && !bytes.Equal(got, expected) {
			err = errors.New("the presigned URL gave " + strconv.Itoa(len(got)) + " other bytes")
		}
		return err
	})
}
