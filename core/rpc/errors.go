package rpc

import (
	"context"
	"errors"

	"granary/core/rt"
)

// Kinds of failed calls, for errors.Is.
var (
	// ErrUnsent: the peer certainly did nothing. True also of the kinds below that say so.
	ErrUnsent = errors.New("not sent")
	// ErrUnknown: the request went out and no answer came back; the peer may have acted.
	ErrUnknown = errors.New("outcome unknown")
	// ErrRemote: the peer's handler answered with an error.
	ErrRemote = errors.New("answered with an error")
	// ErrOverloaded: the peer has too much in hand. Also ErrUnsent.
	ErrOverloaded = errors.New("peer overloaded")
	// ErrUnknownMethod: the peer has no such method, being older or newer. Also ErrUnsent.
	ErrUnknownMethod = errors.New("unknown method")
	// ErrRefused: the peer does not let this node call the method. Also ErrUnsent.
	ErrRefused = errors.New("call refused")
	// ErrUnknownPeer: no route to the peer is known. Also ErrUnsent.
	ErrUnknownPeer = errors.New("unknown peer")
)

// Causes of failed calls, for errors.Is.
var (
	// ErrTooLarge: a message is longer than MessageMax.
	ErrTooLarge = RegisterError("rpc.too_large", errors.New("message too large"))
	// ErrInternal: the handler panicked.
	ErrInternal = RegisterError("rpc.internal", errors.New("internal error"))
	// ErrMalformed: a message could not be decoded.
	ErrMalformed = RegisterError("rpc.malformed", errors.New("malformed message"))
	// ErrSilent: nothing was heard from the peer for too long, and the connection was given up.
	ErrSilent = errors.New("peer silent")
	// ErrConnLost: the connection ended.
	ErrConnLost = errors.New("connection lost")
	// ErrVersion: the two sides share no protocol version.
	ErrVersion = errors.New("no common protocol version")
	// ErrBackoff: dialling failed a moment ago, and it is too early for another attempt.
	ErrBackoff = errors.New("waiting before the next attempt to connect")
	// ErrBodyEnded: a body was used after its handler returned, after Close, or after the other side gave
	// it up.
	ErrBodyEnded = errors.New("body ended early")

	// ErrUnanswered, returned by a handler, ends a call without an answer: one of a CallWide of which
	// another one answers for all.
	ErrUnanswered = errors.New("answered by another call")

	_ = RegisterError("rpc.deadline", context.DeadlineExceeded)
	_ = RegisterError(codeCanceled, context.Canceled)
)

// codeCanceled is what the reset of a caller that gives up carries.
const codeCanceled = "rpc.canceled"

// Error is what every failed call returns.
type Error struct {
	Method string
	Peer   rt.NodeID
	Kind   error  // one of the kinds above
	Code   string // with ErrRemote: the registered code, empty if the error has none
	Cause  error  // may be nil
}

func (e *Error) Error() string {
	text := "call " + e.Method + " of " + e.Peer.Short() + ": " + e.Kind.Error()
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Is reports whether target is the error's kind, or ErrUnsent if the kind implies it.
func (e *Error) Is(target error) bool {
	return target == e.Kind || target == ErrUnsent && e.Kind != ErrUnknown && e.Kind != ErrRemote
}

// Unwrap returns the cause. For ErrRemote with a registered code, errors.Is finds the registered error in it.
func (e *Error) Unwrap() error { return e.Cause }

// remoteError is the cause of an ErrRemote: the text of the other side, and the registered error behind it.
type remoteError struct {
	text string
	base error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.base }

// registered maps codes to errors and back. It is filled while packages are initialised and constant
// afterwards.
var registered struct {
	byCode map[string]error
	codes  []string // in order of registration
}

// RegisterError gives err a code, under which it crosses the wire: when a handler returns an error that is
// err, by errors.Is, then so is the error that the caller gets. It returns err. If an error is several
// registered ones, the one registered first travels.
//
// Concurrency: only from package variables and init functions. Panics when the code is taken or too long.
func RegisterError(code string, err error) error {
	if registered.byCode == nil {
		registered.byCode = map[string]error{}
	}
	if code == "" || len(code) > codeMax || registered.byCode[code] != nil {
		rt.Break("error code %q is empty, too long or taken", code)
	}
	registered.byCode[code] = err
	registered.codes = append(registered.codes, code)
	return err
}

// toFault makes an error ready to travel.
func toFault(err error) fault {
	f := fault{text: err.Error()}
	for _, code := range registered.codes {
		if errors.Is(err, registered.byCode[code]) {
			f.code = code
			return f
		}
	}
	if call := (*Error)(nil); errors.As(err, &call) {
		f.code = call.Code // registered elsewhere, passed on
	}
	return f
}

// error is the error that a fault stands for.
func (f fault) error() error { return &remoteError{text: f.text, base: registered.byCode[f.code]} }

// kind is the kind of error that the status of an answer stands for.
func (s status) kind() error {
	switch s {
	case statusOverloaded:
		return ErrOverloaded
	case statusUnknownMethod:
		return ErrUnknownMethod
	case statusRefused:
		return ErrRefused
	}
	return ErrRemote
}
