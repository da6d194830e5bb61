package cluster

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"time"

	"granary/core/crdt"
	"granary/core/kv"
	"granary/core/layout"
	"granary/core/rpc"
	"granary/core/rt"
)

type joinRequest struct {
	Node   rt.NodeID   `cbor:"1,keyasint"`
	Member Member      `cbor:"2,keyasint"`
	Role   layout.Role `cbor:"3,keyasint"`
	Proof  []byte      `cbor:"4,keyasint"` // by Node's key, over joinProof
}

type joinResponse struct {
	Doc document `cbor:"1,keyasint"`
}

type tokenRequest struct{}

type tokenResponse struct {
	Token string `cbor:"1,keyasint"`
}

var (
	methodJoin  = rpc.NewMethod[joinRequest, joinResponse]("cluster.join", rpc.Meta)
	methodToken = rpc.NewMethod[tokenRequest, tokenResponse]("cluster.token", rpc.Meta)
)

// joinProof is what a joining node signs: that it means this token.
func joinProof(token, node rt.NodeID) []byte {
	msg := append([]byte("granary join\x00"), token[:]...)
	return append(msg, node[:]...)
}

// loadTokens reads the tokens that have not expired.
func (c *Cluster) loadTokens(r kv.Reader) error {
	now := c.env.Wall()
	end := append(bytes.Clone(keyTokens[:len(keyTokens)-1]), keyTokens[len(keyTokens)-1]+1)
	r.Ascend(keyTokens, end, func(k, v []byte) bool {
		if raw := k[len(keyTokens):]; len(raw) == len(rt.NodeID{}) && len(v) == 8 {
			if until := time.UnixMilli(int64(binary.BigEndian.Uint64(v))).UTC(); until.After(now) {
				c.tokens[rt.NodeID(raw)] = until
			}
		}
		return true
	})
	return nil
}

func tokenKey(key rt.NodeID) []byte { return append(bytes.Clone(keyTokens), key[:]...) }

// NewToken issues a join token for one new node.
func (c *Cluster) NewToken(ctx context.Context) (Token, error) {
	doc, _ := c.snapshot()
	if len(doc.ID) == 0 {
		return Token{}, ErrNoCluster
	}
	t := Token{Addr: c.self.Addr, Node: c.env.Self(), Secret: c.env.Secret(ed25519.SeedSize)}
	key, until := keyOf(t.Secret), c.env.Wall().Add(TokenTTL)
	c.expireTokens(ctx)
	c.lock.Lock()
	n := len(c.tokens)
	c.lock.Unlock()
	if n >= tokensMax {
		return Token{}, fmt.Errorf("%d join tokens are outstanding, at most %d: wait until some expire", n,
			tokensMax)
	}
	stored := binary.BigEndian.AppendUint64(nil, uint64(until.UnixMilli()))
	if err := c.store.Update(ctx, func(w kv.Writer) error {
		w.Put(tokenKey(key),
			stored)
		return nil
	}); err != nil {
		return Token{}, fmt.Errorf("store join token: %w", err)
	}
	c.lock.Lock()
	defer c.lock.Unlock()
	c.tokens[key] = until
	return t, nil
}

func (c *Cluster) handleToken(ctx context.Context, _ rt.NodeID, _ *tokenRequest) (*tokenResponse, error) {
	t, err := c.NewToken(ctx)
	if err != nil {
		return nil, err
	}
	return &tokenResponse{Token: t.String()}, nil
}

// expireTokens forgets the tokens whose time is over.
func (c *Cluster) expireTokens(ctx context.Context) {
	now := c.env.Wall()
	c.lock.Lock()
	var over []rt.NodeID
	for key, until := range c.tokens { //det:ok the keys are deleted, in any order
		if !until.After(now) {
			over = append(over, key)
		}
	}
	for _, key := range over {
		delete(c.tokens, key)
	}
	c.lock.Unlock()
	if len(over) == 0 {
		return
	}
	err := c.store.Update(ctx, func(w kv.Writer) error {
		for _, key := range over {
			w.Delete(tokenKey(key))
		}
		return nil
	})
	if err != nil {
		c.env.Warn("expired join tokens could not be removed from the store", "err", err)
	}
}

// useToken takes a token, for good, before anything is done in its name.
func (c *Cluster) useToken(ctx context.Context, key rt.NodeID) error {
	now := c.env.Wall()
	c.lock.Lock()
	until, ok := c.tokens[key]
	delete(c.tokens, key)
	c.lock.Unlock()
	if !ok || !until.After(now) {
		return ErrTokenRefused
	}
	return c.store.Update(ctx, func(w kv.Writer) error { w.Delete(tokenKey(key)); return nil })
}

// handleJoin adds the asking node; from is the token's key.
func (c *Cluster) handleJoin(ctx context.Context, from rt.NodeID, req *joinRequest) (*joinResponse, error) {
	if !ed25519.Verify(req.Node[:], joinProof(from, req.Node), req.Proof) {
		return nil, fmt.Errorf("node %s did not prove its key: %w", req.Node.Short(), ErrTokenRefused)
	}
	if err := c.useToken(ctx, from); err != nil {
		return nil, err
	}
	stamp, err := c.clock.Now(ctx)
	if err != nil {
		return nil, err
	}
	err = c.change(ctx, func(doc document) (document, error) {
		if m, ok := doc.Members.Get(req.Node); ok && m.Value.Removed {
			return doc, fmt.Errorf("node %s was removed for good: join with an empty data folder",
				req.Node.Short())
		}
		req.Member.Removed = false
		req.Role.Node = req.Node
		if err := req.Role.Validate(); err != nil {
			return doc, fmt.Errorf("%w: %w", ErrUnsuitable, err)
		}
		return document{
			Members: crdt.Map[rt.NodeID, crdt.LWW[Member]]{}.With(req.Node,
				crdt.LWW[Member]{Stamp: stamp, Value: req.Member}),
			Staged: layout.Staged{}.WithRole(stamp, req.Role)}, nil
	})
	if err != nil {
		return nil, err
	}
	c.env.Info("node joined", "node", req.Node.Short(), "name", req.Member.Name, "addr", req.Member.Addr)
	doc, _ := c.snapshot()
	return &joinResponse{Doc: doc}, nil
}

// JoinWith makes this node a member of the cluster that issued the token, asking for role.
//
// Errors: ErrInCluster, ErrTokenRefused, and those of rpc, for example rpc.ErrIdentity if the node at the
// token's address has another key.
func (c *Cluster) JoinWith(ctx context.Context, t Token, role layout.Role) error {
	if doc, _ := c.snapshot(); len(doc.ID) > 0 {
		return ErrInCluster
	}
	as := &rpc.Identity{Seed: [32]byte(t.Secret)}
	c.lock.Lock()
	c.joining[t.Node] = rpc.Route{Addr: t.Addr, As: as}
	c.lock.Unlock()
	key := ed25519.NewKeyFromSeed(c.identity.Seed[:])
	role.Node = c.env.Self()
	req := &joinRequest{Node: c.env.Self(), Member: c.self, Role: role,
		Proof: ed25519.Sign(key, joinProof(keyOf(t.Secret), c.env.Self()))}
	resp, err := methodJoin.Call(ctx, c.endpoint, t.Node, req)
	c.lock.Lock()
	delete(c.joining, t.Node)
	c.lock.Unlock()
	c.endpoint.Disconnect(t.Node)
	if err != nil {
		return fmt.Errorf("join through %s: %w", t.Addr, err)
	}
	_, err = c.merge(ctx, resp.Doc)
	return err
}
