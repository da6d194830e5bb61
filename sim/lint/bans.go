package lint

import (
	"go/ast"
	"slices"
	"strings"
)

// ban forbids names of one package. A method is written Type.Method.
type ban struct {
	pkg     string
	names   string // separated by spaces; * means every name of the package, methods excepted
	except  string // for *: the names that are harmless
	instead string
	unless  func(*walker, *ast.Ident) bool // says that this mention is harmless
}

const (
	insteadOfClock   = "ask env.Now (monotonic) or env.Wall"
	insteadOfTimer   = "use env.Sleep, Waiter.ParkFor or Queue.GetFor"
	insteadOfContext = "contexts come from the Env: env.Background, env.WithCancel, env.WithTimeout"
	insteadOfRand    = "draw from env.Rand(stream)"
	insteadOfSecret  = "take env.Secret(n)"
	insteadOfLock    = "use env.NewLock for a short section, rt.Mutex across a wait"
	insteadOfWorld   = "core, netsim and sim do not touch the machine; let prod or a cmd hand it in"
	insteadOfServer  = "handlers only: nothing here may open sockets or start goroutines"
	insteadOfForm    = "it spools to files; use url.ParseQuery or a multipart.Reader"
	insteadOfLog     = "log by the Env (env.Info), which stamps its own time"
	insteadOfProc    = "the machine must not be seen by a decision; nothing in rt replaces it"
)

// bans lists every forbidden name; the canary commits each once.
var bans = []ban{
	{pkg: "", names: "print println", instead: insteadOfLog},
	{pkg: "", names: "close", instead: insteadOfChan},
	{pkg: "time", names: "Now Since Until", instead: insteadOfClock},
	{pkg: "time", names: "Sleep After AfterFunc Tick NewTimer NewTicker", instead: insteadOfTimer},
	{pkg: "time", names: "Local LoadLocation Time.Local",
		instead: "the machine's time zone is not ours: use time.UTC"},
	{pkg: "time", names: "Unix UnixMilli UnixMicro", unless: (*walker).thenUTC,
		instead: "it returns the machine's time zone: add .UTC()"},
	{pkg: "context", names: "Background TODO WithCancel WithCancelCause WithTimeout WithTimeoutCause " +
		"WithDeadline WithDeadlineCause AfterFunc WithoutCancel", instead: insteadOfContext},
	{pkg: "math/rand", names: "*", except: "Rand Source Source64 Zipf New NewSource NewZipf",
		instead: insteadOfRand},
	{pkg: "math/rand/v2", names: "*", except: "Rand Source PCG ChaCha8 Zipf New NewPCG NewChaCha8 NewZipf",
		instead: insteadOfRand},
	{pkg: "crypto/rand", names: "*", instead: insteadOfSecret},
	{pkg: "hash/maphash", names: "*", instead: "its seed differs from run to run: use hash/fnv or blake3"},
	{pkg: "sync", names: "*", except: "Once OnceFunc OnceValue OnceValues Locker", instead: insteadOfLock},
	{pkg: "runtime", names: "*", except: "Caller Callers CallersFrames Frame Frames Error Version KeepAlive",
		instead: insteadOfProc},
	{pkg: "runtime/debug", names: "*", except: "Stack PrintStack ReadBuildInfo BuildInfo BuildSetting Module",
		instead: insteadOfProc},
	{pkg: "weak", names: "*", instead: "what the collector frees differs from run to run; keep a plain map"},
	{pkg: "unique", names: "*", instead: "handles live in a table of the process; compare the values"},
	{pkg: "os", names: "*", except: "FileMode FileInfo ErrNotExist ErrExist ErrClosed",
		instead: insteadOfWorld},
	{pkg: "os/exec", names: "*", instead: insteadOfWorld},
	{pkg: "os/signal", names: "*", instead: insteadOfWorld},
	{pkg: "os/user", names: "*", instead: insteadOfWorld},
	{pkg: "path/filepath", names: "Abs EvalSymlinks Glob Walk WalkDir", instead: insteadOfWorld},
	{pkg: "syscall", names: "*", instead: insteadOfWorld},
	{pkg: "net", names: "*", except: "Addr Error ErrClosed IP IPMask IPNet IPv4 CIDRMask ParseIP ParseCIDR " +
		"JoinHostPort SplitHostPort", instead: "connections come from rpc.Transport"},
	{pkg: "crypto/tls", names: "*", instead: "connections come from rpc.Transport"},
	{pkg: "crypto/ed25519", names: "GenerateKey", instead: "take ed25519.NewKeyFromSeed(env.Secret(32))"},
	{pkg: "fmt", names: "Print Printf Println Scan Scanf Scanln", instead: insteadOfLog},
	{pkg: "log", names: "*", instead: insteadOfLog},
	{pkg: "log/slog", names: "*", instead: insteadOfLog},
	{pkg: "io", names: "Pipe", instead: "use rt.Pipe: this one waits on a lock that no Env knows"},
	{pkg: "net/http", names: "Client DefaultClient Get Head Post PostForm Transport DefaultTransport " +
		"Server Serve ServeTLS ListenAndServe ListenAndServeTLS " +
		"TimeoutHandler DefaultServeMux Handle HandleFunc",
		instead: insteadOfServer},
	{pkg: "net/http", names: "ServeContent ServeFile ServeFileFS FileServer FileServerFS Dir",
		instead: "it starts a goroutine and draws a boundary for several ranges; write the ranges yourself"},
	{pkg: "net/http", names: "Request.ParseMultipartForm Request.FormValue Request.FormFile " +
		"Request.PostFormValue", instead: insteadOfForm},
	{pkg: "net/http/httputil", names: "ReverseProxy NewSingleHostReverseProxy", instead: insteadOfServer},
	{pkg: "net/http/httptest", names: "Server NewServer NewTLSServer NewUnstartedServer",
		instead: insteadOfServer},
	{pkg: "mime", names: "TypeByExtension ExtensionsByType AddExtensionType",
		instead: "it reads tables of the machine; keep a table of your own"},
	{pkg: "mime/multipart", names: "NewWriter", unless: (*walker).setsBoundary,
		instead: "it draws a random boundary: call SetBoundary in the same function"},
	{pkg: "mime/multipart", names: "Reader.ReadForm", instead: insteadOfForm},
	{pkg: "github.com/klauspost/compress/zstd", names: "NewWriter NewReader", unless: (*walker).oneAtATime,
		instead: "it starts goroutines: give zstd.WithEncoderConcurrency(1) or WithDecoderConcurrency(1)"},
	{pkg: "maps", names: "Keys Values All", unless: (*walker).seqOrderFree, instead: insteadOfMap},
	{pkg: "maps", names: "DeleteFunc", unless: (*walker).deletesPurely,
		instead: "its function runs in map order: give it a literal that only returns, without calls"},
	{pkg: "reflect", names: "Value.MapKeys", unless: (*walker).resultSorted, instead: insteadOfMap},
	{pkg: "reflect", names: "Value.MapRange Value.Seq Value.Seq2", instead: insteadOfMap},
	{pkg: "reflect", names: "Select MakeChan ChanOf Value.Send Value.Recv Value.TrySend Value.TryRecv",
		instead: insteadOfChan},
}

