// Package wan works in real time and is free.
package wan

import "time"

func Sleep() { time.Sleep(1) }
