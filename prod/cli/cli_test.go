package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"granary/core/goldentest"
)

// fakeAPI answers with canned JSON and remembers what it was asked.
type fakeAPI struct {
	answers map[string]string // by method and path
	asked   []string
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	f.asked = append(f.asked, strings.TrimSpace(fmt.Sprint(r.Method, " ", r.URL, " ", string(body))))
	answer, ok := f.answers[r.Method+" "+r.URL.String()]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		answer = `{"code":"no_such_thing","message":"there is no such thing","hint":"look elsewhere"}`
	}
	io.WriteString(w, answer)
}

const (
	statusJSON = `{"version":"v1","ready":false,"missing":"1 more node needed","node":{"id":"aaaabbbbcccc",
"name":"alpha",
"uptime_seconds":3725.5},"s3":{"endpoint":"http://127.0.0.1:3900","region":"us-east-1"},
"storage":{"metadata_bytes":1234567,
"disk_total_bytes":500000000000,"disk_free_bytes":400000000000},"cluster":{"id":"00112233445566",
"founder":"aaaabbbbcccc",
"replicas":3,"min_zones":0,"partitions":256,"layout_version":2,"usable_bytes":1500000000000,
"layout_change":{"from":1,"to":2,"parts":257,"readable":30,"retired":0,"syncing":["alpha","beta"],
"carrying":[],"closing":["alpha"]}},
"nodes":[{"id":"aaaabbbbcccc",
"name":"alpha","address":"a:3901","zone":"paris","capacity_bytes":1000000000000,"partitions":256,"self":true,
"connected":true},{"id":"ddddeeeeffff","zone":"lyon","address":"b:3901","capacity_bytes":0,
"partitions":0,"connected":false,
"rtt_ms":12.34},{"id":"gggghhhhiiii","name":"old","removed":true,"connected":false,"capacity_bytes":0,
"partitions":0}],
"warnings":["something burns"],"notes":["it cannot fly"]}`
	aloneJSON = `{"version":"v1","dev":true,"ready":true,"node":{"id":"aaaabbbbcccc","name":"alpha",
"uptime_seconds":1},
"s3":{"endpoint":"http://127.0.0.1:3900","region":"us-east-1"},"storage":{"metadata_bytes":0,
"disk_total_bytes":0,
"disk_free_bytes":0},"warnings":[],"notes":[]}`
	bucketJSON = `{"name":"photos","id":"00ff","owner":"GKA","created":"2026-03-04T05:06:07Z",
"consistency":"monotonic",
"grants":[{"key":"GKA","read":true,"write":true,"owner":true},{"key":"GKB","read":true}]}`
	corsJSON = `{"name":"photos","id":"00ff","owner":"GKA","created":"2026-03-04T05:06:07Z",
"grants":[],"consistency":"read-after-write",
"CORSRules":[{"AllowedOrigins":["https://shop.example","null"],"AllowedMethods":["GET","PUT"],
"AllowedHeaders":["*"],"ExposeHeaders":["ETag"],"MaxAgeSeconds":600},{"AllowedOrigins":["*"],
"AllowedMethods":["GET"]}]}`
	keyJSON = `{"id":"GKA","name":"ci","create_buckets":true,"created":"2026-03-04T05:06:07Z",
"buckets":["photos","docs"]}`
	secretJSON = `{"id":"GKA","name":"ci","secret":"s3cr3t","create_buckets":false,
"created":"2026-03-04T05:06:07Z"}`
	layoutJSON = `{"version":2,"replicas":3,"min_zones":2,"partitions":256,"usable_bytes":1000000000000,
"roles":[
{"node":"aaaabbbbcccc","name":"alpha","zone":"paris","capacity_bytes":1000000000000,"partitions":256,
"tags":["ssd","new"]}],
"staged":[{"node":"ddddeeeeffff","to":{"node":"ddddeeeeffff","zone":"lyon","capacity_bytes":5000000000}},
{"node":"aaaabbbbcccc","name":"alpha","from":{"node":"aaaabbbbcccc","zone":"paris","capacity_bytes":0}}],
"staged_params":{"replicas":3,"min_zones":0,"partitions":512,"tolerance":150}}`
	revertedJSON = `{"version":2,"replicas":3,"min_zones":2,"partitions":256,"usable_bytes":1000000000000,
"roles":[],"staged":[]}`
	historyJSON = `[{"version":1,"hash":"00","made":"2026-03-04T05:06:07Z","replicas":3,"min_zones":0,
"partitions":256,"tolerance":0,"usable_bytes":1000000000000,"moves":768,"changes":[
{"node":"aaaabbbbcccc","name":"alpha","to":{"node":"aaaabbbbcccc","zone":"paris",
"capacity_bytes":1000000000000}}]},
{"version":2,"hash":"01","made":"2026-03-05T05:06:07Z","live":true,"replicas":3,"min_zones":2,
"partitions":256,"tolerance":100,"usable_bytes":2000000000000,"moves":1,"changes":[
{"node":"ddddeeeeffff","from":{"node":"ddddeeeeffff","zone":"lyon","capacity_bytes":5000000000}}]}]`
	noLayoutJSON = `{"version":0,"replicas":3,"min_zones":0,"partitions":256,"roles":[],"staged":[],
"missing":"2 more nodes needed"}`
	planJSON = `{"refusals":[],"warnings":[
{"code":"usable_falls","text":"usable capacity falls from 14.9 TB to 10 TB","remedy":"add capacity",
"confirm":true},
{"code":"spread_costs","text":"2 zones would be more","confirm":false}],"confirm":true,"version":3,
"settings":{"replicas":3,"min_zones":3,"partitions":256,"partitions_advised":128,"tolerance":0},
"usable":{"before_bytes":14883720930048,"after_bytes":10000000000000,"optimum_bytes":10000000000000,
"bound_bytes":10000000000000,"partition_size_bytes":39062500000},
"limit":{"level":"zone","spread":3,"full":[],"limiting":["neptune"],"text":"neptune limits"}}`
	refusedPlanJSON = `{"version":3,"refusals":[{"code":"too_few_nodes","text":"2 storing nodes, 3 needed",
"remedy":"add nodes"}]}`
	lostJSON = `{"blocks":[{"block":"00aa","objects":[{"bucket":"photos","key":"a b.jpg"},
{"bucket":"0011","key":"c"}]}],"next":"00aa"}`
	tokenJSON = `{"token":"granary-join-XYZ","expires":"2026-03-04T05:06:07Z","address":"a.example:3901"}`
)

