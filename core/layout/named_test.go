package layout

import "testing"

func TestNamedNode(t *testing.T) {
	long := "a name of more than sixteen bytes"
	names := []string{"", "a", "aa", "b", "celeri", "courgette"}
	for i := range names[1:] {
		if a, b := NamedNode(names[i]), NamedNode(names[i+1]); a.Compare(b) >= 0 {
			t.Errorf("%q is not below %q", names[i], names[i+1])
		}
	}
	if NamedNode(long) == NamedNode(long+"!") || NamedNode("a\x00") == NamedNode("a") {
		t.Error("ids do not tell names apart")
	}
}
