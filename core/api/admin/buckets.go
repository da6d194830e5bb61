package admin

import (
	"net/http"

	"granary/core/bucket"
	"granary/core/table"
)

func bucketOf(b bucket.Bucket) Bucket {
	out := Bucket{Name: b.Name, ID: b.ID.String(), Owner: string(b.Owner), Created: b.Created,
		Grants: []Grant{}, Consistency: b.Consistency.String(), CORS: CORS{b.CORS}}
	for _, g := range b.Grants {
		out.Grants = append(out.Grants, Grant{Key: string(g.Key), Read: g.Read, Write: g.Write,
			Owner: g.Owner})
	}
	return out
}

func (h *Handler) listBuckets(request, none) ([]Bucket, error) {
	all, err := h.Buckets.All()
	if err != nil {
		return nil, err
	}
	list := []Bucket{}
	for _, b := range all {
		list = append(list, bucketOf(b))
	}
	return list, nil
}

func (h *Handler) createBucket(r request, in NewBucket) (Bucket, error) {
	if err := bucket.CheckName(in.Name); err != nil {
		return Bucket{}, err
	}
	owner := bucket.KeyID(in.Owner)
	if owner == "" {
		keys, err := h.Buckets.Keys()
		if err != nil {
			return Bucket{}, err
		}
		if len(keys) != 1 {
			e := badRequest("bucket %q: no owner given, and there are %d access keys", in.Name, len(keys))
			e.Hint = "name its owner by --owner KEY, one of granary key list, or create one: granary key " +
				"create"
			return Bucket{}, e
		}
		owner = keys[0].ID
	}
	if _, err := h.Buckets.Key(r.ctx, owner); err != nil {
		return Bucket{}, err
	}
	b, err := h.Buckets.Create(r.ctx, in.Name, owner)
	return bucketOf(b), err
}

func (h *Handler) bucketInfo(r request, _ none) (Bucket, error) {
	b, err := h.Buckets.ByName(r.ctx, r.http.PathValue("name"))
	return bucketOf(b), err
}

func (h *Handler) deleteBucket(r request, _ none) (Done, error) {
	b, err := h.Buckets.ByName(r.ctx, r.http.PathValue("name"))
	if err != nil {
		return Done{}, err
	}
	return Done{}, h.Buckets.Delete(r.ctx, b)
}

func (h *Handler) setCORS(r request, in CORS) (Bucket, error) {
	b, err := h.Buckets.ByName(r.ctx, r.http.PathValue("name"))
	if err != nil {
		return Bucket{}, err
	}
	if err := h.Buckets.SetCORS(r.ctx, b, in.Rules); err != nil {
		return Bucket{}, err
	}
	b.CORS = in.Rules
	return bucketOf(b), nil
}

func (h *Handler) setConsistency(r request, in Consistency) (Bucket, error) {
	level, err := table.ParseConsistency(in.Level)
	if err != nil {
		return Bucket{}, err
	}
	b, err := h.Buckets.ByName(r.ctx, r.http.PathValue("name"))
	if err != nil {
		return Bucket{}, err
	}
	if err := h.Buckets.SetConsistency(r.ctx, b, level); err != nil {
		return Bucket{}, err
	}
	b.Consistency = level
	return bucketOf(b), nil
}

func (h *Handler) allow(r request, in Grant) (Bucket, error) {
	if _, err := h.Buckets.Key(r.ctx, bucket.KeyID(in.Key)); err != nil {
		return Bucket{}, err
	}
	return h.grant(r, in, func(g *bucket.Grant) {
		g.Read, g.Write, g.Owner = g.Read || in.Read, g.Write || in.Write, g.Owner || in.Owner
	})
}

func (h *Handler) deny(r request, in Grant) (Bucket, error) {
	return h.grant(r, in, func(g *bucket.Grant) {
		g.Read, g.Write, g.Owner = g.Read && !in.Read, g.Write && !in.Write, g.Owner && !in.Owner
	})
}

// grant changes what a key may do in a bucket and returns the bucket as it then is.
func (h *Handler) grant(r request, in Grant, change func(*bucket.Grant)) (Bucket, error) {
	if in.Key == "" {
		return Bucket{}, badRequest("no access key given")
	}
	if !in.Read && !in.Write && !in.Owner {
		e := badRequest("no permission given")
		e.Hint = "name at least one of read, write, owner"
		return Bucket{}, e
	}
	b, err := h.Buckets.Change(r.ctx, r.http.PathValue("name"), bucket.KeyID(in.Key), change)
	return bucketOf(b), err
}

