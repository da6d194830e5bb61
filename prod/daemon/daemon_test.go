package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"granary/core/rt"
	"granary/prod/config"
)

// patience bounds every wait of these tests; none is as long when all is well.
const patience = 20 * time.Second

// lines is a log that may be written while it is read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// options are those of a --dev store in a folder, on free ports, that does not wait for the disk.
func options(folder string) Options {
	c := config.Default()
	c.Data.Folder, c.S3.Listen = folder, "127.0.0.1:0"
	c.Data.Fsync, c.Metadata.Fsync = false, false
	return Options{Config: c, Dev: true, Version: "test", Log: &lines{},
		Exit: func(code int) { panic(fmt.Sprint("exit ", code)) }}
}

// start starts a daemon that the end of the test stops.
func start(t *testing.T, opts Options) *Daemon {
	t.Helper()
	d, err := Start(context.Background(), opts)
	if err != nil {
		t.Fatalf("%v\n%v", err, opts.Log)
	}
	t.Cleanup(func() { d.StopNow() })
	return d
}

// s3Client returns an S3 client for a --dev store.
func s3Client(t *testing.T, d *Daemon) *minio.Client {
	t.Helper()
	c, err := minio.New(strings.TrimPrefix(d.S3URL(), "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(d.Dev().KeyID, d.Dev().Secret, ""), Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// overSocket returns an HTTP client of the admin socket.
func overSocket(d *Daemon) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return DialAdmin(ctx, d.Data())
		}}}
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// TestDev puts objects into a --dev store and gets them back, also after a restart.
func TestDev(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	opts := options(folder)
	opts.Config.Data.Fsync, opts.Config.Metadata.Fsync = true, true
	d := start(t, opts)
	first := d.Dev()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	small, large := []byte("hello"), bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	c := s3Client(t, d)
	for key, data := range map[string][]byte{"small": small, "a/large": large} {
		if _, err := c.PutObject(ctx, DevBucket, key, bytes.NewReader(data), int64(len(data)),
			minio.PutObjectOptions{}); err != nil {
			t.Fatalf("put %s: %v\n%v", key, err, d.opts.Log)
		}
	}
	if code, text := get(t, overSocket(d), "http://x/readyz"); code != 200 {
		t.Errorf("readyz: %d %s", code, text)
	}
	if code, text := get(t, overSocket(d), "http://x/metrics"); code != 200 ||
		!strings.Contains(text, `granary_s3_requests_total{operation="PutObject",status="200"} 2`) ||
		!strings.Contains(text, "granary_disk_free_bytes") {
		t.Errorf("metrics: %d %.300s", code, text)
	}
	stop, stopped := context.WithTimeout(ctx, patience)
	defer stopped()
	if err := d.Stop(stop); err != nil {
		t.Fatalf("stop: %v", err)
	}
	d = start(t, options(folder))
	if d.Dev() != first {
		t.Errorf("the credentials changed from one start to the next")
	}
	for key, want := range map[string][]byte{"small": small, "a/large": large} {
		o, err := s3Client(t, d).GetObject(ctx, DevBucket, key, minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(o)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("get %s: %d bytes, %v, want %d", key, len(got), err, len(want))
		}
	}
	if err := d.node.Tables().CheckDigests(); err != nil {
		t.Error(err)
	}
	if text := fmt.Sprint(d.opts.Log); strings.Contains(text, first.Secret) {
		t.Errorf("the log holds the secret:\n%s", text)
	}
}

