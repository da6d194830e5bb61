package bolt

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"granary/core/kv"
	"granary/core/rt"
	"granary/prod/sched"
)

const killEnv = "GRANARY_BOLT_KILL_TEST"

// TestMain turns the test binary into a writer to be killed when killEnv names a file.
func TestMain(m *testing.M) {
	if path := os.Getenv(killEnv); path != "" {
		writeUntilKilled(path)
	}
	os.Exit(m.Run())
}

// writeUntilKilled makes numbered updates of two keys from several tasks, and prints the number of each
// answered one.
func writeUntilKilled(path string) {
	env := sched.New(rt.NodeID{1}, sched.Options{})
	s, err := Open(env, path, DefaultOptions())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	g := rt.NewGroup(env, env.Background())
	for range 8 {
		g.Go("write", func(ctx context.Context) error {
			for {
				var n uint64
				err := s.Update(ctx, func(w kv.Writer) error {
					n = number(w.Get([]byte("n"))) + 1
					w.Put([]byte("n"), binary.BigEndian.AppendUint64(nil, n))
					w.Put(binary.BigEndian.AppendUint64([]byte("u"), n), make([]byte, 300))
					return nil
				})
				if err != nil {
					return err
				}
				fmt.Println(n)
			}
		})
	}
	fmt.Println(g.Wait())
	os.Exit(1)
}

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// A process killed while it writes leaves a sound file with everything it answered and a prefix of the rest.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv")
	var acked uint64
	for life := range 5 {
		acked = max(acked, untilKilled(t, path, 100+50*life))
		if _, err := Check(path, 0, nil); err != nil {
			t.Fatal(err)
		}
		s, _ := open(t, path, DefaultOptions())
		err := s.View(func(r kv.Reader) error {
			n, next := number(r.Get([]byte("n"))), uint64(1)
			r.Ascend([]byte("u"), nil, func(k, _ []byte) bool {
				if number(k[1:]) != next {
					t.Errorf("key %x at place %d", k, next)
				}
				next++
				return true
			})
			if n < acked || next != n+1 {
				t.Errorf("%d answered, the counter says %d, %d keys are there", acked, n, next-1)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		s.Close()
	}
}

// untilKilled runs a writer, kills it after so many answers, and returns the highest one seen.
func untilKilled(t *testing.T, path string, answers int) (acked uint64) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), killEnv+"="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for i := 0; lines.Scan(); i++ {
		var n uint64
		if _, err := fmt.Sscan(lines.Text(), &n); err != nil {
			t.Errorf("the writer says %q", lines.Text())
		}
		acked = max(acked, n)
		if i == answers {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	return acked
}
