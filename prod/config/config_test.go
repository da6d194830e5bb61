package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "granary.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestFaults shows every kind of fault, and that all of a source are reported at once.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, file string
		env        []string
		flags      []Setting
		want       []string // FILE stands for the path
	}{
		{name: "syntax", file: "[s3]\nlisten = \n", want: []string{"FILE:2: "}},
		{name: "unknown keys", file: "[s3]\nlisten = \"127.0.0.1:1\"\nregoin = \"x\"\n\n[lgo]\nlevel = " +
			"\"info\"\n",
			want: []string{
				"FILE:3: no such key \"s3.regoin\", did you mean s3.region?",
				"FILE:5: no such key \"lgo\", did you mean log?",
				"FILE:6: no such key \"lgo.level\", did you mean log.level?",
			}},
		{name: "inline and dotted", file: "s3 = { lisen = \"x\" }\nlog.levle = \"info\"\nnothinglikeit = " +
			"1\n", want: []string{
			"FILE:1: no such key \"s3.lisen\", did you mean s3.listen?",
			"FILE:2: no such key \"log.levle\", did you mean log.level?",
			"FILE:3: no such key \"nothinglikeit\"",
		}},
		{name: "types", file: "[s3]\nlisten = 3900\ndomains = \"a\"\nconnections_max = " +
			"\"many\"\nidle_timeout = \"soon\"\n" +
			"[metadata]\nfsync = \"yes\"\n[node]\ncapacity = \"1X\"\n",
			want: []string{
				"FILE:2: s3.listen: 3900: want a text in quotes",
				"FILE:3: s3.domains: \"a\": want a list of texts",
				"FILE:4: s3.connections_max: \"many\": want a whole number",
				"FILE:5: s3.idle_timeout: \"soon\": want a time like 30s or 2m",
				"FILE:7: metadata.fsync: \"yes\": want true or false",
				"FILE:9: node.capacity: size \"1X\": not a number; write a number of bytes, " +
					"or one like 500G, 1.5T, 64Mi",
			}},
		{name: "bounds", file: "[s3]\nheader_max = 1\nregion = \"EU\"\nstall_timeout = " +
			"\"1ns\"\nconnections_max = 1\n" +
			"listen = \"here\"\ndomains = [\"a:1\"]\ntls_cert = \"x\"\n[log]\nlevel = \"loud\"\nformat = " +
			"\"xml\"\n",
			want: []string{
				"FILE:6: s3.listen: \"here\": want host:port",
				"FILE:3: s3.region: \"EU\": want lower-case letters, digits and hyphens",
				"FILE:7: s3.domains: \"a:1\": want a domain, without port",
				"FILE:8: s3.tls_cert: needs s3.tls_key too",
				"FILE:2: s3.header_max: 1: want 8Ki to 1Mi",
				"FILE:4: s3.stall_timeout: 1ns: want 100ms to 1h",
				"FILE:5: s3.connections_max: 1: want 16 to 1048576",
				"FILE:10: log.level: \"loud\": want one of debug, info, warn, error",
				"FILE:11: log.format: \"xml\": want one of text, json",
			}},
		{name: "reclaim", file: "[reclaim]\ndelay = \"2h\"\nabandoned = \"1s\"\n", want: []string{
			"FILE:3: reclaim.abandoned: 1s: want 1m0s to 720h0m0s",
			"FILE:2: reclaim.delay: 2h0m0s: want more than reclaim.read_max, which is 12h0m0s",
		}},
		{name: "admin beyond loopback", env: []string{"GRANARY_ADMIN_LISTEN=0.0.0.0:3902"}, want: []string{
			"GRANARY_ADMIN_LISTEN: admin.listen: needs admin.token_hash: run granary config token",
			"GRANARY_ADMIN_LISTEN: admin.listen: 0.0.0.0:3902 is beyond loopback and needs " +
				"admin.tls_cert and admin.tls_key",
		}},
		{name: "a secret is not repeated", env: []string{"GRANARY_ADMIN_TOKEN_HASH=hunter2"}, want: []string{
			"GRANARY_ADMIN_TOKEN_HASH: admin.token_hash: want sha256: and 64 hexadecimal digits," +
				" as granary config token prints them",
		}},
		{name: "environment", env: []string{"GRANARY_S3_LISTN=x", "GRANARY_SERVICE_HOST=1.2.3.4",
			"GRANARY_PORT_80_TCP=x",
			"GRANARY_METADATA_FSYNC=maybe"}, want: []string{
			"GRANARY_METADATA_FSYNC: metadata.fsync: \"maybe\": want true or false",
			"GRANARY_S3_LISTN: no such variable, did you mean GRANARY_S3_LISTEN?",
		}},
		{name: "flags", flags: []Setting{{"s3.lissen", "x", ""}, {"node.capacity", "-1", "--capacity"}},
			want: []string{
				"--set s3.lissen: no such key \"s3.lissen\", did you mean s3.listen?",
				"--capacity: node.capacity: size \"-1\": not a number; write a number of bytes, " +
					"or one like 500G, 1.5T, 64Mi",
			}},
		{name: "advertise", flags: []Setting{{"peers.advertise", "0.0.0.0:3901", "--advertise"}},
			want: []string{
				"--advertise: peers.advertise: \"0.0.0.0:3901\": want an address that other nodes can dial",
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := Sources{Env: c.env, Flags: c.flags}
			if c.file != "" {
				src.File = write(t, c.file)
			}
			_, err := Load(src)
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("Load: %v, want faults", err)
			}
			text := err.Error()
			if src.File != "" {
				text = strings.ReplaceAll(text, src.File, "FILE")
			}
			got := strings.Split(text, "\n")
			if c.name == "syntax" {
				got[0] = got[0][:len("FILE:2: ")] // what follows is the library's
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("faults (-want +got):\n%s", d)
			}
		})
	}
}

