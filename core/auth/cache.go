package auth

import "strings"

// cacheSlots bounds the derived keys that a Verifier remembers; each slot is about 100 bytes.
const cacheSlots = 64

// keyCache remembers derived signing keys, one per slot; the slot is chosen by the access key. A new key
// takes the slot of an old one. It never outlives a change of the secret: the secret is compared on each
// use.
type keyCache struct {
	slots [cacheSlots]struct {
		id     KeyID
		secret Secret
		day    string
		key    signingKey
	}
}

// get returns the key derived from secret for a day.
func (c *keyCache) get(id KeyID, secret Secret, day string) (signingKey, bool) {
	s := &c.slots[slot(id)]
	if s.day == "" || s.id != id || s.secret != secret || s.day != day {
		return signingKey{}, false
	}
	return s.key, true
}

// put remembers a key. It keeps no part of the request's memory.
func (c *keyCache) put(id KeyID, secret Secret, day string, key signingKey) {
	s := &c.slots[slot(id)]
	s.id, s.secret, s.key = KeyID(strings.Clone(string(id))), secret, key
	s.day = strings.Clone(day)
}

// slot spreads access keys over the cache (FNV-1a).
func slot(id KeyID) uint32 {
	h := uint32(2166136261)
	for i := range len(id) {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return h % cacheSlots
}
