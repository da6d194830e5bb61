// Command rebuild measures how fast a node of three real processes gets back what it lacks: first rows and
// blocks that were written while it was down, then every block, after its only disk was lost.
//
//	go run ./bench/rebuild -granary bin/granary
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"granary/bench/cluster"
)

// Sizes of what is written, in bytes.
const (
	largeSize = 8 << 20
	smallSize = 1 << 10
	blockSize = 1 << 20
)

// clients is how many objects are written at a time.
const clients = 8

// patience bounds one rebuild.
const patience = 20 * time.Minute

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rebuild:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	c            *cluster.Cluster
	out          io.Writer
	large, small int // objects
}

func run() (err error) {
	b := &bench{out: os.Stdout}
	binary := flag.String("granary", "bin/granary", "path of the binary")
	parent := flag.String("folder", "", "folder for data, on the disk that is to be measured (temporary)")
	flag.IntVar(&b.large, "large", 64, "objects of 8 MiB")
	flag.IntVar(&b.small, "small", 20_000, "objects of 1 KiB")
	flag.Parse()
	path, err := filepath.Abs(*binary)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp(*parent, "granary-rebuild-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	ctx := context.Background()
	if b.c, err = cluster.Three(ctx, cluster.Options{Binary: path, Folder: folder}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.c.Close()) }()
	if _, err := b.c.Nodes[0].Run(ctx, "bucket", "create", "load", "--owner", b.c.Key.ID); err != nil {
		return err
	}
	fmt.Fprintln(b.out, "| rebuild | rows | rows/s | blocks | MiB | s | MiB/s |")
	fmt.Fprintln(b.out, "|---|---|---|---|---|---|---|")
	return errors.Join(b.absence(ctx), b.lostDisk(ctx, filepath.Join(folder, "new disk")))
}

// absence writes while the third node is down, and lets it catch up.
func (b *bench) absence(ctx context.Context) error {
	late := b.c.Nodes[2]
	if err := late.Kill(ctx); err != nil {
		return err
	}
	if err := b.fill(ctx); err != nil {
		return err
	}
	if _, err := late.Restart(ctx); err != nil {
		return err
	}
	return b.measure(ctx, "after an absence", late, b.small+b.large+b.blocks()) // each block has a reference
}

// lostDisk takes all blocks from the third node, which is given an empty disk.
func (b *bench) lostDisk(ctx context.Context, disk string) error {
	late := b.c.Nodes[2]
	if err := late.Stop(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(late.Data, "blocks")); err != nil {
		return err
	}
	late.Setenv("GRANARY_DATA_DISKS=" + disk)
	if _, err := late.Restart(ctx); err != nil {
		return err
	}
	return b.measure(ctx, "after the loss of the disk", late, 0)
}

// fill writes all objects through the first node.
func (b *bench) fill(ctx context.Context) error {
	client, err := b.c.Client(0)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, clients)
	for w := range clients {
		wg.Go(func() {
			data := make([]byte, largeSize)
			random := rand.NewChaCha8([32]byte{byte(w)})
			for i := w; i < b.large+b.small && errs[w] == nil; i += clients {
				size := smallSize
				if i < b.large {
					size = largeSize
				}
				random.Read(data[:size])
				key, body := fmt.Sprintf("%06d", i), bytes.NewReader(data[:size])
				_, errs[w] = client.PutObject(ctx, "load", key, body, int64(size), "", "",
					minio.PutObjectOptions{})
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// blocks is how many there are.
func (b *bench) blocks() int { return b.large * largeSize / blockSize }

// progress is where a node is.
type progress struct {
	rows, blocks int64
}

// measure waits until a node has as many rows as it lacked, and all blocks, and prints how long that took
// from its start.
func (b *bench) measure(ctx context.Context, what string, n *cluster.Node, rows int) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if _, err := n.Run(ctx, "job", "speed", "resync", "0"); err != nil {
		return err
	}
	blocks := int64(b.blocks())
	var rowsTook, blocksTook time.Duration
	for rowsTook == 0 || blocksTook == 0 {
		now, err := b.ask(ctx, n)
		if err != nil {
			return err
		}
		if rowsTook == 0 && now.rows >= int64(rows) {
			rowsTook = time.Since(began)
		}
		if blocksTook == 0 && now.blocks >= blocks {
			blocksTook = time.Since(began)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %d rows and %d of %d blocks after %v\n%s", what, now.rows, now.blocks,
				blocks, time.Since(began), n.LogTail(5))
		case <-time.After(50 * time.Millisecond):
		}
	}
	rate := "-"
	if rows > 0 {
		rate = fmt.Sprintf("%.0f", float64(rows)/rowsTook.Seconds())
	}
	mib := float64(blocks * blockSize >> 20)
	fmt.Fprintf(b.out, "| %s | %d | %s | %d | %.0f | %.1f | %.0f |\n", what, rows, rate, blocks, mib,
		blocksTook.Seconds(), mib/blocksTook.Seconds())
	return nil
}

// ask reads from the metrics what a node got so far: rows that it fetched, or that the others sent it.
func (b *bench) ask(ctx context.Context, late *cluster.Node) (p progress, err error) {
	for _, n := range b.c.Nodes {
		text, err := n.Metrics(ctx)
		if err != nil {
			return p, err
		}
		value := func(name string) (v float64) {
			for line := range strings.Lines(text) {
				if at, ok := strings.CutPrefix(line, name+" "); ok && json.Unmarshal([]byte(at), &v) == nil {
					return v
				}
			}
			return 0
		}
		if n != late {
			p.rows += int64(value(`granary_table_entropy_rows_total{to="others"}`))
			continue
		}
		p.rows += int64(value(`granary_table_entropy_rows_total{to="this node"}`))
		p.blocks = int64(value("granary_block_resync_total"))
	}
	return p, nil
}
