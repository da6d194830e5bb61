package cli

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"

	"granary/core/api/admin"
	"granary/prod/config"
)

// secretMax bounds a line of standard input that holds a secret, in bytes.
const secretMax = 4 << 10

// readLine reads a line of standard input.
func (a *app) readLine(what string) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(a.In, secretMax)).ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return "", usageError{fmt.Errorf("read the %s from standard input: %w", what, err)}
	}
	return line, nil
}

func bucketPath(name string) string { return "/v1/buckets/" + url.PathEscape(name) }
func keyPath(id string) string      { return "/v1/keys/" + url.PathEscape(id) }

type bucketListCmd struct{}

// Run lists buckets.
func (bucketListCmd) Run(a *app) error {
	var list []admin.Bucket
	if err := a.ask("GET", "/v1/buckets", nil, &list); err != nil {
		return err
	}
	return a.print(list, func() {
		t := a.table("BUCKET", "OWNER", "CREATED", "KEYS")
		for _, b := range list {
			t.row(b.Name, b.Owner, day(b.Created), len(b.Grants))
		}
		t.end("no buckets; create one with granary bucket create NAME")
	})
}

type bucketCreateCmd struct {
	Name  string `arg:"" help:"3 to 63 lower-case letters, digits, hyphens and dots."`
	Owner string `placeholder:"KEY" help:"The key that may do everything in it. By default the only key."`
}

// Run creates a bucket.
func (c bucketCreateCmd) Run(a *app) error {
	var b admin.Bucket
	if err := a.ask("POST", "/v1/buckets", admin.NewBucket{Name: c.Name, Owner: c.Owner}, &b); err != nil {
		return err
	}
	return a.print(b, func() { a.printf("created bucket %s, owned by key %s\n", b.Name, b.Owner) })
}

type bucketDeleteCmd struct {
	Name string `arg:"" help:"An empty bucket."`
}

// Run deletes a bucket.
func (c bucketDeleteCmd) Run(a *app) error {
	if err := a.ask("DELETE", bucketPath(c.Name), nil, nil); err != nil {
		return err
	}
	return a.print(admin.Done{}, func() { a.printf("deleted bucket %s\n", c.Name) })
}

type bucketInfoCmd struct {
	Name string `arg:""`
}

// Run shows a bucket.
func (c bucketInfoCmd) Run(a *app) error {
	var b admin.Bucket
	if err := a.ask("GET", bucketPath(c.Name), nil, &b); err != nil {
		return err
	}
	return a.print(b, func() { a.bucket(b) })
}

func (a *app) bucket(b admin.Bucket) {
	a.printf("bucket   %s\nid       %s\nowner    %s\ncreated  %s\nreads    %s\n\n", b.Name, b.ID, b.Owner,
		day(b.Created), b.Consistency)
	t := a.table("KEY", "MAY")
	for _, g := range b.Grants {
		t.row(g.Key, permissions(g))
	}
	t.end("no key may use it; see granary bucket allow")
	if len(b.Rules) > 0 {
		a.printf("\n")
		a.rules(b)
	}
}

func permissions(g admin.Grant) string {
	var list []string
	for _, p := range []struct {
		name string
		has  bool
	}{{"read", g.Read}, {"write", g.Write}, {"owner", g.Owner}} {
		if p.has {
			list = append(list, p.name)
		}
	}
	if len(list) == 0 {
		return "nothing"
	}
	return strings.Join(list, ", ")
}

type bucketConsistencyCmd struct {
	Name  string `arg:"" help:"The bucket."`
	Level string `arg:"" enum:"read-after-write,monotonic,eventual" help:"What reads promise: ${enum}."`
}

// Run sets the level.
func (c bucketConsistencyCmd) Run(a *app) error {
	var b admin.Bucket
	err := a.ask("PUT", bucketPath(c.Name)+"/consistency", admin.Consistency{Level: c.Level}, &b)
	if err != nil {
		return err
	}
	return a.print(b, func() { a.bucket(b) })
}

