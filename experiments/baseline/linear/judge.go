package linear

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// Kind is what a request does.
type Kind uint8

// The kinds of requests.
const (
	Get Kind = iota
	Put
	Remove
)

// Op is a request in a history.
type Op struct {
	Client     int
	Kind       Kind
	Key        string
	Value      uint64        // written or read; 0: absent. Writes of a history have values of their own
	Start, End time.Duration // End 0: a write without an answer
}

// Judge returns the keys, in order of appearance, whose requests are not linearizable.
func Judge(history []Op) []string {
	var keys, bad []string
	of := map[string][]porcupine.Operation{}
	for _, op := range history {
		if of[op.Key] == nil {
			keys = append(keys, op.Key)
		}
		end := int64(op.End)
		if op.End == 0 {
			end = math.MaxInt64
		}
		of[op.Key] = append(of[op.Key], porcupine.Operation{ClientId: op.Client, Input: op, Output: op.Value,
			Call: int64(op.Start), Return: end})
	}
	for _, key := range keys {
		if !porcupine.CheckOperations(register, of[key]) {
			bad = append(bad, key)
		}
	}
	return bad
}

// register is the sequential model of a key: its state is the value.
var register = porcupine.Model{
	Init: func() any { return uint64(0) },
	Step: func(state, input, _ any) (bool, any) {
		switch op := input.(Op); op.Kind {
		case Put:
			return true, op.Value
		case Remove:
			return true, uint64(0)
		default:
			return op.Value == state.(uint64), state
		}
	},
	DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%+v", input) },
}
