package auth

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

// Policy is a parsed POST policy document.
type Policy struct {
	Expiration time.Time
	// SizeMin and SizeMax bound the file in bytes, both included; SizeMax -1 means no bound.
	SizeMin, SizeMax int64

	conditions []condition
}

// condition is one demand on one field.
type condition struct {
	prefix bool   // starts-with instead of eq
	field  string // lower-case, without '$'
	value  string
}

// ParsePolicy parses a policy document in base64.
//
// Errors: ErrMalformedPolicy with the part that does not parse.
func ParsePolicy(document string) (Policy, error) {
	p := Policy{SizeMax: -1}
	raw, err := base64.StdEncoding.DecodeString(document)
	if err != nil || len(document) > PolicyMax {
		return p, badPolicy("policy", "encode the document in base64, at most 20 KiB")
	}
	var doc struct {
		Expiration string            `json:"expiration"`
		Conditions []json.RawMessage `json:"conditions"`
	}
	if err := decodeJSON(raw, &doc); err != nil {
		e := badPolicy("policy", "")
		e.Cause = err
		return p, e
	}
	if p.Expiration, err = time.Parse(time.RFC3339, doc.Expiration); err != nil {
		return p, badPolicy("expiration", "write YYYY-MM-DDTHH:MM:SSZ")
	}
	if len(doc.Conditions) > policyConditionsMax {
		return p, badPolicy("conditions", "at most 256")
	}
	for i, raw := range doc.Conditions {
		if err := p.add(raw); err != nil {
			err.Subject = "condition " + strconv.Itoa(i+1)
			return p, err
		}
	}
	return p, nil
}

// badPolicy refuses a part of a policy.
func badPolicy(subject, hint string) *Error { return refuse(ErrMalformedPolicy, subject, hint) }

// decodeJSON decodes exactly one value, numbers as they are written.
func decodeJSON(raw []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(to); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return badPolicy("policy", "one JSON object")
	}
	return nil
}

// add parses one condition: {"field": "value"} or [op, a, b].
func (p *Policy) add(raw json.RawMessage) *Error {
	if len(raw) > 0 && raw[0] == '{' {
		return p.addObject(raw)
	}
	var list []any
	if err := decodeJSON(raw, &list); err != nil || len(list) != 3 {
		return badPolicy("", "a condition is an object of one field or a list of three")
	}
	op, _ := list[0].(string)
	switch strings.ToLower(op) {
	case "eq", "starts-with":
		field, ok := list[1].(string)
		value, ok2 := scalar(list[2])
		if !ok || !ok2 || len(field) < 2 || field[0] != '$' {
			return badPolicy("", `write ["`+strings.ToLower(op)+`", "$field", "value"]`)
		}
		prefix := strings.EqualFold(op, "starts-with")
		p.conditions = append(p.conditions, condition{prefix, strings.ToLower(field[1:]), value})
		return nil
	case "content-length-range":
		return p.addRange(list[1], list[2])
	}
	return badPolicy("", "known operators: eq, starts-with, content-length-range")
}

// addObject parses {"field": "value"}.
func (p *Policy) addObject(raw json.RawMessage) *Error {
	var object map[string]any
	if err := decodeJSON(raw, &object); err != nil || len(object) != 1 {
		return badPolicy("", "an object has one field")
	}
	for field, v := range object { //det:ok exactly one entry
		value, ok := scalar(v)
		if !ok || field == "" {
			return badPolicy("", "the value is a string")
		}
		p.conditions = append(p.conditions, condition{false, strings.ToLower(field), value})
	}
	return nil
}

// addRange narrows the bounds of the file's size.
func (p *Policy) addRange(low, high any) *Error {
	l, ok1 := scalar(low)
	h, ok2 := scalar(high)
	lo, err1 := strconv.ParseInt(l, 10, 64)
	hi, err2 := strconv.ParseInt(h, 10, 64)
	if !ok1 || !ok2 || err1 != nil || err2 != nil || lo < 0 || hi < lo {
		return badPolicy("", `write ["content-length-range", least, most]`)
	}
	p.SizeMin = max(p.SizeMin, lo)
	if p.SizeMax < 0 || hi < p.SizeMax {
		p.SizeMax = hi
	}
	return nil
}

// scalar returns a JSON string, or a number as it is written.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

// Check reports whether a form fulfils the policy at a time: not expired, every condition met, every field
// that S3 asks to be named in a condition named.
//
// Errors: ErrExpired, ErrPolicyViolated with the condition or field.
func (p *Policy) Check(f Form, bucket, key string, now time.Time) error {
	if !now.Before(p.Expiration) {
		return refuse(ErrExpired, "policy", "it ended at "+p.Expiration.UTC().Format(time.RFC3339))
	}
	named := make(map[string]bool, len(p.conditions))
	for _, c := range p.conditions {
		named[c.field] = true
		value := key
		switch c.field {
		case "bucket":
			value = bucket
		case "key":
		default:
			value, _ = f.get(c.field)
		}
		if !c.holds(value) {
			return refuse(ErrPolicyViolated, c.String(), "")
		}
	}
	for _, field := range f {
		if name := strings.ToLower(field.Name); !exempt(name) && !named[name] {
			return refuse(ErrPolicyViolated, field.Name, "name the field in a condition of the policy")
		}
	}
	if !named["bucket"] || !named["key"] {
		return refuse(ErrPolicyViolated, "bucket and key", "name both in conditions of the policy")
	}
	return nil
}

// CheckSize reports whether a file of so many bytes fulfils the policy.
//
// Errors: ErrPolicyTooSmall, ErrPolicyTooLarge.
func (p *Policy) CheckSize(size int64) error {
	if size < p.SizeMin {
		return refuse(ErrPolicyTooSmall, strconv.FormatInt(size, 10)+" bytes",
			"at least "+strconv.FormatInt(p.SizeMin, 10))
	}
	if p.SizeMax >= 0 && size > p.SizeMax {
		return refuse(ErrPolicyTooLarge, strconv.FormatInt(size, 10)+" bytes",
			"at most "+strconv.FormatInt(p.SizeMax, 10))
	}
	return nil
}

// exempt reports whether a field needs no condition: what signs the policy cannot be in it, and what S3
// ignores.
func exempt(lower string) bool {
	switch lower {
	case "policy", "x-amz-signature", "file", "bucket":
		return true
	}
	return strings.HasPrefix(lower, "x-ignore-")
}

// holds reports whether a field's value fulfils the condition. A prefix for Content-Type binds each element
// of a list with commas.
func (c condition) holds(value string) bool {
	if !c.prefix {
		return value == c.value
	}
	if c.field != "content-type" {
		return strings.HasPrefix(value, c.value)
	}
	for piece := range strings.SplitSeq(value, ",") {
		if !strings.HasPrefix(strings.TrimSpace(piece), c.value) {
			return false
		}
	}
	return true
}

// String writes the condition as a policy does.
func (c condition) String() string {
	op := "eq"
	if c.prefix {
		op = "starts-with"
	}
	return `["` + op + `", "$` + c.field + `", "` + c.value + `"]`
}
