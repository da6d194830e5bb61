package cluster

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"granary/core/hlc"
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
	Store  []byte      `cbor:"5,keyasint"` // id of the node's store
}

type joinResponse struct {
	Doc document `cbor:"1,keyasint"`
}

var methodJoin = rpc.NewMethod[joinRequest, joinResponse]("cluster.join", rpc.Meta)

const (
	// joinTimeout bounds a whole join.
	joinTimeout = 15 * time.Second
	// partingTime is how long the connection of a used or expired token may linger, for the answer to leave.
	partingTime = 5 * time.Second
)

// joinProof is what a joining node signs: that it means this token.
func joinProof(token, node rt.NodeID) []byte {
	msg := append([]byte("granary join\x00"), token[:]...)
	return append(msg, node[:]...)
}

// loadTokens reads the tokens outstanding; expireTokens weeds them.
func (c *Cluster) loadTokens(r kv.Reader) {
	end := append(bytes.Clone(keyTokens[:len(keyTokens)-1]), keyTokens[len(keyTokens)-1]+1)
	r.Ascend(keyTokens, end, func(k, v []byte) bool {
		if raw := k[len(keyTokens):]; len(raw) == len(rt.NodeID{}) && len(v) == 8 {
			c.tokens[rt.NodeID(raw)] = time.UnixMilli(int64(binary.BigEndian.Uint64(v))).UTC()
		}
		return true
	})
}

func tokenKey(key rt.NodeID) []byte { return append(bytes.Clone(keyTokens), key[:]...) }

// NewToken issues a join token for one new node.
//
// Errors: ErrNoCluster, ErrManyTokens, those of the store.
func (c *Cluster) NewToken(ctx context.Context) (Token, error) {
	doc, _ := c.snapshot()
	if len(doc.ID) == 0 {
		return Token{}, ErrNoCluster
	}
	c.expireTokens(ctx)
	t := Token{Addr: c.self.Addr, Node: c.env.Self(), Secret: c.env.Secret(ed25519.SeedSize)}
	key, until := keyOf(t.Secret), c.env.Wall().Add(TokenTTL)
	c.lock.Lock()
	full := len(c.tokens) >= tokensMax
	if !full {
		c.tokens[key] = until
	}
	c.lock.Unlock()
	if full {
		return Token{}, fmt.Errorf("%w, at most %d: use some, or wait until they expire", ErrManyTokens,
			tokensMax)
	}
	stored := binary.BigEndian.AppendUint64(nil, uint64(until.UnixMilli()))
	err := c.store.Update(ctx, func(w kv.Writer) error { w.Put(tokenKey(key), stored); return nil })
	if err != nil {
		c.lock.Lock()
		delete(c.tokens, key)
		c.lock.Unlock()
		return Token{}, fmt.Errorf("store join token: %w", err)
	}
	return t, nil
}

// expireTokens forgets the tokens whose time is over.
func (c *Cluster) expireTokens(ctx context.Context) {
	now := c.env.Wall()
	c.lock.Lock()
	var over []rt.NodeID
	for key, until := range c.tokens { //det:ok sorted below
		if !until.After(now) {
			over = append(over, key)
		}
	}
	slices.SortFunc(over, rt.NodeID.Compare)
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
	for _, key := range over {
		c.part(key)
	}
}

// part closes the connections of a token's key, a moment later.
func (c *Cluster) part(key rt.NodeID) {
	c.group.Go("part with a joiner", func(ctx context.Context) error {
		if c.env.Sleep(ctx, partingTime) == nil {
			c.endpoint.Disconnect(key)
		}
		return nil
	})
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
	c.part(key)
	return c.store.Update(ctx, func(w kv.Writer) error { w.Delete(tokenKey(key)); return nil })
}