// talkFile describes a cluster.
const talkFile = "../roles/testdata/talk.toml"

// TestGolden runs commands against a fake API and compares all that they print, and what they asked, with
// testdata. The flag -update writes it.
func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		args    string
		answers map[string]string
		in      string
	}{
		"status":       {"status", map[string]string{"GET /v1/status": statusJSON}, ""},
		"status-dev":   {"status", map[string]string{"GET /v1/status": aloneJSON}, ""},
		"status-json":  {"status --json", map[string]string{"GET /v1/status": aloneJSON}, ""},
		"bucket-list":  {"bucket list", map[string]string{"GET /v1/buckets": "[" + bucketJSON + "]"}, ""},
		"bucket-empty": {"bucket list", map[string]string{"GET /v1/buckets": "[]"}, ""},
		"bucket-create": {"bucket create photos --owner GKA",
			map[string]string{"POST /v1/buckets": bucketJSON}, ""},
		"bucket-delete": {"bucket delete photos", map[string]string{"DELETE /v1/buckets/photos": "{}"}, ""},
		"bucket-info":   {"bucket info photos", map[string]string{"GET /v1/buckets/photos": bucketJSON}, ""},
		"bucket-allow": {"bucket allow photos --key GKB --read", map[string]string{
			"POST /v1/buckets/photos/allow": bucketJSON}, ""},
		"bucket-deny": {"bucket deny photos --key GKB --write --owner", map[string]string{
			"POST /v1/buckets/photos/deny": bucketJSON}, ""},
		"bucket-cors": {"bucket cors photos", map[string]string{"GET /v1/buckets/photos": corsJSON}, ""},
		"bucket-cors-none": {"bucket cors photos",
			map[string]string{"GET /v1/buckets/photos": bucketJSON}, ""},
		"bucket-consistency": {"bucket consistency photos monotonic", map[string]string{
			"PUT /v1/buckets/photos/consistency": bucketJSON}, ""},
		"bucket-consistency-bad": {"bucket consistency photos strong", nil, ""},
		"bucket-cors-set": {"bucket cors photos --set testdata/cors.json --json",
			map[string]string{"PUT /v1/buckets/photos/cors": corsJSON}, ""},
		"bucket-cors-bad": {"bucket cors photos --set testdata/cors-bad.json", nil, ""},
		"bucket-cors-delete": {"bucket cors photos --delete",
			map[string]string{"PUT /v1/buckets/photos/cors": bucketJSON}, ""},
		"bucket-info-cors": {"bucket info photos", map[string]string{"GET /v1/buckets/photos": corsJSON}, ""},
		"bucket-escaped":   {"bucket info a/../b?c", nil, ""},
		"key-list":         {"key list", map[string]string{"GET /v1/keys": "[" + keyJSON + "]"}, ""},
		"key-create":       {"key create ci", map[string]string{"POST /v1/keys": secretJSON}, ""},
		"key-create-json":  {"key create ci --json", map[string]string{"POST /v1/keys": secretJSON}, ""},
		"key-create-secret": {"key create ci --json --show-secret",
			map[string]string{"POST /v1/keys": secretJSON}, ""},
		"key-import": {"key import GKA --name ci --create-buckets",
			map[string]string{"POST /v1/keys/import": keyJSON},
			"the secret on stdin\n"},
		"key-import-empty": {"key import GKA", nil, "\n"},
		"key-delete":       {"key delete GKA", map[string]string{"DELETE /v1/keys/GKA": "{}"}, ""},
		"key-info":         {"key info GKA", map[string]string{"GET /v1/keys/GKA": keyJSON}, ""},
		"key-info-secret": {"key info GKA --show-secret",
			map[string]string{"GET /v1/keys/GKA?secret=show": secretJSON}, ""},
		"layout-show": {"layout show", map[string]string{"GET /v1/layout": layoutJSON}, ""},
		"layout-none": {"layout show", map[string]string{"GET /v1/layout": noLayoutJSON}, ""},
		"layout-assign": {"layout assign alpha --zone nice --capacity 1.5T --tag ssd", map[string]string{
			"POST /v1/layout/assign": layoutJSON}, ""},
		"layout-assign-bad": {"layout assign alpha --capacity lots", nil, ""},
		"layout-apply": {"layout apply --version 3", map[string]string{
			"POST /v1/layout/apply": `{"version":3}`}, ""},
		"layout-apply-nothing": {"layout apply", map[string]string{
			"POST /v1/layout/apply": `{"version":3,"unchanged":true}`}, ""},
		"layout-apply-confirm": {"layout apply --confirm usable_falls,idle_node", map[string]string{
			"POST /v1/layout/apply": `{"version":3}`}, ""},
		"layout-apply-refused": {"layout apply --yes --json", nil, ""},
		"layout-plan": {"layout plan --bandwidth 100M", map[string]string{
			"GET /v1/layout/plan?bandwidth=100000000": planJSON}, ""},
		"layout-plan-refused": {"layout plan", map[string]string{
			"GET /v1/layout/plan": refusedPlanJSON}, ""},
		"layout-plan-nothing": {"layout plan", map[string]string{
			"GET /v1/layout/plan": `{"unchanged":true}`}, ""},
		"layout-plan-bad": {"layout plan --bandwidth fast", nil, ""},
		"layout-explain": {"layout explain", map[string]string{
			"GET /v1/layout/explain": `{"text":"The layout holds 1 TB.\n"}`}, ""},
		"layout-explain-node": {"layout explain a/b", map[string]string{
			"GET /v1/layout/explain/a%2Fb": `{"text":"It limits.\n"}`}, ""},
		"layout-simulate-server": {"layout simulate --remove alpha --add new:lyon:5T --resize b:c:1T " +
			"--staged --tolerance 1% --bandwidth 1M", map[string]string{
			"POST /v1/layout/simulate": `{"report":` + planJSON + `}`}, ""},
		"layout-simulate": {"layout simulate --roles " + talkFile, nil, ""},
		"layout-simulate-change": {"layout simulate --roles " + talkFile + " --resize courgette:10T " +
			"--remove celeri --add persil:neptune:1.5T --min-zones 2", nil, ""},
		"layout-simulate-refused":      {"layout simulate --remove io --roles " + talkFile, nil, ""},
		"layout-simulate-refused-json": {"layout simulate --json --replicas 8 --roles " + talkFile, nil, ""},
		"layout-simulate-absent":       {"layout simulate --remove x --roles " + talkFile, nil, ""},
		"layout-simulate-twice":        {"layout simulate --add io:x:1T --roles " + talkFile, nil, ""},
		"layout-simulate-add":          {"layout simulate --add persil:10T", nil, ""},
		"layout-simulate-resize":       {"layout simulate --resize io:lots", nil, ""},
		"layout-simulate-no-file":      {"layout simulate --roles nowhere.toml", nil, ""},
		"layout-simulate-bad-file":     {"layout simulate --roles testdata/faulty.toml", nil, ""},
		"layout-simulate-previous": {"layout simulate --roles " + talkFile + " --previous " +
			talkFile, nil, ""},
		"layout-simulate-both": {"layout simulate --staged --roles " + talkFile, nil, ""},
		"layout-buy": {"layout buy --to 25T --price neptune=1,jupiter=2.5 --price atuin=1 --roles " +
			talkFile, nil, ""},
		"layout-buy-new": {"layout buy --to 20T --price neptune=3,pluto=1 --new-node pluto=1 " +
			"--node-max 25T --unit 1T --roles " + talkFile, nil, ""},
		"layout-buy-nothing": {"layout buy --to 1T --price neptune=1 --roles " + talkFile, nil, ""},
		"layout-buy-price":   {"layout buy --to 25T --price neptune=-1 --roles " + talkFile, nil, ""},
		"layout-buy-to":      {"layout buy --to much --price neptune=1", nil, ""},
		"layout-buy-none":    {"layout buy --to 25T", nil, ""},
		"layout-buy-server": {"layout buy --to 25T --price neptune=1 --staged --node-max 8T " +
			"--new-node x=2", map[string]string{
			"POST /v1/layout/buy": `{"before_bytes":30000000000000,"items":[]}`}, ""},
		"layout-rebalance": {"layout rebalance --budget 500G --confirm usable_falls", map[string]string{
			"POST /v1/layout/rebalance": `{"version":3,"report":` + planJSON + `}`}, ""},
		"layout-rebalance-dry": {"layout rebalance --budget 1T --dry-run", map[string]string{
			"POST /v1/layout/rebalance": `{"version":3,"report":` + planJSON + `}`}, ""},
		"layout-rebalance-nothing": {"layout rebalance --budget 1T", map[string]string{
			"POST /v1/layout/rebalance": `{"version":2,"unchanged":true}`}, ""},
		"layout-rebalance-bad":  {"layout rebalance --budget much", nil, ""},
		"layout-rebalance-none": {"layout rebalance", nil, ""},
		"layout-params-regions": {"layout params --min-regions 2", map[string]string{
			"POST /v1/layout/params": `{"version":2,"replicas":3,"min_regions":2,"partitions":8}`},
			""},
		"layout-remove": {"layout remove alpha", map[string]string{
			"POST /v1/layout/remove": layoutJSON}, ""},
		"layout-params": {"layout params --min-zones 0 --partitions 512 --tolerance 1.5%", map[string]string{
			"POST /v1/layout/params": layoutJSON}, ""},
		"layout-params-none": {"layout params", nil, ""},
		"layout-params-bad":  {"layout params --tolerance 2", nil, ""},
		"layout-revert": {"layout revert", map[string]string{
			"POST /v1/layout/revert": revertedJSON}, ""},
		"layout-revert-to": {"layout revert --to 1 --json", map[string]string{
			"POST /v1/layout/revert": revertedJSON}, ""},
		"layout-history": {"layout history", map[string]string{
			"GET /v1/layout/history": historyJSON}, ""},
		"layout-history-none": {"layout history", map[string]string{"GET /v1/layout/history": "[]"}, ""},
		"node-list":           {"node list", map[string]string{"GET /v1/nodes": "[]"}, ""},
		"node-accept-loss": {"node accept-loss old --yes",
			map[string]string{"POST /v1/nodes/old/accept-loss": "{}"}, `{"yes":true}`},
		"block-lost": {"block lost", map[string]string{"GET /v1/blocks/lost": lostJSON,
			"GET /v1/blocks/lost?after=00aa": `{"blocks":[{"block":"00bb","given_up":true,"objects":[
{"bucket":"photos","key":"b\n","part":7}]}]}`}, ""},
		"block-lost-none":     {"block lost", map[string]string{"GET /v1/blocks/lost": `{"blocks":[]}`}, ""},
		"block-give-up-which": {"block give-up --yes", nil, ""},
		"block-give-up": {"block give-up --all --yes", map[string]string{
			"GET /v1/blocks/lost": lostJSON, "GET /v1/blocks/lost?after=00aa": `{"blocks":[]}`,
			"POST /v1/blocks/give-up": `{"given_up":["00aa"],"refused":[{"block":"00cc",
"cause":"beta (zone lyon) has it"}]}`}, ""},
		"node-remove":     {"node remove old", map[string]string{"DELETE /v1/nodes/old": "{}"}, ""},
		"token":           {"token", map[string]string{"POST /v1/tokens": tokenJSON}, ""},
		"refused":         {"bucket info photos", nil, ""},
		"refused-json":    {"bucket info photos --json", nil, ""},
		"another-program": {"status", map[string]string{"GET /v1/status": "<html>"}, ""},
		"unknown-command": {"buckets list", nil, ""},
		"unknown-flag":    {"status --jsn", nil, ""},
		"config-faults": {"config check --set s3.lissen=x --set log.level=loud --set " +
			"metadata.fsync=perhaps --set x", nil, ""},
		"config-faults-2": {"config check --set s3.lissen=x --set log.level=loud --region US", nil, ""},
		"config-show":     {"config show --set s3.region=eu-1 --zone paris", nil, ""},
		"config-check":    {"config check", nil, ""},
		"config-example":  {"config example", nil, ""},
		"help":            {"--help", nil, ""},
		"join-bad-token":  {"join granary-join-nonsense --zone x", nil, ""},
		"join-no-token":   {"join --zone x", nil, ""},
		"env-nothing":     {"env --data nowhere", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			api := &fakeAPI{answers: c.answers}
			server := httptest.NewServer(api)
			defer server.Close()
			var out, errOut bytes.Buffer
			code := Main(context.Background(), World{Args: strings.Fields(c.args),
				In: strings.NewReader(c.in), Out: &out,
				Err: &errOut, Env: []string{"GRANARY_ADMIN_URL=" + server.URL,
					"GRANARY_DATA_FOLDER=no-such-folder"}})
			got := fmt.Sprintf("$ granary %s\n%s", c.args, out.String())
			if errOut.Len() > 0 {
				got += "-- error\n" + errOut.String()
			}
			got += fmt.Sprintf("-- exit %d\n", code)
			for _, line := range api.asked {
				got += "-- asked " + line + "\n"
			}
			goldentest.Check(t, filepath.Join("testdata", name+".txt"),
				strings.ReplaceAll(got, server.URL, "URL"))
		})
	}
}

// TestBearer shows that the token of the environment is sent, and only where nobody can read it on the way.
func TestBearer(t *testing.T) {
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		io.WriteString(w, "[]")
	}))
	defer server.Close()
	run := func(url string) (int, string) {
		var errOut bytes.Buffer
		code := Main(context.Background(), World{Args: []string{"key", "list", "--admin", url},
			Out: io.Discard, Err: &errOut,
			Env: []string{"GRANARY_ADMIN_TOKEN=tok"}})
		return code, errOut.String()
	}
	if code, text := run(server.URL); code != 0 || got != "Bearer tok" {
		t.Errorf("exit %d, sent %q: %s", code, got, text)
	}
	got = ""
	if code, text := run("http://192.0.2.1:3902"); code != ExitUsage ||
		!strings.Contains(text, "without TLS") {
		t.Errorf("a token beyond loopback without TLS: exit %d: %s", code, text)
	}
	if code, _ := run("192.0.2.1:3902"); code != ExitUsage {
		t.Errorf("an address that is no URL: exit %d", code)
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{"a b": "'a b'", "it's $x": `'it'\''s $x'`, "": "''"} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}
