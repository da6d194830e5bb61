package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// asProgram makes the test binary be the program.
const asProgram = "CLI_TEST_IS_GRANARY"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		os.Exit(m.Run())
	}
	os.Exit(Main(context.Background(), World{Args: os.Args[1:], Env: os.Environ(), In: os.Stdin,
		Out: os.Stdout,
		Err: os.Stderr}))
}

// patience bounds every wait of these tests; none is as long when all is well.
const patience = 30 * time.Second

// process is a running program.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // closed and replaced when there is more text
	done chan struct{} // closed when it has ended
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	close(p.more)
	p.more = make(chan struct{})
	return len(b), nil
}

// run starts the program in a folder. It is killed at the end of the test if it still runs then.
func run(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), more: make(chan struct{}),
		done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p, p
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "GRANARY_") {
			p.cmd.Env = append(p.cmd.Env, pair)
		}
	}
	p.cmd.Env = append(p.cmd.Env, asProgram+"=1")
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.done
	})
	return p
}

// await returns what it printed as soon as that matches.
func (p *process) await(pattern string) []string {
	p.t.Helper()
	late := time.After(patience)
	for re := regexp.MustCompile(pattern); ; {
		p.mu.Lock()
		text, more := p.text.String(), p.more
		p.mu.Unlock()
		if found := re.FindStringSubmatch(text); found != nil {
			return found
		}
		select {
		case <-more:
		case <-p.done:
			p.t.Fatalf("%v ended without printing %q:\n%s", p.cmd.Args[1:], pattern, text)
		case <-late:
			p.t.Fatalf("%v did not print %q:\n%s", p.cmd.Args[1:], pattern, text)
		}
	}
}

// exit waits for the end and returns the exit code and what was printed.
func (p *process) exit() (int, string) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%v did not end:\n%s", p.cmd.Args[1:], p.text.String())
	}
	return p.cmd.ProcessState.ExitCode(), p.text.String()
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// TestK2V reads, writes, lists, polls and deletes items of a --dev store.
func TestK2V(t *testing.T) {
	dir := t.TempDir()
	server := run(t, dir, "server", "--dev", "--s3-listen", "127.0.0.1:0")
	server.await(`eval "\$\(granary env\)"`)
	ok := func(want string, args ...string) string {
		t.Helper()
		code, text := run(t, dir, append([]string{"k2v"}, args...)...).exit()
		if code != 0 || !regexp.MustCompile(want).MatchString(text) {
			t.Fatalf("k2v %q: exit %d: %s; want %s", args, code, text, want)
		}
		return text
	}
	token := strings.Fields(ok(`^token    \S+\n$`, "insert", "demo", "mail", "a", "hello"))[1]
	ok(`value    "hello"`, "read", "demo", "mail", "a")
	poll := run(t, dir, "k2v", "poll", "demo", "mail", "a", "--token", token, "--timeout", "60s")
	ok(`^token    \S+\n$`, "insert", "demo", "mail", "a", "bye", "--token", token)
	if code, text := poll.exit(); code != 0 || !strings.Contains(text, `value    "bye"`) {
		t.Errorf("poll: exit %d: %s", code, text)
	}
	ok("has other values", "insert", "demo", "mail", "a", "too")
	ok(`(?s)"a".*"bye".*"too"`, "list", "demo", "mail", "--conflicts")
	ok(`"values":`, "read", "demo", "mail", "a", "--json")
	ok(`^token    \S+\n$`, "delete", "demo", "mail", "a")
	ok(`^$`, "list", "demo", "mail")
	ok(`deleted`, "list", "demo", "mail", "--deleted")
	ok(`no partition keys|PARTITION KEY`, "index", "demo")
	if code, text := run(t, dir, "k2v", "read", "demo", "mail", "b").exit(); code != 1 ||
		!strings.Contains(text, "no such item") {
		t.Errorf("read of nothing: exit %d: %s", code, text)
	}
	if code, text := run(t, dir, "k2v", "--data", "nowhere", "read", "demo", "mail", "b").exit(); code != 2 ||
		!strings.Contains(text, "K2V_ENDPOINT") {
		t.Errorf("no store: exit %d: %s", code, text)
	}
}

// A token that begins with a hyphen is one all the same.
func TestHyphenatedToken(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{{"--token", "-0dpeJ7aMZT7R2jahVcYog"}, {"--token=-0dpeJ7aMZT7R2jahVcYog"},
		{"--token", "-0dpeJ7aMZT7R2jahVcYog", "--data", "nowhere"}} {
		args = append([]string{"k2v", "insert", "demo", "mail", "a", "bye"}, args...)
		if _, text := run(t, dir, args...).exit(); !strings.Contains(text, "K2V_ENDPOINT") {
			t.Errorf("%q: %s; want to be told that there is no store", args, text)
		}
	}
	code, text := run(t, dir, "k2v", "insert", "demo", "mail", "a", "bye", "--token").exit()
	if code != 2 || !strings.Contains(text, "missing value") {
		t.Errorf("no token: exit %d: %s", code, text)
	}
}

