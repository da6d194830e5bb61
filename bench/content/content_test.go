package content

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

func draw(t *rapid.T) Content {
	return Content{rapid.Uint64().Draw(t, "id"), rapid.Int64Range(HeaderSize, 200_000).Draw(t, "size")}
}

// TestReturns shows that a content is recognised, and that Bytes, Reader and ReadAt agree.
func TestReturns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := draw(t)
		got, err := Read(iotest.HalfReader(c.Reader()))
		if err != nil || got != c {
			t.Fatalf("Read: %v, %v, want %v", got, err, c)
		}
		off := rapid.Int64Range(0, c.Size).Draw(t, "offset")
		p, err := io.ReadAll(io.NewSectionReader(at(c), off, 99))
		if want := c.Bytes()[off:min(off+99, c.Size)]; err != nil || !bytes.Equal(p, want) {
			t.Fatalf("ReadAt(%d): %x, %v, want %x", off, p, err, want)
		}
	})
}

// TestNotices shows that a changed, missing or added byte is found.
func TestNotices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := draw(t)
		p := c.Bytes()
		i := rapid.IntRange(0, len(p)-1).Draw(t, "at")
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			p[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
			if i < 8 && c.Size == HeaderSize {
				return // another content of that size
			}
		case 1:
			p = append(p[:i], p[i+1:]...)
		case 2:
			p = append(p, 0)
		}
		if got, err := Read(bytes.NewReader(p)); !errors.Is(err, ErrWrong) {
			t.Fatalf("Read: %v, %v, want ErrWrong", got, err)
		}
	})
}

// TestTellsCuts shows that a broken stream is not taken for a wrong content.
func TestTellsCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := draw(t)
		n := rapid.Int64Range(0, c.Size).Draw(t, "cut after")
		broken := io.MultiReader(io.LimitReader(c.Reader(), n), iotest.ErrReader(io.ErrUnexpectedEOF))
		if got, err := Read(broken); !errors.Is(err, ErrCut) || errors.Is(err, ErrWrong) {
			t.Fatalf("Read: %v, %v, want ErrCut", got, err)
		}
	})
}

func BenchmarkFill(b *testing.B) {
	p := make([]byte, 1<<20)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		Content{1, 1 << 20}.Fill(p, 0)
	}
}