// grantFlags name a key and permissions.
type grantFlags struct {
	Name  string `arg:"" help:"The bucket."`
	Key   string `required:"" placeholder:"KEY" help:"The access key's id."`
	Read  bool   `help:"Get and list objects."`
	Write bool   `help:"Put and delete objects."`
	Owner bool   `help:"Delete the bucket and change who may use it."`
}

func (g grantFlags) run(a *app, what string) error {
	var b admin.Bucket
	in := admin.Grant{Key: g.Key, Read: g.Read, Write: g.Write, Owner: g.Owner}
	if err := a.ask("POST", bucketPath(g.Name)+"/"+what, in, &b); err != nil {
		return err
	}
	return a.print(b, func() { a.bucket(b) })
}

type bucketAllowCmd struct{ grantFlags }

// Run gives permissions.
func (c bucketAllowCmd) Run(a *app) error { return c.run(a, "allow") }

type bucketDenyCmd struct{ grantFlags }

// Run takes permissions.
func (c bucketDenyCmd) Run(a *app) error { return c.run(a, "deny") }

type bucketCORSCmd struct {
	Name   string `arg:"" help:"The bucket."`
	Set    string `xor:"change" placeholder:"FILE" help:"Set the rules in a file of put-bucket-cors."`
	Delete bool   `xor:"change" help:"Take the rules away."`
}

// corsFileMax bounds a file of rules, in bytes.
const corsFileMax = 1 << 20

// Run shows or sets rules.
func (c bucketCORSCmd) Run(a *app) error {
	var rules admin.CORS
	if c.Set != "" {
		f, err := os.Open(c.Set)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		d := json.NewDecoder(io.LimitReader(f, corsFileMax))
		d.DisallowUnknownFields()
		if err := d.Decode(&rules); err != nil {
			return usageError{fmt.Errorf("file %s: %w", c.Set, err)}
		}
		if err := rules.Rules.Check(); err != nil {
			return usageError{fmt.Errorf("file %s: %w", c.Set, err)}
		}
	}
	var b admin.Bucket
	var err error
	if c.Set != "" || c.Delete {
		err = a.ask("PUT", bucketPath(c.Name)+"/cors", rules, &b)
	} else {
		err = a.ask("GET", bucketPath(c.Name), nil, &b)
	}
	if err != nil {
		return err
	}
	return a.print(b.CORS, func() { a.rules(b) })
}

// rules shows what pages of other origins may do in a bucket.
func (a *app) rules(b admin.Bucket) {
	t := a.table("ORIGINS", "METHODS", "HEADERS", "EXPOSED", "SECONDS")
	for _, r := range b.Rules {
		age := "-"
		if r.MaxAge != nil {
			age = strconv.Itoa(int(*r.MaxAge))
		}
		t.row(some(r.Origins), some(r.Methods), some(r.Headers), some(r.Expose), age)
	}
	t.end("pages of other origins may not use it; see granary bucket cors --help")
}

func some(list []string) string { return cmp.Or(strings.Join(list, ","), "-") }

type keyListCmd struct{}

// Run lists access keys.
func (keyListCmd) Run(a *app) error {
	var list []admin.Key
	if err := a.ask("GET", "/v1/keys", nil, &list); err != nil {
		return err
	}
	return a.print(list, func() {
		t := a.table("KEY", "NAME", "CREATED", "MAY CREATE BUCKETS")
		for _, k := range list {
			t.row(k.ID, k.Name, day(k.Created), yes(k.CreateBuckets))
		}
		t.end("no access keys; create one with granary key create NAME")
	})
}

type keyCreateCmd struct {
	Name          string `arg:"" optional:"" help:"For people."`
	CreateBuckets bool   `help:"Let the key create buckets."`
	ShowSecret    bool   `help:"Print the secret with --json too."`
}

// Run creates an access key.
func (c keyCreateCmd) Run(a *app) error {
	var k admin.Key
	in := admin.NewKey{Name: c.Name, CreateBuckets: c.CreateBuckets}
	if err := a.ask("POST", "/v1/keys", in, &k); err != nil {
		return err
	}
	shown := k
	if !c.ShowSecret {
		shown.Secret = ""
	}
	return a.print(shown, func() {
		a.printf("key id   %s\nsecret   %s\n\nKeep the secret; granary key info %s --show-secret shows "+
			"it again.\n",
			k.ID, k.Secret, k.ID)
		if !k.CreateBuckets {
			a.printf("Let it use a bucket: granary bucket allow BUCKET --key %s --read --write\n", k.ID)
		}
	})
}

