package admin

import (
	"encoding/hex"
	"net/http"

	"granary/core/block"
	"granary/core/bucket"
)

// LostBlocks are blocks that references of the node that answers name, and that no replica in reach holds.
type LostBlocks struct {
	Blocks []LostBlock `json:"blocks"` // ordered by hash
	// Next is where to go on, as the parameter after; empty at the end.
	Next string `json:"next,omitempty"`
}

// LostBlock is one of them.
type LostBlock struct {
	Block string `json:"block"` // its hash
	// GivenUp says that nobody waits for it any more.
	GivenUp bool `json:"given_up,omitempty"`
	// Objects are those that need it, or parts of uploads to them.
	Objects []LostObject `json:"objects"`
}

// LostObject is an object that needs a block which is lost.
type LostObject struct {
	Bucket string `json:"bucket"` // its name; its id, if it has none any more
	Key    string `json:"key"`
	Part   int    `json:"part,omitempty"` // of a multipart upload
}

// GiveUp asks that nobody wait for some blocks any more.
type GiveUp struct {
	Blocks []string `json:"blocks"` // hashes
	// Yes says that the objects that need them cannot be read any more.
	Yes bool `json:"yes"`
}

// GivenUp is the answer of give-up.
type GivenUp struct {
	GivenUp []string       `json:"given_up"`
	Refused []RefusedBlock `json:"refused"`
}

// RefusedBlock is a block that was not given up.
type RefusedBlock struct {
	Block string `json:"block"`
	Cause string `json:"cause"`
}

func (h *Handler) lostBlocks(r request, _ none) (LostBlocks, error) {
	out := LostBlocks{Blocks: []LostBlock{}}
	if h.Blocks == nil {
		return out, nil
	}
	var after block.Hash
	if text := r.http.URL.Query().Get("after"); text != "" {
		list, err := hashes([]string{text})
		if err != nil {
			return out, err
		}
		after = list[0]
	}
	list, err := h.Blocks.Lost(after)
	if err != nil {
		return out, err
	}
	buckets, err := h.Buckets.All()
	if err != nil {
		return out, err
	}
	names := map[bucket.BucketID]string{}
	for _, b := range buckets {
		names[b.ID] = b.Name
	}
	for _, l := range list {
		b := LostBlock{Block: l.Hash.String(), GivenUp: l.GivenUp, Objects: []LostObject{}}
		for _, ref := range l.Refs {
			name := names[bucket.BucketID(ref.Bucket)]
			if name == "" {
				name = hex.EncodeToString(ref.Bucket[:])
			}
			b.Objects = append(b.Objects, LostObject{Bucket: name, Key: ref.Key, Part: ref.Part})
		}
		out.Blocks = append(out.Blocks, b)
	}
	if len(list) == block.LostMax {
		out.Next = list[len(list)-1].Hash.String()
	}
	return out, nil
}

func (h *Handler) giveUpBlocks(r request, in GiveUp) (GivenUp, error) {
	out := GivenUp{GivenUp: []string{}, Refused: []RefusedBlock{}}
	if h.Blocks == nil {
		return out, &Error{Status: http.StatusNotFound, Code: "no_blocks",
			Message: "this node stores no blocks"}
	}
	list, err := hashes(in.Blocks)
	if err != nil {
		return out, err
	}
	if len(list) == 0 || len(list) > block.LostMax {
		return out, badRequest("%d blocks: want 1 to %d", len(list), block.LostMax)
	}
	if !in.Yes {
		e := badRequest("the objects that need these %d blocks could not be read any more: say yes to that",
			len(list))
		e.Hint = "granary block lost lists the objects"
		return out, e
	}
	why, err := h.Blocks.GiveUp(r.ctx, list)
	if err != nil {
		return out, &Error{Status: http.StatusServiceUnavailable, Code: "not_given_up",
			Message: err.Error(), Hint: "a node that does not answer, and a disk that is not in use, may " +
				"have the last copy: bring them back, or give the node up (granary node accept-loss), or " +
				"take the disk out of data.disks"}
	}
	for i, b := range list {
		if why[i] != nil {
			out.Refused = append(out.Refused, RefusedBlock{Block: b.String(), Cause: why[i].Error()})
			continue
		}
		h.Env.Warn("a block was given up as lost", "block", b)
		out.GivenUp = append(out.GivenUp, b.String())
	}
	return out, nil
}

// hashes reads the hashes of blocks.
func hashes(list []string) (out []block.Hash, err error) {
	for _, text := range list {
		var h block.Hash
		raw, err := hex.DecodeString(text)
		if err != nil || copy(h[:], raw) != len(raw) || len(raw) != len(h) {
			return nil, badRequest("%.80q is not the hash of a block, 64 hexadecimal digits", text)
		}
		out = append(out, h)
	}
	return out, nil
}
