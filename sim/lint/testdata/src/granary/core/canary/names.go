package canary

import (
	"context"
	"crypto/ed25519"
	crand "crypto/rand"
	"crypto/tls"
	"fmt"
	"hash/maphash"
	"io"
	"log"
	"log/slog"
	orand "math/rand"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unique"
	"weak"
)

func clocks(t time.Time) {
	_ = time.Now()                            // want `time.Now: ask env.Now`
	_ = time.Since(t)                         // want `time.Since`
	_ = time.Until(t)                         // want `time.Until`
	time.Sleep(1)                             // want `time.Sleep: use env.Sleep`
	_ = time.After(1)                         // want `time.After`
	time.AfterFunc(1, nil)                    // want `time.AfterFunc`
	_ = time.Tick(1)                          // want `time.Tick`
	_ = time.NewTimer(1)                      // want `time.NewTimer`
	_ = time.NewTicker(1)                     // want `time.NewTicker`
	_ = t.In(time.Local)                      // want `time.Local`
	_, _ = time.LoadLocation("")              // want `time.LoadLocation`
	_ = t.Local()                             // want `time.Time.Local`
	_ = time.Unix(1, 0)                       // want `time.Unix: .* add .UTC`
	_ = time.UnixMilli(1)                     // want `time.UnixMilli`
	_ = time.UnixMicro(1)                     // want `time.UnixMicro`
	clock := time.Now                         // want `time.Now`
	wait := []func(time.Duration){time.Sleep} // want `time.Sleep`
	of := time.Unix                           // want `time.Unix`
	_, _, _ = clock, wait, of
	_ = time.Unix(1, 0).UTC()
	_ = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Second)
}

func contexts(ctx context.Context) {
	_ = context.Background()                         // want `context.Background: contexts come from the Env`
	_ = context.TODO()                               // want `context.TODO`
	context.WithCancel(ctx)                          // want `context.WithCancel`
	context.WithCancelCause(ctx)                     // want `context.WithCancelCause`
	context.WithTimeout(ctx, 1)                      // want `context.WithTimeout`
	context.WithTimeoutCause(ctx, 1, nil)            // want `context.WithTimeoutCause`
	context.WithDeadline(ctx, time.Time{})           // want `context.WithDeadline`
	context.WithDeadlineCause(ctx, time.Time{}, nil) // want `context.WithDeadlineCause`
	context.AfterFunc(ctx, nil)                      // want `context.AfterFunc`
	context.WithoutCancel(ctx)                       // want `context.WithoutCancel`
	make := context.WithTimeout                      // want `context.WithTimeout`
	_ = make
	_ = context.WithValue(ctx, 1, 2)
	_ = context.Cause(ctx)
}

func randomness() {
	_ = orand.Intn(3)                  // want `math/rand.Intn`
	_ = rand.IntN(3)                   // want `math/rand/v2.IntN: draw from env.Rand`
	rand.Shuffle(3, nil)               // want `math/rand/v2.Shuffle`
	_ = rand.N[int]                    // want `math/rand/v2.N`
	_, _ = crand.Read(nil)             // want `crypto/rand.Read: take env.Secret`
	_ = crand.Reader                   // want `crypto/rand.Reader`
	_, _, _ = ed25519.GenerateKey(nil) // want `ed25519.GenerateKey`
	_ = maphash.MakeSeed()             // want `maphash.MakeSeed`
	r := rand.New(rand.NewPCG(1, 2))
	_ = r.IntN(3)
	_ = rand.NewChaCha8([32]byte{})
	_ = orand.New(orand.NewSource(1)).Intn(3)
}

type locks struct {
	a sync.Mutex     // want `sync.Mutex: use env.NewLock`
	b sync.RWMutex   // want `sync.RWMutex`
	c sync.WaitGroup // want `sync.WaitGroup`
	d *sync.Cond     // want `sync.Cond`
	e sync.Pool      // want `sync.Pool`
	f sync.Map       // want `sync.Map`
	g sync.Once
	h atomic.Int64
}

func process(p *int) {
	_ = runtime.NumCPU()                   // want `runtime.NumCPU`
	_ = runtime.GOMAXPROCS(0)              // want `runtime.GOMAXPROCS`
	runtime.SetFinalizer(p, nil)           // want `runtime.SetFinalizer`
	runtime.AddCleanup(p, func(int) {}, 1) // want `runtime.AddCleanup`
	runtime.Gosched()                      // want `runtime.Gosched`
	runtime.Goexit()                       // want `runtime.Goexit`
	debug.FreeOSMemory()                   // want `debug.FreeOSMemory`
	_ = weak.Make(p)                       // want `weak.Make`
	_ = unique.Make(1)                     // want `unique.Make`
	_, _, _, _ = runtime.Caller(0)
	runtime.KeepAlive(p)
}

func machine(c net.Conn) { // want `net.Conn`
	_, _ = os.Open("x")               // want `os.Open`
	_ = os.Args                       // want `os.Args`
	var f *os.File                    // want `os.File`
	_ = exec.Command("x")             // want `exec.Command`
	signal.Ignore()                   // want `signal.Ignore`
	_, _ = user.Current()             // want `user.Current`
	_ = syscall.Getpid()              // want `syscall.Getpid`
	_, _ = net.Dial("", "")           // want `net.Dial`
	_ = tls.Client(c, nil)            // want `tls.Client`
	_, _ = filepath.Abs("x")          // want `filepath.Abs`
	_, _ = filepath.EvalSymlinks("x") // want `filepath.EvalSymlinks`
	_, _ = filepath.Glob("x")         // want `filepath.Glob`
	_ = filepath.Walk("x", nil)       // want `filepath.Walk`
	_ = filepath.WalkDir("x", nil)    // want `filepath.WalkDir`
	_ = f
	_, _, _ = net.SplitHostPort("a:1")
	_ = filepath.Join("a", "b")
	_ = os.ErrNotExist
}

func printing() {
	fmt.Print()      // want `fmt.Print: log by the Env`
	fmt.Printf("")   // want `fmt.Printf`
	fmt.Println()    // want `fmt.Println`
	fmt.Scan()       // want `fmt.Scan`
	fmt.Scanf("")    // want `fmt.Scanf`
	fmt.Scanln()     // want `fmt.Scanln`
	log.Print()      // want `log.Print`
	slog.Info("")    // want `slog.Info`
	_, _ = io.Pipe() // want `io.Pipe: use rt.Pipe`
	fmt.Fprintln(io.Discard)
}