// TestDevServer goes the newcomer's way: server --dev, env, an S3 client, Ctrl-C.
func TestDevServer(t *testing.T) {
	dir := t.TempDir()
	server := run(t, dir, "server", "--dev", "--s3-listen", "127.0.0.1:0")
	server.await(`eval "\$\(granary env\)"`)
	code, text := run(t, dir, "env").exit()
	if code != 0 {
		t.Fatalf("env: exit %d: %s", code, text)
	}
	env := map[string]string{}
	for _, m := range regexp.MustCompile(`export (\w+)='(.*)'`).FindAllStringSubmatch(text, -1) {
		env[m[1]] = m[2]
	}
	if len(env) != 6 || env["K2V_ENDPOINT"] == "" || env["AWS_REGION"] != "us-east-1" ||
		env["AWS_DEFAULT_REGION"] != "us-east-1" {
		t.Errorf("env printed %v", env)
	}
	putAndGet(t, env["AWS_ENDPOINT_URL"], env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], "demo")
	if code, text := run(t, dir, "env", "--json").exit(); code != 0 ||
		strings.Contains(text, env["AWS_SECRET_ACCESS_KEY"]) {
		t.Errorf("env --json: exit %d, with the secret: %s", code, text)
	}
	if _, text := run(t, dir, "status").exit(); !strings.Contains(text, "a --dev store") {
		t.Errorf("status: %s", text)
	}

	for what, args := range map[string][]string{
		"in use by process":                 {"server", "--dev", "--s3-listen", "127.0.0.1:0"},
		"cannot become part of a cluster":   {"init", "--zone", "z"},
		"it cannot become part of":          {"token"},
		"a --dev store: one node with a si": {"layout", "assign", "x"},
	} {
		if code, text := run(t, dir, args...).exit(); code != ExitFailed || !strings.Contains(text, what) {
			t.Errorf("%v beside a --dev server: exit %d, want %q: %s", args, code, what, text)
		}
	}

	server.signal(syscall.SIGINT)
	if code, text := server.exit(); code != 0 {
		t.Errorf("after Ctrl-C: exit %d: %s", code, text)
	}
	if code, text := run(t, dir, "env").exit(); code != ExitFailed ||
		!strings.Contains(text, "no server answers") ||
		strings.Contains(text, "export") {
		t.Errorf("env without a server: exit %d: %s", code, text)
	}
	if code, text := run(t, dir, "server").exit(); code != ExitFailed ||
		!strings.Contains(text, "holds a --dev store") {
		t.Errorf("server on a --dev store: exit %d: %s", code, text)
	}
}

