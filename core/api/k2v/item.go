package k2v

import (
	"encoding/base64"
	"net/http"
	"strings"

	"granary/core/crdt"
	"granary/core/k2v"
)

// form is how an item may be answered.
type form struct{ raw, json bool }

// accepted reads the Accept header.
func accepted(h http.Header) (form, error) {
	values := h.Values("Accept")
	if len(values) == 0 {
		return form{json: true}, nil
	}
	var f form
	for piece := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, _, _ := strings.Cut(piece, ";")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "application/json":
			f.json = true
		case "application/octet-stream":
			f.raw = true
		case "*/*", "application/*":
			f.raw, f.json = true, true
		}
	}
	if f == (form{}) {
		return f, refuse("NotAcceptable", "Accept: want application/json, application/octet-stream or both")
	}
	return f, nil
}

func (c *call) readItem() error {
	f, err := accepted(c.http.Header)
	if err != nil {
		return err
	}
	item, err := c.Items.Read(c.ctx, c.key())
	if err != nil {
		return err
	}
	return c.item(f, item)
}

func (c *call) pollItem() error {
	f, err := accepted(c.http.Header)
	if err != nil {
		return err
	}
	seen, err := k2v.ParseToken(c.params.Get("causality_token"))
	if err != nil {
		return err
	}
	limit, err := timeout(c.params.Get("timeout"))
	if err != nil {
		return err
	}
	item, err := c.Items.PollItem(c.ctx, c.key(), seen, limit)
	if err != nil {
		return err
	}
	return c.item(f, item)
}

// item answers with the values of an item, in the form that the client accepts.
func (c *call) item(f form, item k2v.Item) error {
	c.token(item.Context)
	switch one := len(item.Values) == 1; {
	case f.raw && one && item.Values[0].Deleted:
		return c.empty(http.StatusNoContent)
	case f.raw && one:
		return c.send(http.StatusOK, "application/octet-stream", item.Values[0].Bytes)
	case !f.json:
		c.head(http.StatusConflict, 0)
		return nil
	}
	return c.answer(http.StatusOK, encoded(item.Values))
}

// encoded returns values as JSON has them: in base64, null for a deletion.
func encoded(values []k2v.Value) []*string {
	list := make([]*string, len(values))
	for i, v := range values {
		if !v.Deleted {
			text := base64.StdEncoding.EncodeToString(v.Bytes)
			list[i] = &text
		}
	}
	return list
}

func (c *call) token(seen crdt.Context) { c.w.Header().Set(TokenHeader, k2v.Token(seen)) }

func (c *call) insertItem() error {
	b, err := c.body("value", c.Items.ValueMax())
	if err != nil {
		return err
	}
	return c.insert(k2v.Value{Bytes: b})
}

func (c *call) deleteItem() error {
	if _, err := c.body("body of a DeleteItem", 0); err != nil {
		return err
	}
	return c.insert(k2v.Value{Deleted: true})
}

// insert writes a value with the token of the request. The answer has a token if nothing stands beside it.
func (c *call) insert(v k2v.Value) error {
	w := k2v.Write{Key: c.key(), Value: v}
	if token := c.http.Header.Get(TokenHeader); token != "" {
		var err error
		if w.Seen, err = k2v.ParseToken(token); err != nil {
			return err
		}
	}
	seen, err := c.Items.Insert(c.ctx, w)
	if err != nil {
		return err
	}
	if seen != nil {
		c.token(seen)
	}
	return c.empty(http.StatusNoContent)
}
