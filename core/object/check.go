package object

import (
	"fmt"

	"granary/core/table"
)

// verifyObject says what is wrong with an object row at rest: whether what it says of its content agrees with
// itself and with the payload.
func (r *Rows) verifyObject(reader *table.Reader, at table.Address, o objectRow) error {
	v := o.Winner
	switch v.State {
	case complete, marker:
	case 0:
		return nil // only uploads
	default:
		return fmt.Errorf("its version %v is in state %d", v.ID, v.State)
	}
	if !v.exists() {
		return nil
	}
	if v.Inline {
		p, ok, err := r.payloads.Get(reader, garbageSort(at.Sort, v.ID))
		if err == nil && ok && int64(len(p.Data)) != v.Size {
			err = fmt.Errorf("version %v is of %d bytes, its payload of %d", v.ID, v.Size, len(p.Data))
		}
		return err
	}
	if len(v.Parts) > 0 {
		sum := int64(0)
		for _, p := range v.Parts {
			sum += p.Size
		}
		if sum != v.Size {
			return fmt.Errorf("version %v is of %d bytes, its parts of %d", v.ID, v.Size, sum)
		}
	}
	if blocks := blocksOf(v.Size, v.blockSize(v.parts()[0])); len(v.Blocks)%hashLen != 0 ||
		len(v.Blocks) > headBlocks*hashLen || len(v.Parts) == 0 && len(v.Blocks) > blocks*hashLen {
		return fmt.Errorf("version %v is of %d blocks, of which its row has %d bytes of hashes", v.ID, blocks,
			len(v.Blocks))
	}
	return nil
}

// verifyList says what is wrong with a segment of a block list at rest.
func verifyList(_ *table.Reader, at table.Address, l listRow) error {
	if _, ok := ownerOf(at.Sort); !ok || len(l.Hashes)%hashLen != 0 || len(l.Hashes) > segmentBlocks*hashLen {
		return fmt.Errorf("a key of %d bytes, %d bytes of hashes", len(at.Sort), len(l.Hashes))
	}
	return nil
}
