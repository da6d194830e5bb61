// Package free is in prod, where everything is allowed.
package free

import "time"

var Clock = time.Now
