// Package canary shows that sim and netsim are watched as core is.
package canary

import "time"

var Clock = time.Now // want `time.Now`
