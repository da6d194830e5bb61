package world

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"granary/core/cluster"
	"granary/core/kv/memkv"
	"granary/core/node"
	"granary/core/table"
	"granary/sim/disk"
	"granary/sim/sched"
)

// Crash cuts a machine's power: everything that was not synced is lost, and its peers hear nothing more. A
// machine without power stays so.
func (w *World) Crash(m *Machine) {
	if m.dark {
		return
	}
	m.dark, m.anew = true, false
	lose := func() {
		m.Disk.PowerCut(w.Sched.Rand(fmt.Sprintf("world/power cut %d of %s", m.boots, m.Name)))
		w.Net.Dark(m.Name)
	}
	if m.Env.Dead() {
		lose()
		return
	}
	w.stop(m, lose)
}

// Kill ends a machine's node, as kill -9 does, or a failed sync: what it has written is there, synced or not,
// and its peers are told at once. A machine that is down stays so, and its supervisor does not start it.
func (w *World) Kill(m *Machine) {
	m.anew = false
	w.kill(m)
}

func (w *World) kill(m *Machine) {
	if !m.Env.Dead() && m.halt == nil {
		w.stop(m, func() { w.Net.Killed(m.Name) })
	}
}

// stop ends a node soon, from whatever task, and calls after.
func (w *World) stop(m *Machine, after func()) {
	m.Node = nil
	env := m.Env
	m.halt = func() {
		if env.Dead() {
			return
		}
		m.halt = nil
		env.Kill()
		after()
	}
	w.Sched.After(0, m.halt)
}

// Start boots a machine unless its node runs. Not for tasks.
func (w *World) Start(m *Machine) {
	if m.halt != nil {
		m.halt()
	}
	if m.Env.Dead() {
		w.Boot(m)
	}
}

// SetPaused stops the machine's node as SIGSTOP does, or lets it go on. Not for tasks of the node.
func (m *Machine) SetPaused(on bool) {
	if on {
		m.Env.Pause()
	} else {
		m.Env.Resume()
	}
}

// FailSync makes the coming syncs of the machine's store fail, which stops its node; false ends it.
func (m *Machine) FailSync(on bool) {
	m.sync = nil
	if on {
		m.sync = errors.New("input/output error")
	}
}

// RotRow turns over one bit of a row of the machine's store. It reports false if there is none.
func (m *Machine) RotRow(r *rand.Rand) bool {
	return m.kv.FlipBitFrom([]byte{table.RowPrefix}, r.Uint64)
}

// LoseBlocks makes the machine's disk an empty one. Its node must be down, or about to be.
func (w *World) LoseBlocks(m *Machine) {
	if m.halt != nil {
		m.halt()
	}
	timing, sync := m.Disk.Timing, m.Disk.NoSync
	*m.Disk = *disk.NewImage()
	m.Disk.Timing, m.Disk.NoSync = timing, sync
}

// LoseStore makes the machine one that has just been bought, with the same key: it has no data and is in no
// cluster. Its node must be down, or about to be.
func (w *World) LoseStore(m *Machine) {
	w.LoseBlocks(m)
	m.kv = memkv.NewImage()
}

// Backup is what a machine's store and disk held at some moment, as the image of a virtual machine does.
type Backup struct {
	kv   *memkv.Image
	disk *disk.Image
}

// Backup takes one of what is durable now. Nobody notices.
func (m *Machine) Backup() Backup { return Backup{m.kv.Copy(), m.Disk.Copy()} }

// SetBack makes a machine hold what it held when the backup was taken, and nothing else. Its node must be
// down, or about to be.
func (w *World) SetBack(m *Machine, b Backup) {
	if m.halt != nil {
		m.halt()
	}
	m.kv = b.kv.Copy()
	m.Disk.Restore(b.disk)
}

// HeardSince reports whether every other machine has stored, so that a restart does not make it forget, that
// it heard of a later state of m's store than the backup is: whomever m asks after it was set back to that
// knows. It is false for a backup of which nothing is missing yet, and for one that was taken before m was in
// the cluster.
//
// Errors: those of the stores.
func (w *World) HeardSince(m *Machine, b Backup) (bool, error) {
	image := b.kv.Reader()
	was, err := node.StoreOf(image)
	if err != nil {
		return false, err
	}
	life, named, err := cluster.Heard(image, m.ID)
	if err != nil {
		return false, err
	}
	switch {
	case life == 0:
		return false, nil
	case !bytes.Equal(named.Store, was.Store):
		life++ // it has not told the document yet
	}
	for _, other := range w.Machines {
		if other == m {
			continue
		}
		now, heard, err := cluster.Heard(other.kv.Reader(), m.ID)
		if err != nil {
			return false, err
		}
		later := heard.Boot > was.Boot || heard.Seq > was.Seq
		if now < life || now == life && !(bytes.Equal(heard.Store, was.Store) && later) {
			return false, nil
		}
	}
	return true, nil
}

// anew stops a node whose store was set back, and starts it again, as whoever supervises it would.
func (w *World) anew(m *Machine, env *sched.Env) {
	if env.Dead() || m.halt != nil {
		return
	}
	w.kill(m)
	m.anew = true
	w.Sched.After(time.Second, func() {
		if m.Env == env && m.anew {
			w.Start(m)
		}
	})
}

// Rejoin makes a machine that lost its store a member again, through any other, as soon as both are up and
// reach each other. It tries until ctx ends.
func (w *World) Rejoin(ctx context.Context, m *Machine) error {
	for {
		if err := w.Env.Sleep(ctx, time.Second); err != nil {
			return err
		}
		via := w.other(m)
		if m.Down() || via == nil {
			continue
		}
		err := w.join(ctx, m, via, w.role(m))
		if err == nil || errors.Is(err, cluster.ErrInCluster) {
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
	}
}

func (w *World) other(m *Machine) *Machine {
	for _, o := range w.Machines {
		if o != m && !o.Down() {
			return o
		}
	}
	return nil
}

// Down reports whether the machine has no node that serves.
func (m *Machine) Down() bool { return m.Node == nil }

// Trusted reports whether the machine's node is up and has been told that its store is no older than others
// have seen it: only then does it answer for it.
func (m *Machine) Trusted() bool { return !m.Down() && m.Node.Cluster().Pulse().Boot > 0 }

// Whole reports whether the machine's node is up, in the cluster, and knows of nothing that it still has to
// do for the newest layout: its store holds all that is its own.
func (m *Machine) Whole() bool {
	if m.Down() || m.Node.Cluster().LayoutNumber() == 0 {
		return false
	}
	_, far := m.Node.Cluster().Goal()
	return !far
}

// SetWall sets how far the machine's wall clock is off, now and after restarts.
func (m *Machine) SetWall(d time.Duration) {
	m.wall = d
	m.Env.SetWallOffset(d)
}
