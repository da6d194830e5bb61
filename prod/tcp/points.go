package tcp

import (
	"errors"

	"github.com/pingcap/failpoint"
)

// point is the failpoint of that name; its value is the text of the error it injects. The failpoint "step"
// calls a function with every point's name. It stands in a file of its own, which must come after doc.go:
// failpoint-toolexec would empty a file without declarations that follows one with failpoints.
func point(name string) error {
	failpoint.InjectCall("step", name)
	failpoint.Inject(name, func(v failpoint.Value) {
		text, _ := v.(string)
		failpoint.Return(errors.New("failpoint: " + text))
	})
	return nil
}
