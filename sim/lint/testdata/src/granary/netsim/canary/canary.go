// Package canary shows that netsim is watched as core is.
package canary

import "time"

var Clock = time.Now // want `time.Now`
