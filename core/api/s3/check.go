package s3

import (
	"slices"
	"strings"
)

// checkTables holds every header and parameter against the tables.
func (c *call) checkTables() error {
	if err := c.checkHeaders(); err != nil {
		return err
	}
	return c.checkParams()
}

// checkHeaders checks the headers. Of several that are refused the least name is told.
func (c *call) checkHeaders() error {
	total, worst := 0, ""
	for name, values := range c.fields { //det:ok a sum, and the least name in any order
		total += len(name)
		for _, v := range values {
			total += len(v)
		}
		if (worst == "" || name < worst) && c.refusesHeader(name, values) {
			worst = name
		}
	}
	if total > headMax {
		return refuse("RequestHeaderSectionTooLarge", "").with("MaxSizeAllowed", itoa(headMax))
	}
	if worst == "" {
		return nil
	}
	rule := headerIndex.find(worst, c.opID)
	return c.refuseBy(rule, "header", "Header", strings.ToLower(worst), c.fields[worst])
}

// refusesHeader reports whether the table refuses a header.
func (c *call) refusesHeader(name string, values []string) bool {
	rule := headerIndex.find(name, c.opID)
	if rule == nil {
		return isAmz(name) && !c.h.env.Mutant("unknown headers are ignored")
	}
	return rule.refuses(values)
}

// checkParams checks the parameters in order.
func (c *call) checkParams() error {
	for i, p := range c.params {
		rule := paramIndex.find(p.name, c.opID)
		switch {
		case rule == nil && !c.op.writes:
			continue // unknown, or of another operation: S3 ignores it when reading
		case rule == nil:
			return invalidArgument(printable(p.name), printable(p.value),
				"The parameter is not one of "+c.op.name+", and could change what is stored.")
		case rule.refuses([]string{p.value}):
			return c.refuseBy(rule, "parameter", "ArgumentName", p.name, []string{p.value})
		case rule.verdict == used && slices.ContainsFunc(c.params[i+1:],
			func(q param) bool { return q.name == p.name }):
			return invalidArgument(p.name, printable(p.value), "Send the parameter once.")
		}
	}
	return nil
}

// refuses reports whether the rule refuses these values.
func (r *rule) refuses(values []string) bool {
	switch r.verdict {
	case refused:
		return true
	case fixed:
		for _, v := range values {
			if !slices.Contains(r.values, strings.TrimSpace(v)) {
				return true
			}
		}
	}
	return false
}

// refuseBy says why a header or parameter is refused. A nil rule is that of unknown names.
func (c *call) refuseBy(r *rule, what, element, name string, values []string) error {
	name = printable(name)
	if r == nil {
		return refuse("NotImplemented", "The "+what+" "+name+" is not known for "+c.op.name+
			", and could change what is stored.").with(element, name)
	}
	code := r.code
	if code == "" {
		code = "NotImplemented"
	}
	var message string
	if r.verdict == fixed {
		value := ""
		if len(values) > 0 {
			value = printable(values[0])
		}
		message = "The " + what + " " + name + " has the value '" + value + "'; supported is " +
			strings.Join(r.values, ", ") + "."
	} else {
		message = "The " + what + " " + name + " is not supported for " + c.op.name + "."
	}
	if r.note != "" {
		message += " Reason: " + r.note + "."
	}
	return refuse(code, message).with(element, name)
}

// isAmz reports whether a canonical header name belongs to AWS.
func isAmz(name string) bool { return strings.HasPrefix(name, "X-Amz-") }

// printable returns what of a client's text may stand in a message: visible characters, not too many.
func printable(s string) string {
	const most = 128
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, s)
}