// TestOrder shows that flags beat the environment and that beats the file.
func TestOrder(t *testing.T) {
	file := write(t, "[s3]\nlisten = \"127.0.0.1:1\"\nregion = \"a\"\nidle_timeout = "+
		"\"5m\"\n[data]\nfolder = \"here\"\n")
	got, err := Load(Sources{File: file,
		Env:   []string{"GRANARY_S3_REGION=b", "GRANARY_S3_LISTEN=127.0.0.1:2", "HOME=/"},
		Flags: []Setting{{"s3.listen", "127.0.0.1:3", "--s3-listen"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.S3.Listen, want.S3.Region, want.S3.IdleTimeout = "127.0.0.1:3", "b", 5*time.Minute
	want.Data.Folder = filepath.Join(filepath.Dir(file), "here")
	if d := cmp.Diff(want, got.Config); d != "" {
		t.Errorf("Load (-want +got):\n%s", d)
	}
	shown := regexp.MustCompile(` +# `).ReplaceAllString(strings.ReplaceAll(got.Show(), file, "FILE"), " # ")
	for _, line := range []string{`listen = "127.0.0.1:3" # --s3-listen`, `region = "b" # GRANARY_S3_REGION`,
		`idle_timeout = "5m" # FILE:4`, `format = "text"`} {
		if !strings.Contains(shown, line+"\n") {
			t.Errorf("Show lacks %q:\n%s", line, shown)
		}
	}
}

// TestExample shows that the example names every key, and that its values are the defaults.
func TestExample(t *testing.T) {
	text := regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAllString(Example(), "$1")
	got, err := Load(Sources{File: write(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Data.Folder = filepath.Join(filepath.Dir(got.File), DefaultFolder)
	got.Config.S3.Domains = nil // an empty list
	if d := cmp.Diff(want, got.Config); d != "" {
		t.Errorf("the example (-want +got):\n%s", d)
	}
	for _, v := range got.Values() {
		if v.Origin == "default" {
			t.Errorf("the example lacks %s", v.Key)
		}
	}
}

// TestEveryFieldHasAKey fails for a field of Config that cannot be set.
func TestEveryFieldHasAKey(t *testing.T) {
	var c Config
	known := map[uintptr]bool{}
	for _, k := range c.keys() {
		known[reflect.ValueOf(k.target).Pointer()] = true
	}
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		for j := range v.Field(i).NumField() {
			if !known[v.Field(i).Field(j).Addr().Pointer()] {
				t.Errorf("%s.%s has no key", v.Type().Field(i).Name, v.Field(i).Type().Field(j).Name)
			}
		}
	}
}

// TestSecretsAreNotShown looks for the hash of a token in everything that is printed.
func TestSecretsAreNotShown(t *testing.T) {
	token, hash := NewToken()
	got, err := Load(Sources{Env: []string{"GRANARY_ADMIN_TOKEN_HASH=" + hash}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(got.Show(), hash[len(hashPrefix):]) {
		t.Errorf("Show shows the hash:\n%s", got.Show())
	}
	if !TokenMatches(hash, token) || TokenMatches(hash, token+"x") || TokenMatches("", "") {
		t.Error("TokenMatches does not tell tokens apart")
	}
}

// TestChosen shows that what Chosen writes loads as the same configuration.
func TestChosen(t *testing.T) {
	first, err := Load(Sources{Flags: []Setting{{"peers.advertise", "a.example", "--advertise"},
		{"node.capacity", "1.5T", ""}, {"s3.domains", "s3.example, s4.example", ""},
		{"data.folder", "/x", "--data"}}})
	if err != nil {
		t.Fatal(err)
	}
	second, err := Load(Sources{File: write(t, first.Chosen("data.folder"))})
	if err != nil {
		t.Fatal(err)
	}
	second.Data.Folder = first.Data.Folder
	if d := cmp.Diff(first.Config, second.Config); d != "" {
		t.Errorf("Chosen (-want +got):\n%s", d)
	}
	if got := second.Peers.Advertise; got != "a.example:3901" {
		t.Errorf("advertised address %q", got)
	}
}

func TestPeerListen(t *testing.T) {
	for _, c := range []struct{ listen, advertise, want string }{
		{"", "", "127.0.0.1:3901"}, {"", "a.example:4000", ":4000"}, {"1.2.3.4:5", "a:6", "1.2.3.4:5"},
		{"", "127.0.0.1:4000", "127.0.0.1:4000"},
	} {
		got := Config{Peers: Peers{Listen: c.listen, Advertise: c.advertise}}.PeerListen()
		if got != c.want {
			t.Errorf("PeerListen(%q, %q) = %q, want %q", c.listen, c.advertise, got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "17": 17, "1K": 1000, "1Ki": 1024, "500G": 5e11,
		"1.5T": 15e11,
		"2TiB": 2 << 40, "1 T": 1e12, "0.5Mi": 1 << 19, "1t": 1e12, "7B": 7} {
		if got, err := ParseSize(text); got != want || err != nil {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "T", "-1", "1.5", "1.", "10E", "1e3", "99999999999T", "1.2345678T",
		"0x10", "B"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

// TestSizeReturns shows that every size survives being written and read.
func TestSizeReturns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Size(rapid.Int64Range(0, 1<<62).Draw(t, "size"))
		if got, err := ParseSize(want.String()); err != nil || got != want {
			t.Fatalf("%d, written %q, is read as %d, %v", want, want, got, err)
		}
	})
}

func FuzzFile(f *testing.F) {
	f.Add("[s3]\nlisten = \"a\"\n")
	f.Add("s3 = { a = 1, b = { c = 2 } }\n[[x]]\ny = 1\n")
	f.Add(Example())
	path := filepath.Join(f.TempDir(), "granary.toml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		loaded, err := Load(Sources{File: path})
		var faults Faults
		if err != nil && !errors.As(err, &faults) && len(text) <= fileMax {
			t.Fatal(err)
		}
		if err == nil {
			loaded.Show()
		}
	})
}

func FuzzSize(f *testing.F) {
	f.Add("1.5T")
	f.Fuzz(func(t *testing.T, text string) {
		if size, err := ParseSize(text); err == nil && size < 0 {
			t.Fatalf("ParseSize(%q) = %d", text, size)
		}
	})
}
