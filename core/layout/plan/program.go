package plan

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/optimize/convex/lp"
)

// RowsMax is the most rows of a linear program: about a tenth of a second. A call cannot be stopped, so the
// size is checked before it.
const RowsMax = 120

// ErrTooLarge means that a linear program would have more than RowsMax rows.
var ErrTooLarge = errors.New("too large for a linear program")

const (
	// simplexTolerance is the reduced cost that counts as none; the programs are scaled to about one.
	simplexTolerance = 1e-11
	// rowTolerance is how far a solution may be off in a row, as a share of the row's greatest term.
	rowTolerance = 1e-8
)

// program is a linear program in the making: the least cost·x, with x ≥ 0, under its rows.
type program struct {
	cost []float64
	rows []row
}

// row says that the sum of its terms is at most, or exactly, right.
type row struct {
	terms []term
	equal bool
	right float64
}

type term struct {
	column int
	factor float64
}

// column adds a variable.
func (p *program) column(cost float64) int {
	p.cost = append(p.cost, cost)
	return len(p.cost) - 1
}

func (p *program) atMost(right float64, terms ...term) {
	p.rows = append(p.rows, row{terms: terms, right: right})
}

func (p *program) exactly(right float64, terms ...term) {
	p.rows = append(p.rows, row{terms: terms, equal: true, right: right})
}

// slacks is how many columns the standard form adds.
func (p *program) slacks() int {
	n := 0
	for _, r := range p.rows {
		if !r.equal {
			n++
		}
	}
	return n
}

// solve returns the least cost and a solution that has it, checked against the rows.
//
// Errors: ErrTooLarge, before anything is done; those of lp.Simplex; a solution that breaks a row.
func (p *program) solve() (float64, []float64, error) {
	if len(p.rows) > RowsMax {
		return 0, nil, fmt.Errorf("plan: %d rows, at most %d: %w", len(p.rows), RowsMax, ErrTooLarge)
	}
	return p.simplex()
}

// simplex is solve for programs of any size.
func (p *program) simplex() (float64, []float64, error) {
	columns := len(p.cost) + p.slacks()
	a := mat.NewDense(len(p.rows), columns, nil)
	right := make([]float64, len(p.rows))
	cost := make([]float64, columns)
	copy(cost, p.cost)
	var basis []int // the slacks, if all may be the start
	slack := len(p.cost)
	for i, r := range p.rows {
		sign := 1.0
		if r.right < 0 { // the method wants no negative right sides
			sign = -1
		}
		for _, t := range r.terms {
			a.Set(i, t.column, a.At(i, t.column)+sign*t.factor)
		}
		right[i] = sign * r.right
		if r.equal {
			continue
		}
		a.Set(i, slack, sign)
		if sign > 0 {
			basis = append(basis, slack)
		}
		slack++
	}
	if len(basis) < len(p.rows) {
		basis = nil
	}
	value, x, err := call(cost, a, right, basis)
	if err != nil {
		return 0, nil, fmt.Errorf("plan: linear program of %d rows and %d columns: %w", len(p.rows), columns,
			err)
	}
	x = x[:len(p.cost)]
	return value, x, p.verify(x)
}

// call turns what the method panics with, which is a fault of its input or of its arithmetic, into an error:
// a report without this check is better than none.
func call(cost []float64, a mat.Matrix, right []float64, basis []int) (
	value float64, x []float64, err error,
) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("simplex: %v", fault)
		}
	}()
	return lp.Simplex(cost, a, right, simplexTolerance, basis)
}

func (p *program) verify(x []float64) error {
	for i, r := range p.rows {
		sum, scale := 0.0, math.Max(1, math.Abs(r.right))
		for _, t := range r.terms {
			sum += t.factor * x[t.column]
			scale = math.Max(scale, math.Abs(t.factor*x[t.column]))
		}
		if over := sum - r.right; over > rowTolerance*scale || r.equal && -over > rowTolerance*scale {
			return fmt.Errorf("plan: linear program: row %d is off by %g", i, over)
		}
	}
	return nil
}
