package telemetry

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"granary/core/rt"
)

// seriesMax bounds the series of one metric; what would make more is dropped.
const seriesMax = 1000

// metricsMax bounds the metrics.
const metricsMax = 1000

// prefix begins the name of every metric.
const prefix = "granary_"

// Meter implements rt.Meter over a registry of its own. A metric comes into being when it is first used,
// with the kind and the label names of that use. Safe for concurrent use; a use of a series that exists
// allocates nothing.
type Meter struct {
	registry *prometheus.Registry
	log      rt.Logger

	mu      sync.RWMutex
	metrics map[string]*metric
	told    map[string]bool // faults that were logged
}

var _ rt.Meter = (*Meter)(nil)

type metricKind string

const (
	counter   metricKind = "counter"
	gauge     metricKind = "gauge"
	histogram metricKind = "histogram"
)

// metric is one name.
type metric struct {
	kind   metricKind
	labels []string
	vec    interface {
		prometheus.Collector
	}

	mu     sync.RWMutex
	series map[string]any // by label values; a prometheus.Counter, Gauge or Observer
}

// NewMeter returns a meter with the metrics of the process and the Go runtime; faults go to log.
func NewMeter(log rt.Logger) *Meter {
	m := &Meter{registry: prometheus.NewRegistry(), log: log, metrics: map[string]*metric{},
		told: map[string]bool{}}
	m.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics in the formats of Prometheus.
func (m *Meter) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// Func adds a gauge whose value is asked for whenever the metrics are read. Adding a name twice is a fault,
// logged.
func (m *Meter) Func(name, help string, f func() float64) {
	g := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: help}, f)
	if err := m.registry.Register(g); err != nil {
		m.fault(name, err.Error())
	}
}

// Count implements rt.Meter. A negative delta is a fault.
func (m *Meter) Count(name string, delta float64, labels ...string) {
	if !(delta >= 0) {
		m.fault(name, fmt.Sprintf("a counter was given %v", delta))
		return
	}
	if s, ok := m.use(name, counter, labels).(prometheus.Counter); ok {
		s.Add(delta)
	}
}

// Gauge implements rt.Meter.
func (m *Meter) Gauge(name string, value float64, labels ...string) {
	if s, ok := m.use(name, gauge, labels).(prometheus.Gauge); ok {
		s.Set(value)
	}
}

// Observe implements rt.Meter.
func (m *Meter) Observe(name string, value float64, labels ...string) {
	if s, ok := m.use(name, histogram, labels).(prometheus.Observer); ok {
		s.Observe(value)
	}
}

// use returns the series, or nil after a fault.
func (m *Meter) use(name string, kind metricKind, labels []string) any {
	m.mu.RLock()
	x := m.metrics[name]
	m.mu.RUnlock()
	if x == nil {
		if x = m.create(name, kind, labels); x == nil {
			return nil
		}
	}
	if x.kind != kind || !x.names(labels) {
		m.fault(name, fmt.Sprintf("is a %s with labels %q and was used as a %s with %q", x.kind, x.labels,
			kind,
			everySecond(labels, 0)))
		return nil
	}
	var buf [128]byte
	key := buf[:0]
	for i := 1; i < len(labels); i += 2 {
		key = append(append(key, labels[i]...), 0xff)
	}
	x.mu.RLock()
	s := x.series[string(key)]
	x.mu.RUnlock()
	if s != nil {
		return s
	}
	s, err := x.add(string(key), everySecond(labels, 1))
	if err != nil {
		m.fault(name, err.Error())
		return nil
	}
	return s
}

// names reports whether labels have the names of the metric, in order.
func (x *metric) names(labels []string) bool {
	if len(labels) != 2*len(x.labels) {
		return false
	}
	for i, name := range x.labels {
		if labels[2*i] != name {
			return false
		}
	}
	return true
}

// add makes a series.
func (x *metric) add(key string, values []string) (s any, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.series[key]; s != nil {
		return s, nil
	}
	if len(x.series) >= seriesMax {
		return nil, fmt.Errorf("has %d series already, more are dropped", seriesMax)
	}
	for i, v := range values {
		values[i] = strings.ToValidUTF8(v, "\uFFFD")
	}
	switch vec := x.vec.(type) {
	case *prometheus.CounterVec:
		s, err = vec.GetMetricWithLabelValues(values...)
	case *prometheus.GaugeVec:
		s, err = vec.GetMetricWithLabelValues(values...)
	case *prometheus.HistogramVec:
		s, err = vec.GetMetricWithLabelValues(values...)
	}
	if err != nil {
		return nil, err
	}
	x.series[key] = s
	return s, nil
}

// create makes a metric, or returns nil after a fault.
func (m *Meter) create(name string, kind metricKind, labels []string) *metric {
	if len(labels)%2 != 0 {
		m.fault(name, "a label has no value")
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if x := m.metrics[name]; x != nil {
		return x
	}
	if len(m.metrics) >= metricsMax {
		m.faultLocked(name, fmt.Sprintf("there are %d metrics already", metricsMax))
		return nil
	}
	x := &metric{kind: kind, labels: everySecond(labels, 0), series: map[string]any{}}
	full, help := prefix+name, strings.ReplaceAll(name, "_", " ")
	switch kind {
	case counter:
		x.vec = prometheus.NewCounterVec(prometheus.CounterOpts{Name: full, Help: help}, x.labels)
	case gauge:
		x.vec = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: full, Help: help}, x.labels)
	case histogram:
		x.vec = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: full, Help: help,
			Buckets: buckets(name)},
			x.labels)
	}
	if err := m.registry.Register(x.vec); err != nil {
		m.faultLocked(name, err.Error())
		return nil
	}
	m.metrics[name] = x
	return x
}

// buckets returns the bounds of a histogram, by the unit in which its name ends.
func buckets(name string) []float64 {
	switch {
	case strings.HasSuffix(name, "_seconds"):
		return []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	case strings.HasSuffix(name, "_bytes"):
		return prometheus.ExponentialBuckets(1<<10, 4, 11) // 1 KiB to 1 GiB
	}
	return prometheus.ExponentialBuckets(1, 2, 13)
}

func everySecond(list []string, from int) []string {
	out := make([]string, 0, len(list)/2)
	for i := from; i < len(list); i += 2 {
		out = append(out, list[i])
	}
	return slices.Clip(out)
}

// fault logs, once per name and text, that a metric was used wrongly.
func (m *Meter) fault(name, what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faultLocked(name, what)
}

func (m *Meter) faultLocked(name, what string) {
	if m.told[name] || len(m.told) >= metricsMax {
		return
	}
	m.told[name] = true
	if m.log != nil {
		m.log.Error("a metric was used wrongly", "metric", name, "fault", what)
	}
}