type keyImportCmd struct {
	ID            string `arg:"" help:"The key's id. Its secret is read from standard input."`
	Name          string `placeholder:"NAME" help:"For people."`
	CreateBuckets bool   `help:"Let the key create buckets."`
}

// Run imports an access key.
func (c keyImportCmd) Run(a *app) error {
	secret, err := a.readLine("secret")
	if err != nil {
		return err
	}
	var k admin.Key
	in := admin.NewKey{ID: c.ID, Secret: secret, Name: c.Name, CreateBuckets: c.CreateBuckets}
	if err := a.ask("POST", "/v1/keys/import", in, &k); err != nil {
		return err
	}
	return a.print(k, func() { a.printf("imported key %s\n", k.ID) })
}

type keyDeleteCmd struct {
	ID string `arg:""`
}

// Run revokes an access key.
func (c keyDeleteCmd) Run(a *app) error {
	if err := a.ask("DELETE", keyPath(c.ID), nil, nil); err != nil {
		return err
	}
	return a.print(admin.Done{}, func() { a.printf("revoked key %s\n", c.ID) })
}

type keyInfoCmd struct {
	ID         string `arg:""`
	ShowSecret bool   `help:"Print the secret."`
}

// Run shows an access key.
func (c keyInfoCmd) Run(a *app) error {
	path := keyPath(c.ID)
	if c.ShowSecret {
		path += "?secret=show"
	}
	var k admin.Key
	if err := a.ask("GET", path, nil, &k); err != nil {
		return err
	}
	return a.print(k, func() {
		a.printf("key id          %s\nname            %s\ncreated         %s\ncreate buckets  %s\n", k.ID,
			k.Name,
			day(k.Created), yes(k.CreateBuckets))
		if k.Secret != "" {
			a.printf("secret          %s\n", k.Secret)
		}
		buckets := "none"
		if len(k.Buckets) > 0 {
			buckets = strings.Join(k.Buckets, ", ")
		}
		a.printf("buckets         %s\n", buckets)
	})
}

type tokenCmd struct{}

// Run issues a join token.
func (tokenCmd) Run(a *app) error {
	var t admin.Token
	if err := a.ask("POST", "/v1/tokens", nil, &t); err != nil {
		return err
	}
	return a.print(t, func() {
		a.printf("It works once, until %s; the new machine must reach %s. There run:\n\n  granary join "+
			"%s --zone ZONE\n",
			t.Expires.Format("15:04 MST"), t.Address, t.Token)
	})
}

type configCheckCmd struct{ settings }

// Run checks the configuration.
func (c configCheckCmd) Run(a *app) error {
	loaded, err := a.load(c.settings)
	if err != nil {
		return err
	}
	return a.print(map[string]any{"ok": true, "file": loaded.File}, func() {
		if loaded.File == "" {
			a.printf("the configuration is good (no file; defaults, environment and flags)\n")
			return
		}
		a.printf("%s is good\n", loaded.File)
	})
}

type configShowCmd struct{ settings }

// Run shows the configuration.
func (c configShowCmd) Run(a *app) error {
	loaded, err := a.load(c.settings)
	if err != nil {
		return err
	}
	return a.print(loaded.Values(), func() { a.printf("%s", loaded.Show()) })
}

type configExampleCmd struct{}

// Run prints the example.
func (configExampleCmd) Run(a *app) error {
	return a.print(map[string]string{"toml": config.Example()}, func() { a.printf("%s", config.Example()) })
}

type configTokenCmd struct{}

// Run draws a bearer token.
func (configTokenCmd) Run(a *app) error {
	token, hash := config.NewToken()
	return a.print(map[string]string{"token": token, "token_hash": hash}, func() {
		a.printf("token, for GRANARY_ADMIN_TOKEN of those who may administer:\n\n  %s\n\nin "+
			"granary.toml, under [admin]:\n\n"+
			"  token_hash = \"%s\"\n", token, hash)
	})
}
