package bolt

import (
	"fmt"

	"github.com/pingcap/failpoint"
)

// point is the failpoint of that name: commit-before, nothing is written; commit-after, it is durable,
// neither visible nor answered; published, it is visible. Its value is the text of the error it injects. The
// failpoint "step" calls a function with every point's name.
func point(name string) error {
	failpoint.InjectCall("step", name)
	failpoint.Inject(name, func(v failpoint.Value) {
		failpoint.Return(fmt.Errorf("failpoint: %v", v))
	})
	return nil
}
