package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"granary/core/bucket"
	"granary/core/cluster"
	"granary/core/cors"
	"granary/core/layout"
	"granary/core/quorum"
	"granary/core/rpc"
	"granary/core/table"
)

// kinds maps the kinds of errors of the packages below; the first that matches counts.
var kinds = []struct {
	kind   error
	status int
	code   string
	hint   string
}{
	{bucket.ErrNoSuchBucket, http.StatusNotFound, "no_such_bucket", "see granary bucket list"},
	{bucket.ErrBucketExists, http.StatusConflict, "bucket_exists", "choose another name"},
	{bucket.ErrBucketOwned, http.StatusConflict, "bucket_exists", ""},
	{bucket.ErrBucketNotEmpty, http.StatusConflict, "bucket_not_empty",
		"delete its objects and uploads first"},
	{bucket.ErrInvalidName, http.StatusBadRequest, "invalid_bucket_name", ""},
	{bucket.ErrNoSuchKey, http.StatusNotFound, "no_such_key", "see granary key list"},
	{cluster.ErrNoCluster, http.StatusConflict, "no_cluster",
		"found one with granary init, or join one with granary join"},
	{cluster.ErrInCluster, http.StatusConflict, "in_cluster",
		"start it with granary server; for another cluster use an empty data folder"},
	{cluster.ErrFounder, http.StatusConflict, "founder", ""},
	{cluster.ErrLost, http.StatusConflict, "lost", ""},
	{cluster.ErrUnsettled, http.StatusConflict, "layout_unsettled",
		"wait until granary status says that it is settled"},
	{cluster.ErrRemoved, http.StatusConflict, "removed", "start it anew with an empty data folder"},
	{cluster.ErrBadMember, http.StatusBadRequest, "bad_member", ""},
	{cluster.ErrManyTokens, http.StatusTooManyRequests, "too_many_tokens", "wait until some expire"},
	{cors.ErrInvalid, http.StatusBadRequest, "invalid_cors_rules", ""},
	{table.ErrBadConsistency, http.StatusBadRequest, "bad_consistency", ""},
	{bucket.ErrInvalidKey, http.StatusBadRequest, "invalid_key", ""},
	{cluster.ErrNotMember, http.StatusNotFound, "no_such_node", "see granary status"},
	{cluster.ErrHasData, http.StatusConflict, "has_data",
		"granary layout remove gives it no part in the next layout; see granary status"},
	{cluster.ErrChanged, http.StatusConflict, "layout_changed",
		"somebody else staged or applied something: look at granary layout plan again"},
	{cluster.ErrNoVersion, http.StatusNotFound, "no_such_version", "see granary layout history"},
	{cluster.ErrUnsuitable, http.StatusBadRequest, "unsuitable_layout", ""},
	{layout.ErrParams, http.StatusBadRequest, "unsuitable_layout", ""},
	{cluster.ErrBadToken, http.StatusBadRequest, "bad_token",
		"copy the whole word that granary init or granary token printed"},
	{cluster.ErrTokenRefused, http.StatusForbidden, "token_refused",
		"ask a member for another one: granary token"},
	{rpc.ErrIdentity, http.StatusForbidden, "refused_by_peer",
		"a join token works once and for an hour: ask a member for another one with granary token"},
	{rpc.ErrUnreachable, http.StatusBadGateway, "peer_unreachable",
		"the other node must listen for peers at an address that this one can reach: see peers.advertise"},
	{cluster.ErrNotReady, http.StatusServiceUnavailable, "not_ready", "see granary status"},
	{cluster.ErrNoLayout, http.StatusServiceUnavailable, "not_ready", "see granary status"},
	{quorum.ErrUnknown, http.StatusServiceUnavailable, "outcome_unknown",
		"look whether it happened; repeating it is safe"},
	{quorum.ErrUnavailable, http.StatusServiceUnavailable, "unavailable",
		"see granary status for nodes that are down"},
	{context.DeadlineExceeded, http.StatusGatewayTimeout, "timeout",
		"see granary status for nodes that are down"},
	{context.Canceled, http.StatusServiceUnavailable, "stopping", ""},
}

// refusal turns any error into a refusal.
func refusal(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			return &Error{Status: k.status, Code: k.code, Message: err.Error(), Hint: k.hint}
		}
	}
	return &Error{Status: http.StatusInternalServerError, Code: "internal", Message: err.Error(),
		Hint: "the node's log may tell more"}
}

func badRequest(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Code: "bad_request", Message: fmt.Sprintf(format, args...)}
}

// errDev refuses what would make a cluster of a development store.
func errDev() *Error {
	return &Error{Status: http.StatusConflict, Code: "dev_store",
		Message: "this is a --dev store: one node with a single copy of everything, and a key meant for " +
			"trying things out;" +
			" it cannot become part of a cluster",
		Hint: "start a cluster in an empty data folder (granary init --data DIR --zone ZONE) and copy " +
			"the objects over"}
}
