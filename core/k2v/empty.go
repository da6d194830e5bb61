package k2v

import (
	"context"
	"fmt"
	"slices"
	"time"

	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/rt"
	"granary/core/table"
)

// holdsRequest asks whether a node holds a live item of a bucket.
type holdsRequest struct {
	Bucket bucket.BucketID `cbor:"1,keyasint"`
	// Plans are those of the partitions whose read sets the node is in: one, or two during a change of the
	// layout.
	Plans []cluster.Plan `cbor:"2,keyasint"`
}

type holdsResponse struct {
	Live bool `cbor:"1,keyasint,omitempty"`
}

var methodHolds = rpc.NewMethod[holdsRequest, holdsResponse]("k2v.holds", rpc.Meta)

// holdsPage is how many items one transaction looks at.
const holdsPage = 1024

func (s *Store) handleHolds(ctx context.Context, _ rt.NodeID, req *holdsRequest) (*holdsResponse, error) {
	resp := &holdsResponse{}
	admit := func(r kv.Reader) error {
		for _, p := range req.Plans {
			if err := cluster.AdmitRead(s.env, r, p); err != nil {
				return err
			}
		}
		return nil
	}
	for from, more := []byte(nil), true; more && !resp.Live; more = from != nil {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var err error
		from, err = table.WalkUnder(s.tables, s.rows.items, req.Bucket[:], from, holdsPage, admit,
			func(_ table.Address, row itemRow) { resp.Live = resp.Live || countsOf(row.State).Entries > 0 })
		if err != nil {
			return nil, err
		}
	}
	return resp, nil
}

const (
	// emptyLooks is how often Empty asks while some replica has an item, which may have been deleted a moment
	// ago, and emptyPause how long it waits between.
	emptyLooks = 3
	emptyPause = 500 * time.Millisecond
)

// Empty reports whether no node holds a live item of a bucket, of those that make a read quorum of every
// partition. It is what deleting a bucket asks when nothing is written into the bucket any more.
//
// Errors: *quorum.Error.
// Cost: one round with all nodes, each of which looks at all that it holds of the bucket; a few if it is not
// empty.
func (s *Store) Empty(ctx context.Context, b bucket.BucketID) (empty bool, err error) {
	for look := 1; ; look++ {
		if empty, err = s.lookEmpty(ctx, b); empty || err != nil || look == emptyLooks {
			return empty, err
		}
		if err := s.env.Sleep(ctx, emptyPause); err != nil {
			return false, err
		}
	}
}

func (s *Store) lookEmpty(ctx context.Context, b bucket.BucketID) (empty bool, err error) {
	err = quorum.Planned(ctx, s.env, s.topology, s.topology.FullView,
		func(cluster.View) (fails []quorum.Failure, err error) {
			empty, fails, err = s.lookOnce(ctx, b)
			return fails, err
		})
	return empty, err
}

// lookOnce is lookEmpty with the layout as it is known now; fails are the nodes that failed.
func (s *Store) lookOnce(ctx context.Context, b bucket.BucketID) (empty bool, fails []quorum.Failure,
	err error) {
	var tallies []*quorum.Tally
	var nodes []rt.NodeID
	plans := map[rt.NodeID][]cluster.Plan{}
	s.topology.EachView(func(_, _ layout.Prefix, v cluster.View) {
		set := v.ReadSet().Reading()
		tallies = append(tallies, quorum.NewTally(cluster.View{Live: []layout.Set{set}}, false))
		for _, n := range set.Nodes {
			if plans[n] == nil {
				nodes = append(nodes, n)
			}
			if !slices.Contains(plans[n], v.Plan()) {
				plans[n] = append(plans[n], v.Plan())
			}
		}
	})
	round := quorum.Start(s.env.Background(), s.quorum, s.topology.Nearest(nodes), 0,
		func(ctx context.Context, to rt.NodeID) (*holdsResponse, error) {
			ctx, cancel := s.env.WithTimeout(ctx, table.ReadTimeout)
			defer cancel()
			return methodHolds.Call(ctx, s.endpoint, to, &holdsRequest{b, plans[to]})
		})
	defer round.Close()
	ctx, cancel := s.env.WithTimeout(ctx, table.ReadTimeout)
	defer cancel()
	for waiting(tallies) {
		reply, err := round.Next(ctx, 0)
		if err != nil {
			break
		}
		answer := quorum.Answer{Vote: quorum.Stored}
		if reply.Err != nil {
			answer = quorum.Answer{Vote: quorum.Failed, Err: reply.Err}
			fails = append(fails, quorum.Failure{Node: reply.Node, Err: reply.Err})
		} else if reply.Value.Live {
			return false, nil, nil
		}
		for _, t := range tallies {
			t.Add(reply.Node, answer)
		}
	}
	for _, t := range tallies {
		if t.Verdict(false) != quorum.Acked {
			s.quorum.Missed("read")
			e := t.Missed(fmt.Sprintf("items of bucket %v", b), s.topology.Describe, false)
			e.Op, e.Unknown = "read", false
			return false, fails, e
		}
	}
	return true, nil, nil
}

func waiting(tallies []*quorum.Tally) bool {
	for _, t := range tallies {
		if t.Verdict(false) == quorum.Waiting {
			return true
		}
	}
	return false
}
