package fourround

import (
	"testing"

	"granary/experiments/baseline/basetest"
)

func TestLinearizable(t *testing.T) { basetest.Linearizable(t, Open, 20) }

func TestOneRun(t *testing.T) { basetest.OneRun(t, Open) }

func TestMutantsAreCaught(t *testing.T) {
	basetest.Caught(t, Open, "replica/own counter", 20)
	basetest.Caught(t, Open, "replica/read of one", 20)
}

func TestRounds(t *testing.T) {
	basetest.WantRounds(t, Open, 0, basetest.Rounds{Buckets: 1, List: 1, Get: 1, Put: 4, Remove: 2})
}
