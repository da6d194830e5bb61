package workload

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"granary/core/auth"
	"granary/sim/check"
)

// pagesMax bounds a listing, in pages.
const pagesMax = 500

func escapeKey(key string) string { return auth.EscapePath(key) }

// decode parses a document of the store's own making; what is missing stays empty, which the checkers notice.
func decode(document []byte, into any) bool { return xml.Unmarshal(document, into) == nil }

// escapeXML escapes character data.
func escapeXML(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s))
	return b.String()
}

// deleteMany deletes several keys in one request; each is an operation of its own.
func (r *runner) deleteMany(op *Op) {
	var doc strings.Builder
	doc.WriteString("<Delete>")
	at := map[string]int{}
	for _, key := range op.Keys {
		fmt.Fprintf(&doc, "<Object><Key>%s</Key></Object>", escapeXML(key))
		at[key] = r.begin(op, check.Op{Kind: check.Delete, Key: key, Size: -1, Note: "delete-many"})
	}
	doc.WriteString("</Delete>")
	ans := r.ask(op, ask{method: http.MethodPost, query: "delete="}.text(doc.String()))
	var x struct {
		Deleted []struct{ Key string }
		Error   []struct{ Key, Code string }
	}
	outcome := map[string]check.Outcome{}
	if ans.outcome == check.OK && decode(ans.document, &x) {
		for _, d := range x.Deleted {
			outcome[d.Key] = check.OK
		}
		for _, e := range x.Error {
			if e.Code != "OutcomeUnknown" && e.Code != "InternalError" {
				outcome[e.Key] = check.Failed
			}
		}
	}
	for _, key := range op.Keys {
		if ans.outcome != check.OK {
			outcome[key] = ans.outcome
		}
		r.h.Ops[at[key]].Note += " " + ans.name
		r.end(at[key], outcome[key])
	}
}

// list reads all pages of a listing.
func (r *runner) list(op *Op) {
	l := &check.Listing{Prefix: op.Prefix, Delimiter: op.Delim, Max: op.Max}
	i := r.begin(op, check.Op{Kind: check.List, Size: -1, Listing: l, Note: fmt.Sprintf("list %q",
		op.Prefix)})
	outcome, token := check.Failed, ""
	for range pagesMax {
		page, next, ok := r.page(op, token)
		if !ok {
			break
		}
		l.Pages = append(l.Pages, page)
		if token = next; !page.Truncated {
			outcome = check.OK
			break
		}
	}
	r.end(i, outcome)
}

// page reads one page of a listing.
func (r *runner) page(op *Op, token string) (page check.Page, next string, ok bool) {
	query := ""
	for _, p := range [][2]string{
		{"continuation-token", token}, {"delimiter", op.Delim}, {"encoding-type", "url"}, {"list-type", "2"},
		{"max-keys", strconv.Itoa(op.Max)}, {"prefix", op.Prefix},
	} {
		if p[1] != "" {
			query += "&" + p[0] + "=" + auth.EscapeQuery(p[1])
		}
	}
	page.Call = r.h.Tick()
	ans := r.ask(op, ask{method: http.MethodGet, query: query[1:]})
	page.Return = r.h.Tick()
	var x struct {
		XMLName     xml.Name `xml:"ListBucketResult"`
		IsTruncated bool
		NextToken   string `xml:"NextContinuationToken"`
		Contents    []struct {
			Key, ETag string
			Size      int64
		}
		CommonPrefixes []struct{ Prefix string }
	}
	if ans.outcome != check.OK || !decode(ans.document, &x) {
		return page, "", false
	}
	for _, c := range x.Contents {
		page.Entries = append(page.Entries, check.Entry{Key: unescape(c.Key), ETag: unquoted(c.ETag),
			Size: c.Size})
	}
	for _, c := range x.CommonPrefixes {
		page.Prefixes = append(page.Prefixes, unescape(c.Prefix))
	}
	page.Truncated = x.IsTruncated
	return page, x.NextToken, true
}

// unescape undoes encoding-type=url. What does not parse is kept, and will be no key that anybody wrote.
func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}

// multipart uploads a value in parts, and completes or aborts it. Nothing can be seen before Complete is
// called, so that is where the put begins.
func (r *runner) multipart(op *Op) {
	id, parts, ok := r.uploadParts(op)
	query := "uploadId=" + auth.EscapeQuery(id)
	if !ok || op.Kind == Abort {
		if id != "" {
			r.ask(op, ask{method: http.MethodDelete, key: op.Key, query: query})
		}
		r.end(r.begin(op, op.record()), check.Failed)
		return
	}
	i := r.begin(op, op.record())
	ans := r.ask(op, ask{method: http.MethodPost, key: op.Key, query: query}.text(parts))
	if ans.outcome == check.OK {
		var x struct{ ETag string }
		decode(ans.document, &x)
		ans.Header = http.Header{"Etag": {x.ETag}}
	}
	r.acknowledged(i, ans)
}

// uploadParts begins an upload, sends its parts and returns the document that completes it.
func (r *runner) uploadParts(op *Op) (id, document string, ok bool) {
	a := ask{method: http.MethodPost, key: op.Key, query: "uploads="}
	a.header = http.Header{idHeader: {strconv.FormatUint(op.ID, 10)}}
	ans := r.ask(op, a)
	var x struct{ UploadId string }
	if ans.outcome != check.OK || !decode(ans.document, &x) || x.UploadId == "" {
		return "", "", false
	}
	var doc strings.Builder
	doc.WriteString("<CompleteMultipartUpload>")
	v := op.value()
	for n := range op.Parts {
		off, end := v.part(n, op.Parts)
		query := fmt.Sprintf("partNumber=%d&uploadId=%s", n+1, auth.EscapeQuery(x.UploadId))
		part := r.ask(op, ask{method: http.MethodPut, key: op.Key, query: query, signed: "none"}.content(v,
			off, end))
		if part.outcome != check.OK {
			return x.UploadId, "", false
		}
		fmt.Fprintf(&doc, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>",
			n+1, escapeXML(part.Header.Get("Etag")))
	}
	doc.WriteString("</CompleteMultipartUpload>")
	return x.UploadId, doc.String(), true
}
