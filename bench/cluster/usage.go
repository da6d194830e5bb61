package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what processes have used so far.
type Usage struct {
	CPU  time.Duration // user and system time, in steps of 10 ms
	Peak int64         // the largest resident size (VmHWM), in bytes
	RSS  int64         // the resident size now (VmRSS), in bytes
	Anon int64         // the part of it that is not of files (RssAnon): not the mapped pages of the database
}

// tick is the unit of times in /proc: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// usageOf reads what a process has used from /proc.
func usageOf(pid int) (Usage, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Usage{}, err
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return Usage{}, err
	}
	u := Usage{}
	if u.CPU, err = parseStat(stat); err != nil {
		return u, fmt.Errorf("%s/stat: %w", dir, err)
	}
	for name, to := range map[string]*int64{"VmHWM": &u.Peak, "VmRSS": &u.RSS, "RssAnon": &u.Anon} {
		if *to, err = parseStatus(status, name); err != nil {
			return u, fmt.Errorf("%s/status: %w", dir, err)
		}
	}
	return u, nil
}

// parseStat returns utime + stime. The name of the program, in parentheses, may hold anything.
func parseStat(stat []byte) (time.Duration, error) {
	const user, system = 11, 12 // behind the name
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= system {
		return 0, fmt.Errorf("%d fields, want more than %d", len(fields), system)
	}
	ticks := int64(0)
	for _, i := range []int{user, system} {
		n, err := strconv.ParseInt(string(fields[i]), 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}

// parseStatus returns a size in bytes.
func parseStatus(status []byte, name string) (int64, error) {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no %s", name)
}
