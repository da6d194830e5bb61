package table

import "granary/core/kv"

// undoWriter remembers what it overwrites, so that one item of a batch can be taken back without the others.
type undoWriter struct {
	kv.Writer
	before []undoEntry
}

type undoEntry struct{ key, value []byte } // value nil: the key was absent

// Put implements kv.Writer.
func (u *undoWriter) Put(key, value []byte) {
	u.note(key)
	u.Writer.Put(key, value)
}

// Delete implements kv.Writer.
func (u *undoWriter) Delete(key []byte) {
	u.note(key)
	u.Writer.Delete(key)
}

func (u *undoWriter) note(key []byte) {
	e := undoEntry{key: append([]byte(nil), key...)}
	if v := u.Writer.Get(key); v != nil {
		e.value = append([]byte{}, v...)
	}
	u.before = append(u.before, e)
}

func (u *undoWriter) rollback() {
	for i := len(u.before) - 1; i >= 0; i-- {
		if e := u.before[i]; e.value == nil {
			u.Writer.Delete(e.key)
		} else {
			u.Writer.Put(e.key, e.value)
		}
	}
	u.before = nil
}