func putAndGet(t *testing.T, url, id, secret, bucket string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := minio.New(strings.TrimPrefix(url, "http://"),
		&minio.Options{Creds: credentials.NewStaticV4(id, secret, ""),
			Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("granary "), 40_000)
	if _, err := c.PutObject(ctx, bucket, "x", bytes.NewReader(want), int64(len(want)),
		minio.PutObjectOptions{}); err != nil {
		t.Fatalf("put: %v", err)
	}
	o, err := c.GetObject(ctx, bucket, "x", minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("get: %d bytes, %v", len(got), err)
	}
}

// freePort returns an address that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestThreeCommands makes a cluster of three sites with three commands, stores an object, and restarts a
// node.
func TestThreeCommands(t *testing.T) {
	dir := t.TempDir()
	first := run(t, dir, "init", "--zone", "paris", "--data", "a", "--s3-listen", "127.0.0.1:0",
		"--advertise", freePort(t))
	first.await("This process is the node")
	var tokens []string
	words := regexp.MustCompile(`granary join (granary-join-\S+)`)
	for _, m := range words.FindAllStringSubmatch(first.text.String(), -1) {
		tokens = append(tokens, m[1])
	}
	if len(tokens) != 2 || tokens[0] == tokens[1] {
		t.Fatalf("init printed tokens %q, want two", tokens)
	}
	first.await("2 more nodes needed")
	if code, text := run(t, dir, "key", "create", "early", "--data", "a").exit(); code != ExitFailed ||
		!strings.Contains(text, "2 more nodes needed") {
		t.Errorf("a key before the cluster is complete: exit %d: %s", code, text)
	}
	second := run(t, dir, "join", tokens[0], "--zone", "lyon", "--data", "b", "--s3-listen", "127.0.0.1:0",
		"--advertise",
		freePort(t))
	second.await("Joined the cluster")
	used := run(t, dir, "join", tokens[0], "--zone", "lyon", "--data", "x", "--s3-listen", "127.0.0.1:0",
		"--peers-listen",
		"127.0.0.1:0")
	if code, text := used.exit(); code != ExitFailed || !strings.Contains(text, "a join token works once") {
		t.Errorf("a used token: exit %d: %s", code, text)
	}
	third := run(t, dir, "join", tokens[1], "--zone", "nice", "--data", "c", "--s3-listen", "127.0.0.1:0",
		"--advertise",
		freePort(t))
	third.await("Joined the cluster")
	url := awaitReady(t, dir, "c")

	code, text := run(t, dir, "key", "create", "ci", "--create-buckets", "--data", "b").exit()
	key := regexp.MustCompile(`key id   (\S+)\nsecret   (\S+)`).FindStringSubmatch(text)
	if code != 0 || key == nil {
		t.Fatalf("key create: exit %d: %s", code, text)
	}
	code, text = run(t, dir, "bucket", "create", "photos", "--owner", key[1], "--data", "a").exit()
	if code != 0 {
		t.Fatalf("bucket create: exit %d: %s", code, text)
	}
	putAndGet(t, url, key[1], key[2], "photos")
	for _, tt := range [][2]string{{"list", `anti-entropy .* running`}, {"pause", "paused"},
		{"resume", "running"}} {
		args := []string{"job", tt[0], "--data", "a"}
		if tt[0] != "list" {
			args = append(args, "anti-entropy")
		}
		code, text := run(t, dir, args...).exit()
		if code != 0 || !regexp.MustCompile(tt[1]).MatchString(text) {
			t.Errorf("job %s: exit %d: %s", tt[0], code, text)
		}
	}

	second.signal(syscall.SIGTERM)
	if code, text := second.exit(); code != 0 {
		t.Errorf("after SIGTERM: exit %d: %s", code, text)
	}
	run(t, dir, "server", "--data", "b").await("granary \\S+ runs on")
	putAndGet(t, awaitReady(t, dir, "b"), key[1], key[2], "photos")
	if _, err := os.Stat(filepath.Join(dir, "b", "granary.toml")); err != nil {
		t.Errorf("what join was told was not kept: %v", err)
	}
	if code, text := run(t, dir, "server", "--dev", "--data", "c").exit(); code != ExitFailed ||
		!strings.Contains(text, "in use") {
		t.Errorf("--dev on a member's folder: exit %d: %s", code, text)
	}
}

// awaitReady asks for the status until S3 is served, and returns where.
func awaitReady(t *testing.T, dir, data string) string {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		_, text := run(t, dir, "status", "--data", data).exit()
		if m := regexp.MustCompile(`S3 +(\S+), region \S+: ready`).FindStringSubmatch(text); m != nil {
			return m[1]
		}
		if time.Now().After(end) {
			t.Fatalf("S3 is not served: %s", text)
		}
	}
}

// TestInitOfRunningServer shows that init talks to the server that runs already, and what it then cannot
// change.
func TestInitOfRunningServer(t *testing.T) {
	dir := t.TempDir()
	server := run(t, dir, "server", "--s3-listen", "127.0.0.1:0", "--peers-listen", "127.0.0.1:0")
	server.await("S3 is not served yet: .*run granary init or granary join")
	if code, text := run(t, dir, "init", "--zone", "z", "--region", "eu").exit(); code != ExitUsage ||
		!strings.Contains(text, "--region cannot change") {
		t.Errorf("init with a flag for the server: exit %d: %s", code, text)
	}
	if code, text := run(t, dir, "init", "--zone", "z", "--replicas", "1").exit(); code != 0 {
		t.Errorf("init: exit %d: %s", code, text)
	}
	awaitReady(t, dir, "granary-data")
	if code, text := run(t, dir, "init", "--zone", "z").exit(); code != ExitFailed ||
		!strings.Contains(text, "belongs to a cluster already") {
		t.Errorf("init again: exit %d: %s", code, text)
	}
}

// TestSecondSignal shows that a second signal ends a server at once that waits for a client.
func TestSecondSignal(t *testing.T) {
	dir := t.TempDir()
	server := run(t, dir, "server", "--dev", "--s3-listen", "127.0.0.1:0")
	url := server.await(`endpoint +http://(\S+)`)[1]
	key := server.await(`key id +(\S+)`)[1]
	_, text := run(t, dir, "env").exit()
	secret := regexp.MustCompile(`SECRET_ACCESS_KEY='(.*)'`).FindStringSubmatch(text)[1]
	c, err := minio.New(url, &minio.Options{Creds: credentials.NewStaticV4(key, secret, ""),
		Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := c.PresignedPutObject(context.Background(), "demo", "x", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
		u.RequestURI(), url)
	if _, err := conn.Read(make([]byte, 1)); err != nil { // the server waits for the body
		t.Fatal(err)
	}
	server.signal(syscall.SIGTERM)
	for { // the first signal has closed the listener
		probe, err := net.Dial("tcp", url)
		if errors.Is(err, syscall.ECONNREFUSED) {
			break
		}
		if err == nil {
			probe.Close()
		}
	}
	server.signal(syscall.SIGTERM)
	if code, text := server.exit(); code != 128+int(syscall.SIGTERM) ||
		!strings.Contains(text, "second signal") {
		t.Errorf("exit %d: %s", code, text)
	}
}
