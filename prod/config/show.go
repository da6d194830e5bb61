package config

import (
	"fmt"
	"strings"
)

// hidden stands for a secret.
const hidden = `"(set, not shown)"`

// Example returns a configuration file with every key, its comment and its default, commented out.
func Example() string {
	var b strings.Builder
	b.WriteString("# Configuration of a granary node. Every key is optional; the values here are the " +
		"defaults.\n" +
		"# Each can also be set by the environment, as GRANARY_SECTION_KEY, or by --set " +
		"section.key=value.\n" +
		"# Paths are relative to this file.\n")
	c := Default()
	keys := c.keys()
	for _, s := range sections {
		fmt.Fprintf(&b, "\n# %s\n[%s]\n", s.doc, s.name)
		for _, k := range keys {
			if k.section() != s.name {
				continue
			}
			for _, line := range strings.Split(k.doc, "\n") {
				fmt.Fprintf(&b, "# %s\n", line)
			}
			fmt.Fprintf(&b, "#%s = %s\n", k.short(), k.text())
		}
	}
	return b.String()
}

// Value is one key of a loaded configuration.
type Value struct {
	Key    string `json:"key"`
	Value  string `json:"value"` // as TOML; secrets are not shown
	Origin string `json:"origin"`
}

// Values returns all keys in the order of the example.
func (l *Loaded) Values() []Value {
	var values []Value
	for _, k := range l.keys() {
		v := Value{Key: k.name, Value: k.text(), Origin: l.Origin(k.name)}
		if k.secret && v.Value != `""` {
			v.Value = hidden
		}
		values = append(values, v)
	}
	return values
}

// Show returns the configuration as a TOML file that says where each value comes from.
func (l *Loaded) Show() string {
	var b strings.Builder
	section := ""
	for _, v := range l.Values() {
		head, short, _ := strings.Cut(v.Key, ".")
		if head != section {
			if section != "" {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "[%s]\n", head)
			section = head
		}
		line := short + " = " + v.Value
		if v.Origin != "default" {
			line = fmt.Sprintf("%-40s # %s", line, v.Origin)
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// Chosen returns a TOML file with the values that were not defaults, but for those named in leave: what
// must be kept so that a later start is the same.
func (l *Loaded) Chosen(leave ...string) string {
	var b strings.Builder
	section := ""
next:
	for _, k := range l.keys() {
		if _, ok := l.origin[k.name]; !ok {
			continue
		}
		for _, name := range leave {
			if name == k.name {
				continue next
			}
		}
		if k.section() != section {
			if section != "" {
				b.WriteByte('\n')
			}
			section = k.section()
			fmt.Fprintf(&b, "[%s]\n", section)
		}
		fmt.Fprintf(&b, "%s = %s\n", k.short(), k.text())
	}
	return b.String()
}

// Origin says where a key's value comes from: a line, a variable, a flag, or "default".
func (l *Loaded) Origin(key string) string {
	if at, ok := l.origin[key]; ok {
		return at
	}
	return "default"
}
