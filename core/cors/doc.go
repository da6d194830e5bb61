// Package cors decides what pages of other origins may do in a bucket: cross-origin resource sharing, by
// rules that are those of S3.
//
// A browser asks before it lets a page make a request that could change something (Rules.Preflight), and
// looks at the header of every answer before it lets the page read it (Rules.Answer). The rules are for
// browsers alone: they give nobody a permission, and every request is signed as without them.
//
// Everything is a pure function of its arguments.
//
// Source: the Fetch standard, "CORS protocol"; S3's "Using cross-origin resource sharing".
package cors
