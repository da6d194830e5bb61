package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// fileMax bounds a configuration file, in bytes.
const fileMax = 1 << 20

// Setting is one key and its value as text, from a flag.
type Setting struct {
	Key   string // section.key
	Value string
	Flag  string // as the user wrote it, for messages; empty: --set
}

// Sources are what Load reads. The zero value is the defaults alone.
type Sources struct {
	// File is the path of the TOML file, empty for none.
	File string
	// Env is the environment as os.Environ returns it.
	Env []string
	// Flags are the settings on the command line; a later one beats an earlier one.
	Flags []Setting
}

// Loaded is a configuration and where each of its values comes from.
type Loaded struct {
	Config
	// File is the path of the file that was read, empty for none.
	File   string
	origin map[string]string // by key; absent for defaults
}

// Fault is one thing wrong with a configuration.
type Fault struct {
	Where string // file:line, or the name of a variable or flag
	What  string
}

// Error returns where and what.
func (f Fault) Error() string { return f.Where + ": " + f.What }

// Faults are all that is wrong with a configuration, in order of the sources.
type Faults []Fault

// Error returns one line per fault.
func (f Faults) Error() string {
	lines := make([]string, len(f))
	for i := range f {
		lines[i] = f[i].Error()
	}
	return strings.Join(lines, "\n")
}

// loader collects values and faults.
type loader struct {
	out    *Loaded
	keys   []key
	faults Faults
}

// Load reads the sources over the defaults and validates the result.
//
// Errors: Faults with everything that is wrong; an error of the file system if the file cannot be read.
func Load(src Sources) (*Loaded, error) {
	l := &loader{out: &Loaded{Config: Default(), File: src.File, origin: map[string]string{}}}
	l.keys = l.out.keys()
	if src.File != "" {
		raw, err := readFile(src.File)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		l.file(src.File, raw)
	}
	l.environment(src.Env)
	for _, s := range src.Flags {
		where := s.Flag
		if where == "" {
			where = "--set " + s.Key
		}
		l.text(where, s.Key, s.Value)
	}
	l.validate()
	if len(l.faults) > 0 {
		return nil, l.faults
	}
	l.resolve()
	return l.out, nil
}

// resolve makes the folders of a file relative to that file.
func (l *loader) resolve() {
	base := filepath.Dir(l.out.File)
	if l.out.File != "" {
		l.resolveDisks(base)
	}
	for _, path := range []struct {
		key    string
		target *string
	}{
		{"data.folder", &l.out.Data.Folder}, {"data.blocks", &l.out.Data.Blocks},
		{"s3.tls_cert", &l.out.S3.TLSCert}, {"s3.tls_key", &l.out.S3.TLSKey},
		{"admin.tls_cert", &l.out.Admin.TLSCert}, {"admin.tls_key", &l.out.Admin.TLSKey},
	} {
		fromFile := strings.HasPrefix(l.out.origin[path.key], l.out.File+":")
		if fromFile && l.out.File != "" && *path.target != "" && !filepath.IsAbs(*path.target) {
			*path.target = filepath.Join(base, *path.target)
		}
	}
}

