// Package crdt has the lattice types that rows and shared settings are built of: values that replicas
// change apart and join in any order, any number of times, with the same result.
//
// The laws, which package crdttest checks for any type:
//
//  1. Join is commutative, associative and idempotent.
//  2. Join is the least upper bound: a ⊑ a.Join(b), where a ⊑ b means that a.Join(b) is b.
//  3. Equal values have equal encodings (core/codec): replicas that converged hold the same bytes, and
//     digests can be compared instead of values.
//  4. The zero value is the bottom: joining it changes nothing.
//  5. Join changes neither operand. Its result may share memory with both, so values are never changed in
//     place.
//
// A product of lattices, joined field by field, is a lattice; so a row type is a struct of these whose Join
// joins the fields.
package crdt