// TestPrivate shows that the data folder, the socket and the files with secrets are for their owner only,
// even where the folder was there before.
func TestPrivate(t *testing.T) {
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	d := start(t, options(folder))
	for name, want := range map[string]os.FileMode{".": 0o700, socketName: 0o600, keyName: 0o600,
		devName:  0o600,
		lockName: 0o600, formatName: 0o600, metadataName: 0o600} {
		info, err := os.Stat(filepath.Join(d.Data(), name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", name, got, want)
		}
	}
}

// TestLongPath shows that the socket works where its path is longer than the kernel allows.
func TestLongPath(t *testing.T) {
	folder := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	d := start(t, options(folder))
	if code, _ := get(t, overSocket(d), "http://x/livez"); code != 200 {
		t.Errorf("livez: %d", code)
	}
	if err := d.StopNow(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.folder.file(socketName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestAdminOverTCP shows what is open over TCP: nothing without the token, but for the probes, and metrics
// from loopback.
func TestAdminOverTCP(t *testing.T) {
	token, hash := config.NewToken()
	opts := options(t.TempDir())
	opts.Config.Admin = config.Admin{Listen: "127.0.0.1:0", TokenHash: hash}
	d := start(t, opts)
	ask := func(path, bearer string) int {
		req, err := http.NewRequest("GET", "http://"+d.AdminAddr()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if bearer != "" {
			req.Header.Set("Authorization", "Bearer "+bearer)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, c := range []struct {
		path, bearer string
		want         int
	}{
		{"/livez", "", 200}, {"/readyz", "", 200}, {"/metrics", "", 200}, {"/v1/status", "", 401},
		{"/v1/status", "x" + token, 401}, {"/v1/status", hash, 401}, {"/v1/status", token, 200},
		{"/v1/keys", "", 401},
	} {
		if got := ask(c.path, c.bearer); got != c.want {
			t.Errorf("GET %s: %d, want %d", c.path, got, c.want)
		}
	}
	if resp, err := http.Get(d.S3URL() + "/metrics"); err != nil || resp.StatusCode == 200 {
		t.Errorf("the S3 port answers /metrics: %v %v", resp.Status, err)
	}
}

// TestStalled shows that a client that stops in the middle of a body is cut, and that one that is slow is
// not.
func TestStalled(t *testing.T) {
	opts := options(t.TempDir())
	opts.Config.S3.StallTimeout, opts.Config.S3.HeaderTimeout = 200*time.Millisecond, 200*time.Millisecond
	d := start(t, opts)
	c, answer := beginPut(t, d, "half", 100)
	fmt.Fprint(c, "half")
	resp, err := http.ReadResponse(answer, nil)
	if err != nil || resp.StatusCode != 400 || !resp.Close {
		t.Errorf("a stalled client: %v, %v, want 400 and the end", resp, err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("a stalled client was not cut: %v", err)
	}
	idle := dialS3(t, d)
	fmt.Fprint(idle, "GET /")
	if _, err := io.Copy(io.Discard, idle); err != nil {
		t.Errorf("a client without a whole header was not cut: %v", err)
	}
}

func dialS3(t *testing.T, d *Daemon) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(d.S3URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return c
}

// beginPut sends the head of a PUT and returns once the server waits for its body.
func beginPut(t *testing.T, d *Daemon, key string, size int) (net.Conn, *bufio.Reader) {
	t.Helper()
	u, err := s3Client(t, d).PresignedPutObject(context.Background(), DevBucket, key, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := dialS3(t, d)
	fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n",
		u.RequestURI(), u.Host, size)
	answer := bufio.NewReader(c)
	line, err := answer.ReadString('\n')
	if err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the server does not want the body: %q, %v\n%v", line, err, d.opts.Log)
	}
	if _, err := answer.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return c, answer
}

// TestStopFinishes shows that a request which is under way when the node is stopped ends well, that nothing
// new is accepted meanwhile, and that /readyz says so.
func TestStopFinishes(t *testing.T) {
	d := start(t, options(t.TempDir()))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, answer := beginPut(t, d, "slow", 64<<10)
	stopped := make(chan error, 1)
	go func() { stopped <- d.Stop(ctx) }()
	for {
		code, text := get(t, overSocket(d), "http://x/readyz")
		if code == 503 && strings.Contains(text, "stopping") {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("readyz: %d %s", code, text)
		}
	}
	for {
		c, err := net.Dial("tcp", strings.TrimPrefix(d.S3URL(), "http://"))
		if err != nil {
			break
		}
		c.Close()
		if ctx.Err() != nil {
			t.Fatal("new connections are accepted while stopping")
		}
	}
	if _, err := c.Write(make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(answer, nil)
	if err != nil || resp.StatusCode != 200 {
		t.Errorf("the request under way: %v, %v\n%v", resp, err, d.opts.Log)
	}
	if err := <-stopped; err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestStopCuts shows that a request which does not end is cut when the time is over, and that the store is
// closed well.
func TestStopCuts(t *testing.T) {
	folder := t.TempDir()
	d := start(t, options(folder))
	c, _ := beginPut(t, d, "never", 100)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.Stop(ended); err == nil {
		t.Error("Stop does not say that a request was cut")
	}
	if _, err := io.Copy(io.Discard, bufio.NewReader(c)); err != nil &&
		!strings.Contains(err.Error(), "reset") {
		t.Errorf("the connection was left open: %v", err)
	}
	start(t, options(folder))
}

// TestFatal shows that a broken invariant, in a task or in a request, and a failed sync end the process.
func TestFatal(t *testing.T) {
	codes := make(chan int, 10)
	opts := options(t.TempDir())
	opts.Exit = func(code int) { codes <- code }
	d := start(t, opts)
	h := &edge{env: d.env, stall: time.Second,
		next: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { rt.Break("numbers: %d", 42) })}
	func() {
		defer func() { recover() }()
		h.ServeHTTP(discardWriter{}, &http.Request{Body: http.NoBody})
	}()
	d.storeFailed(errors.New("fsync: EIO"))
	for range 2 {
		select {
		case code := <-codes:
			if code != ExitBroken {
				t.Errorf("exit code %d, want %d", code, ExitBroken)
			}
		case <-time.After(patience):
			t.Fatal("the process was not ended")
		}
	}
	for _, want := range []string{"numbers: 42", "fsync: EIO"} {
		if text := fmt.Sprint(opts.Log); !strings.Contains(text, want) {
			t.Errorf("the log lacks %q:\n%s", want, text)
		}
	}
}

type discardWriter struct{}

func (discardWriter) Header() http.Header         { return http.Header{} }
func (discardWriter) Write(p []byte) (int, error) { return len(p), nil }
func (discardWriter) WriteHeader(int)             {}

// TestStartFails shows that a start which fails says why and leaves nothing open.
func TestStartFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	folder := t.TempDir()
	for want, change := range map[string]func(*Options){
		"another program listens": func(o *Options) { o.Config.S3.Listen = taken.Addr().String() },
		"admin.listen":            func(o *Options) { o.Config.Admin.Listen = taken.Addr().String() },
		"certificate of S3": func(o *Options) {
			o.Config.S3.TLSCert, o.Config.S3.TLSKey = "none", "none"
		},
		"peers.listen": func(o *Options) {
			o.Config.Data.Folder, o.Dev = t.TempDir(), false
			o.Config.Peers.Listen = taken.Addr().String()
		},
	} {
		opts := options(folder)
		change(&opts)
		d, err := Start(context.Background(), opts)
		if err == nil {
			d.StopNow()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Start: %v, want %q", err, want)
		}
	}
	start(t, options(folder)) // nothing holds the folder
}

// TestLostDisk shows that an empty folder in place of the block disk is refused.
func TestLostDisk(t *testing.T) {
	folder := t.TempDir()
	if err := start(t, options(folder)).StopNow(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(folder, blocksName)); err != nil {
		t.Fatal(err)
	}
	if d, err := Start(context.Background(), options(folder)); err == nil {
		d.StopNow()
		t.Error("a node without its blocks was started")
	} else if !strings.Contains(err.Error(), "is it mounted?") {
		t.Errorf("Start: %v", err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := bound(inner, 1)
	for range 2 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = c.Close()
		}
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatalf("a second connection was accepted beyond the bound: %v", err)
	default:
	}
	first.Close()
	first.Close() // frees one place, not two
	if err := <-second; err != nil {
		t.Errorf("the place of a closed connection: %v", err)
	}
	if n := len(l.places); n != 0 {
		t.Errorf("%d places taken by nobody", n)
	}
	go func() {
		_, err := l.Accept()
		second <- err
	}()
	l.Close()
	if err := <-second; err == nil {
		t.Error("Accept after Close")
	}
}