// check says whether a request may be granted, its token apart.
func (r *joinRequest) check(from rt.NodeID) error {
	if !ed25519.Verify(r.Node[:], joinProof(from, r.Node), r.Proof) {
		return fmt.Errorf("node %s did not prove its key: %w", r.Node.Short(), ErrTokenRefused)
	}
	if err := r.Member.Validate(); err != nil {
		return err
	}
	if r.Role.Node != r.Node {
		return fmt.Errorf("%w: node %s asks for a role of another", ErrUnsuitable, r.Node.Short())
	}
	if err := r.Role.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsuitable, err)
	}
	return nil
}

// handleJoin adds the asking node; from is the token's key. What is wrong with the request itself leaves the
// token as it is.
func (c *Cluster) handleJoin(ctx context.Context, from rt.NodeID, req *joinRequest) (*joinResponse, error) {
	if err := req.check(from); err != nil {
		return nil, err
	}
	refused := fmt.Errorf("node %s: %w: give it an empty data folder, and so a new key", req.Node.Short(),
		ErrRemoved)
	if doc, _ := c.snapshot(); doc.removed(req.Node) {
		return nil, refused
	}
	if err := c.useToken(ctx, from); err != nil {
		return nil, err
	}
	err := c.change(ctx, func(doc document, stamp hlc.Stamp) (document, error) {
		if doc.removed(req.Node) {
			return doc, refused
		}
		return document{Members: aMember(req.Node, stamp, req.Member, doc.reborn(req.Node, req.Store)),
			Staged: layout.Staged{}.WithRole(stamp, req.Role)}, nil
	})
	if err != nil {
		return nil, err
	}
	c.env.Info("node joined", "node", req.Node.Short(), "name", req.Member.Name, "addr", req.Member.Addr)
	doc, _ := c.snapshot()
	return &joinResponse{Doc: doc}, nil
}

// JoinWith makes this node a member of the cluster that issued the token, asking for role. It may be
// repeated, with another token if this one was used up before the answer was lost.
//
// Errors: ErrInCluster, ErrBadToken, ErrBadMember, ErrUnsuitable, ErrTokenRefused, ErrRemoved, and those of
// rpc: rpc.ErrIdentity if the node at the token's address has another key or does not know the token (any
// more).
func (c *Cluster) JoinWith(ctx context.Context, t Token, role layout.Role) error {
	if err := t.check(); err != nil {
		return err
	}
	if err := c.entering.Lock(ctx); err != nil {
		return err
	}
	defer c.entering.Unlock()
	if doc, _ := c.snapshot(); len(doc.ID) > 0 {
		return ErrInCluster
	}
	ctx, cancel := c.env.WithTimeout(ctx, joinTimeout)
	defer cancel()
	self := c.env.Self()
	role.Node = self
	key := ed25519.NewKeyFromSeed(c.identity.Seed[:])
	req := &joinRequest{Node: self, Member: c.self, Role: role, Store: c.storeID,
		Proof: ed25519.Sign(key, joinProof(keyOf(t.Secret), self))}
	resp, err := c.callJoin(ctx, t, req)
	if errors.Is(err, rpc.ErrIdentity) {
		return fmt.Errorf("join through %s: %w; the token was used, has expired or is of another cluster:"+
			" ask a member for a new one", t.Addr, err)
	}
	if err != nil {
		return fmt.Errorf("join through %s: %w", t.Addr, err)
	}
	if len(resp.Doc.ID) == 0 || !resp.Doc.present(self) {
		return fmt.Errorf("join through %s: the answer does not have this node as a member", t.Addr)
	}
	_, err = c.merge(ctx, resp.Doc)
	return err
}

// callJoin calls cluster.join under the token's identity, over a connection of its own.
func (c *Cluster) callJoin(ctx context.Context, t Token, req *joinRequest) (*joinResponse, error) {
	c.lock.Lock()
	c.joining[t.Node] = rpc.Route{Addr: t.Addr, As: &rpc.Identity{Seed: [32]byte(t.Secret)}}
	c.lock.Unlock()
	resp, err := methodJoin.Call(ctx, c.endpoint, t.Node, req)
	c.lock.Lock()
	delete(c.joining, t.Node)
	c.lock.Unlock()
	c.endpoint.Disconnect(t.Node)
	return resp, err
}