var banOf = func() map[string]*ban {
	m := map[string]*ban{}
	for i := range bans {
		for _, n := range strings.Fields(bans[i].names) {
			m[bans[i].pkg+" "+n] = &bans[i]
		}
	}
	return m
}()

// lookup returns the ban on a name as nameOf gives it, nil if it is free.
func lookup(pkg, name string) *ban {
	if name == "" {
		return nil
	}
	if b := banOf[pkg+" "+name]; b != nil {
		return b
	}
	b := banOf[pkg+" *"]
	if b == nil || strings.Contains(name, ".") || slices.Contains(strings.Fields(b.except), name) {
		return nil
	}
	return b
}

// thenUTC allows f(...).UTC().
func (c *walker) thenUTC(id *ast.Ident) bool {
	call := c.callOf(id)
	if call == nil {
		return false
	}
	sel, ok := c.parents[call].(*ast.SelectorExpr)
	return ok && sel.Sel.Name == "UTC"
}

// setsBoundary allows a multipart writer in a function that also calls SetBoundary.
func (c *walker) setsBoundary(id *ast.Ident) bool {
	fn := c.funcAround(id)
	if fn == nil {
		return false
	}
	set := false
	ast.Inspect(fn, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok && call.Pos() > id.Pos() {
			pkg, name := c.callee(call)
			set = set || pkg == "mime/multipart" && name == "Writer.SetBoundary"
		}
		return true
	})
	return set
}

// oneAtATime allows zstd.NewWriter and NewReader with an option literally of concurrency 1.
func (c *walker) oneAtATime(id *ast.Ident) bool {
	call := c.callOf(id)
	if call == nil {
		return false
	}
	return slices.ContainsFunc(call.Args, func(a ast.Expr) bool {
		opt, ok := a.(*ast.CallExpr)
		if !ok || len(opt.Args) != 1 {
			return false
		}
		_, name := c.callee(opt)
		v := c.pass.TypesInfo.Types[opt.Args[0]].Value
		named := name == "WithEncoderConcurrency" || name == "WithDecoderConcurrency"
		return named && v != nil && v.String() == "1"
	})
}

// seqOrderFree allows maps.Keys and its like where their order is lost at once: sorted, put into another map,
// collected and sorted, or ranged over by a loop that passes orderFree.
func (c *walker) seqOrderFree(id *ast.Ident) bool {
	call := c.callOf(id)
	if call == nil {
		return false
	}
	switch p := c.parents[call].(type) {
	case *ast.RangeStmt:
		return p.X == call && c.orderFree(p)
	case *ast.CallExpr:
		pkg, name := c.callee(p)
		switch pkg + "." + name {
		case "slices.Sorted", "slices.SortedFunc", "slices.SortedStableFunc", "maps.Collect", "maps.Insert":
			return true
		case "slices.Collect", "slices.AppendSeq":
			return c.assignedSorted(p)
		}
	}
	return false
}

// resultSorted allows a call whose result goes into a variable that is sorted before anything else.
func (c *walker) resultSorted(id *ast.Ident) bool {
	call := c.callOf(id)
	return call != nil && c.assignedSorted(call)
}

// deletesPurely allows maps.DeleteFunc with a literal of one return statement without calls.
func (c *walker) deletesPurely(id *ast.Ident) bool {
	call := c.callOf(id)
	if call == nil || len(call.Args) != 2 {
		return false
	}
	lit, ok := call.Args[1].(*ast.FuncLit)
	if !ok || len(lit.Body.List) != 1 {
		return false
	}
	ret, ok := lit.Body.List[0].(*ast.ReturnStmt)
	l := newProof(c, nil)
	return ok && len(ret.Results) == 1 && l.pure(ret.Results[0]) && !l.readsMaps
}