// resolveDisks does the same for the disks.
func (l *loader) resolveDisks(base string) {
	if !strings.HasPrefix(l.out.origin["data.disks"], l.out.File+":") {
		return
	}
	for i, text := range l.out.Data.Disks {
		if d, err := ParseBlockDisk(text); err == nil && !filepath.IsAbs(d.Path) {
			l.out.Data.Disks[i] = filepath.Join(base, d.Path) + text[len(d.Path):]
		}
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err == nil && len(raw) > fileMax {
		err = fmt.Errorf("%s is longer than %d bytes", path, fileMax)
	}
	return raw, err
}

func (l *loader) fault(where, format string, args ...any) {
	l.faults = append(l.faults, Fault{Where: where, What: fmt.Sprintf(format, args...)})
}

// find returns the row of a key.
func (l *loader) find(name string) (key, bool) {
	i := slices.IndexFunc(l.keys, func(k key) bool { return k.name == name })
	if i < 0 {
		return key{}, false
	}
	return l.keys[i], true
}

// text sets a key from the environment or a flag.
func (l *loader) text(where, name, value string) {
	k, ok := l.find(name)
	if !ok {
		l.fault(where, "no such key %.60q%s", name, l.suggest(name))
		return
	}
	if err := k.setText(value); err != nil {
		l.fault(where, "%s: %v", k.name, hide(k, err))
		return
	}
	l.out.origin[name] = where
}

func hide(k key, err error) error {
	if k.secret {
		return errors.New("not valid (the value is not shown)")
	}
	return err
}

// file sets keys from a TOML document.
func (l *loader) file(path string, raw []byte) {
	values := map[string]any{}
	if err := toml.Unmarshal(raw, &values); err != nil {
		line := 1
		var at *toml.DecodeError
		if errors.As(err, &at) {
			line, _ = at.Position()
		}
		l.fault(fmt.Sprintf("%s:%d", path, line), "%s", strings.TrimPrefix(err.Error(), "toml: "))
		return
	}
	for _, entry := range entries(raw) {
		where := fmt.Sprintf("%s:%d", path, entry.line)
		k, ok := l.find(entry.name)
		if !ok {
			l.fault(where, "no such key %.60q%s", entry.name, l.suggest(entry.name))
			continue
		}
		section, _ := values[k.section()].(map[string]any)
		if err := k.setTOML(section[k.short()]); err != nil {
			l.fault(where, "%s: %v", k.name, hide(k, err))
			continue
		}
		l.out.origin[k.name] = where
	}
}

// entry is one key of a document and its line.
type entry struct {
	name string
	line int
}

// entries lists the keys of a document that parses; those of inline tables one by one, and unknown tables
// themselves.
func entries(raw []byte) []entry {
	var all []entry
	var p unstable.Parser
	p.Reset(raw)
	prefix := ""
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			name, line := keyOf(&p, e.Key())
			prefix = name + "."
			known := slices.ContainsFunc(sections,
				func(s struct{ name, doc string }) bool { return s.name == name })
			if !known || e.Kind == unstable.ArrayTable {
				all = append(all, entry{name, line})
			}
		case unstable.KeyValue:
			all = appendEntries(all, &p, prefix, e)
		}
	}
	return all
}

func appendEntries(all []entry, p *unstable.Parser, prefix string, e *unstable.Node) []entry {
	name, line := keyOf(p, e.Key())
	if e.Value().Kind != unstable.InlineTable {
		return append(all, entry{prefix + name, line})
	}
	before := len(all)
	for children := e.Value().Children(); children.Next(); {
		all = appendEntries(all, p, prefix+name+".", children.Node())
	}
	if len(all) == before {
		all = append(all, entry{prefix + name, line})
	}
	return all
}

// keyOf returns a key with its parts joined by dots, and its line.
func keyOf(p *unstable.Parser, it unstable.Iterator) (name string, line int) {
	for it.Next() {
		n := it.Node()
		if name != "" {
			name += "."
		} else {
			line = p.Shape(n.Raw).Start.Line
		}
		name += string(n.Data)
	}
	return name, line
}

// reserved are variables that are not keys: the command line reads them.
var reserved = []string{"GRANARY_CONFIG", "GRANARY_JOIN_TOKEN", "GRANARY_ADMIN_URL", "GRANARY_ADMIN_TOKEN"}

// environment sets keys from variables. Kubernetes sets some of its own for a service of this name; they
// are left alone.
func (l *loader) environment(env []string) {
	env = slices.Sorted(slices.Values(env))
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		rest, ok := strings.CutPrefix(name, envPrefix)
		if !ok || slices.Contains(reserved, name) || strings.HasPrefix(rest, "SERVICE_") ||
			rest == "PORT" || strings.HasPrefix(rest, "PORT_") {
			continue
		}
		i := slices.IndexFunc(l.keys, func(k key) bool { return k.env() == name })
		if i < 0 {
			l.fault(name, "no such variable%s", l.suggestEnv(name))
			continue
		}
		l.text(name, l.keys[i].name, value)
	}
}

func (l *loader) suggest(name string) string {
	names := make([]string, len(l.keys))
	for i, k := range l.keys {
		names[i] = k.name
	}
	for _, s := range sections {
		if !strings.Contains(name, ".") {
			names = append(names, s.name)
		}
	}
	return nearest(name, names)
}

func (l *loader) suggestEnv(name string) string {
	names := slices.Clone(reserved)
	for _, k := range l.keys {
		names = append(names, k.env())
	}
	return nearest(name, names)
}

// nearest returns ", did you mean …?" with the candidate of least edit distance, or "" if none is near.
func nearest(name string, candidates []string) string {
	best, least := "", max(3, len(name)/2+1)
	for _, c := range candidates {
		if d := distance(name, c); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %s?", best)
}

// distance returns the edit distance of two strings.
func distance(a, b string) int {
	if len(a) > 80 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
