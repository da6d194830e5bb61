package canary

import "time"

// Test files are free.
func sleep() { time.Sleep(1) }
