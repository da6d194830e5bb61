package admin

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"granary/core/block"
)

func TestLostBlocks(t *testing.T) {
	w := newWorld()
	h, other := block.HashOf([]byte("a")), block.HashOf([]byte("b"))
	w.blocks.lost = []block.LostBlock{
		{Hash: h, Refs: []block.Ref{{Bucket: bucketID("photos"), Key: "a.jpg"},
			{Bucket: [16]byte{9}, Key: "of a bucket that is gone", Part: 3}}},
		{Hash: other, GivenUp: true}}
	var got LostBlocks
	w.must(t, "GET", "/v1/blocks/lost", "", &got)
	if len(got.Blocks) != 2 || got.Blocks[0].Block != h.String() || got.Blocks[0].GivenUp ||
		got.Blocks[0].Objects[0] != (LostObject{Bucket: "photos", Key: "a.jpg"}) ||
		got.Blocks[0].Objects[1].Part != 3 || !got.Blocks[1].GivenUp || got.Next != "" {
		t.Errorf("%+v", got)
	}
	w.must(t, "GET", "/v1/blocks/lost?after="+h.String(), "", &got)
	if w.blocks.after != h {
		t.Errorf("asked behind %v", w.blocks.after)
	}
	var status Status
	w.must(t, "GET", "/v1/status", "", &status)
	if !strings.Contains(strings.Join(status.Warnings, "\n"), "1 blocks that objects need") {
		t.Errorf("warnings %q", status.Warnings)
	}
	for _, bad := range []string{`{"blocks":["` + h.String() + `"]}`, `{"blocks":[],"yes":true}`,
		`{"blocks":["` + h.String() + `00"],"yes":true}`, `{"blocks":["x"],"yes":true}`} {
		code, text := w.do(t, "POST", "/v1/blocks/give-up", bad, nil)
		if code != 400 || w.blocks.gone != nil {
			t.Errorf("%s: %d %s", bad, code, text)
		}
	}
	both := `{"blocks":["` + h.String() + `","` + other.String() + `"],"yes":true}`
	w.blocks.why = []error{nil, errors.New("beta has it")}
	var done GivenUp
	w.must(t, "POST", "/v1/blocks/give-up", both, &done)
	if len(done.GivenUp) != 1 || done.GivenUp[0] != h.String() || len(done.Refused) != 1 ||
		done.Refused[0] != (RefusedBlock{other.String(), "beta has it"}) || !w.env.logged(h.String()) {
		t.Errorf("%+v, log %q", done, w.env.lines)
	}
	w.blocks.err = errors.New("beta has not said what it holds")
	var refused Error
	code, _ := w.do(t, "POST", "/v1/blocks/give-up", both, &refused)
	if code != http.StatusServiceUnavailable || refused.Code != "not_given_up" ||
		!strings.Contains(refused.Message, "beta") {
		t.Errorf("%d %+v", code, refused)
	}
}
