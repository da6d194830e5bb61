package daemon

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestFolders shows which folders are taken and which are refused, and that a refused one is not touched.
func TestFolders(t *testing.T) {
	const head = formatHead + formatVersion
	for name, c := range map[string]struct {
		files map[string]string // nil: no folder
		kind  string
		want  error // nil: taken
	}{
		"absent":     {nil, kindNode, nil},
		"empty":      {map[string]string{}, kindNode, nil},
		"cut short":  {map[string]string{lockName: "", formatName + ".tmp": "gran"}, kindNode, nil},
		"configured": {map[string]string{configName: ""}, kindNode, nil},
		"node": {map[string]string{formatName: head + "kind node\n", "other": ""}, kindNode,
			nil},
		"dev":                {map[string]string{formatName: head + "kind dev\n"}, kindDev, nil},
		"a cluster from dev": {map[string]string{formatName: head + "kind dev\n"}, kindNode, ErrKind},
		"dev from a cluster": {map[string]string{formatName: head + "kind node\n"}, kindDev, ErrKind},
		"older": {map[string]string{formatName: formatHead + "format 1\nkind node\n"},
			kindNode, ErrFormat},
		"newer": {map[string]string{formatName: formatHead + "format 3\nkind node\n"},
			kindNode, ErrFormat},
		"damaged":             {map[string]string{formatName: head + "kind no"}, kindNode, ErrFormat},
		"another's FORMAT":    {map[string]string{formatName: "1\n"}, kindNode, ErrFormat},
		"empty FORMAT":        {map[string]string{formatName: ""}, kindNode, ErrFormat},
		"somebody's home":     {map[string]string{".profile": ""}, kindNode, ErrForeign},
		"a lost FORMAT":       {map[string]string{metadataName: "", lockName: ""}, kindNode, ErrForeign},
		"another kind, other": {map[string]string{formatName: head + "kind tape\n"}, kindNode, ErrFormat},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a", "b")
			if c.files != nil {
				if err := os.MkdirAll(path, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(path, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f, err := openFolder(path, c.kind)
			if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Fatalf("openFolder: %v, want %v", err, c.want)
			}
			if err == nil {
				if kind, err := readFormat(path); kind != c.kind || err != nil {
					t.Errorf("the folder is of kind %q, %v", kind, err)
				}
				f.close()
				return
			}
			entries, err := os.ReadDir(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if _, ok := c.files[e.Name()]; !ok && e.Name() != lockName {
					t.Errorf("%s was made in a refused folder", e.Name())
				}
			}
		})
	}
}

// TestFolderIsHeld shows that a folder has one user at a time, who is named.
func TestFolderIsHeld(t *testing.T) {
	path := t.TempDir()
	first, err := openFolder(path, kindNode)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openFolder(path, kindNode); !errors.Is(err, ErrInUse) {
		t.Errorf("a second user: %v, want %v", err, ErrInUse)
	}
	first.close()
	second, err := openFolder(path, kindNode)
	if err != nil {
		t.Fatalf("after the first let go: %v", err)
	}
	second.close()
}

func FuzzFormat(f *testing.F) {
	f.Add(formatHead + formatVersion + "kind dev\n")
	f.Add(formatHead + "format 2\n")
	path := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(filepath.Join(path, formatName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		kind, err := readFormat(path)
		if err == nil && text != formatHead+formatVersion+"kind "+kind+"\n" {
			t.Fatalf("%q was read as kind %q", text, kind)
		}
	})
}