// Bounds of imported keys and of names, in bytes.
const (
	keyIDMin  = 3
	keyIDMax  = 128
	secretMin = 16
	secretMax = 128
	nameMax   = 128
)

// checkKey returns what is wrong with a new key.
func checkKey(in NewKey) error {
	if len(in.Name) > nameMax {
		return badRequest("the name has %d bytes, at most %d", len(in.Name), nameMax)
	}
	if in.ID == "" && in.Secret == "" {
		return nil
	}
	if len(in.ID) < keyIDMin || len(in.ID) > keyIDMax || !graphic(in.ID, "/,=&?%") {
		return badRequest("key id %.40q: want %d to %d visible characters without / , = & ? %%", in.ID,
			keyIDMin, keyIDMax)
	}
	if len(in.Secret) < secretMin || len(in.Secret) > secretMax || !graphic(in.Secret, "") {
		return badRequest("the secret of key %s: want %d to %d visible characters", in.ID, secretMin,
			secretMax)
	}
	return nil
}

// graphic reports whether s is of visible ASCII characters, none of them in without.
func graphic(s, without string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
		for j := range len(without) {
			if s[i] == without[j] {
				return false
			}
		}
	}
	return true
}

func keyOf(k bucket.Key) Key {
	return Key{ID: string(k.ID), Name: k.Name, CreateBuckets: k.CreateBuckets, Created: k.Created}
}

// withSecret is keyOf for the answers that may hold the secret.
func withSecret(k bucket.Key) Key {
	out := keyOf(k)
	out.Secret = k.Secret
	return out
}

func (h *Handler) listKeys(request, none) ([]Key, error) {
	all, err := h.Buckets.Keys()
	if err != nil {
		return nil, err
	}
	list := []Key{}
	for _, k := range all {
		list = append(list, keyOf(k))
	}
	return list, nil
}

func (h *Handler) createKey(r request, in NewKey) (Key, error) {
	if in.ID != "" || in.Secret != "" {
		return Key{}, badRequest("a new key's id and secret are drawn by the node; import takes given ones")
	}
	if err := checkKey(in); err != nil {
		return Key{}, err
	}
	k, err := h.Buckets.CreateKey(r.ctx, in.Name, in.CreateBuckets)
	if err != nil {
		return Key{}, err
	}
	return withSecret(k), nil
}

func (h *Handler) importKey(r request, in NewKey) (Key, error) {
	if in.ID == "" || in.Secret == "" {
		return Key{}, badRequest("an import needs an id and a secret")
	}
	if err := checkKey(in); err != nil {
		return Key{}, err
	}
	old, err := h.Buckets.Key(r.ctx, bucket.KeyID(in.ID))
	if err == nil && old.Secret != in.Secret {
		return Key{}, &Error{Status: http.StatusConflict, Code: "key_exists",
			Message: "key " + in.ID + " is there already, with another secret",
			Hint:    "delete it first: granary key delete"}
	}
	if err != nil && refusal(err).Code != "no_such_key" {
		return Key{}, err
	}
	k, err := h.Buckets.PutKey(r.ctx, bucket.Key{ID: bucket.KeyID(in.ID), Secret: in.Secret, Name: in.Name,
		CreateBuckets: in.CreateBuckets})
	if err != nil {
		return Key{}, err
	}
	return keyOf(k), nil
}

func (h *Handler) keyInfo(r request, _ none) (Key, error) {
	k, err := h.Buckets.Key(r.ctx, bucket.KeyID(r.http.PathValue("id")))
	if err != nil {
		return Key{}, err
	}
	out := keyOf(k)
	if r.http.URL.Query().Get("secret") == "show" {
		out = withSecret(k)
	}
	all, err := h.Buckets.All()
	for _, b := range all {
		if _, ok := b.Grant(k.ID); ok {
			out.Buckets = append(out.Buckets, b.Name)
		}
	}
	return out, err
}

func (h *Handler) deleteKey(r request, _ none) (Done, error) {
	return Done{}, h.Buckets.DeleteKey(r.ctx, bucket.KeyID(r.http.PathValue("id")))
}
