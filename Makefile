# Targets named for intent; README.md says when to use which.
SHELL := /bin/bash
GO ?= go
BIN := bin
FAILPOINT := github.com/pingcap/failpoint
SEEDS ?= 1000
SHARD ?= 1/1
FUZZTIME ?= 20s

KILLS ?= $(or $(N),50)
# What builds failpoints in, with a build cache of its own.
TOOLEXEC = GOCACHE=$(CURDIR)/$(BIN)/failpoint-cache $(GO)
WITH_POINTS = -tags failpoints -toolexec $(CURDIR)/$(BIN)/failpoint-toolexec

.PHONY: run test check sim e2e bench figures latency latency-real failpoint-toolexec test-failpoints crash fuzz

run: ## a store on this machine, S3 on 127.0.0.1:3900
	$(GO) build -o $(BIN)/granary ./prod/cmd/granary
	$(BIN)/granary server --dev

test: ## all tests
	$(GO) test -timeout 20m ./...

check: ## formatting, vet, determinism, staticcheck, and the list of long functions
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo "run gofmt -w on these"; exit 1; }
	$(GO) vet ./...
	$(GO) build -o $(BIN)/detlint ./sim/cmd/detlint
	$(GO) vet -vettool=$(CURDIR)/$(BIN)/detlint ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	$(GO) run ./sim/cmd/detlint -funcs

sim: ## a campaign of simulated clusters under faults
	$(GO) run ./sim/cmd/sim -corpus sim/corpus -rare -out $(BIN)/failures -first 1 -seeds $(SEEDS) -shard $(SHARD)

e2e: ## real processes, driven by real clients, with one being killed
	$(GO) build -o $(BIN)/granary ./prod/cmd/granary
	$(GO) run ./bench/e2e -granary $(BIN)/granary

bench: ## throughput, CPU per operation and memory of real processes, and of the simulator
	$(GO) build -o $(BIN)/granary ./prod/cmd/granary
	$(GO) run ./bench/load -granary $(BIN)/granary
	$(GO) run ./bench/k2v -granary $(BIN)/granary

latency-real: ## what requests take of real processes in three sites 100 ms apart; needs root
	$(GO) build -o $(BIN)/granary ./prod/cmd/granary
	$(GO) build -o $(BIN)/wan ./netsim/cmd/wan
	$(GO) build -o $(BIN)/latency-real ./experiments/latency/real
	$(GO) build -o $(BIN)/plots ./plots/cmd/plots
	@status=0; $$(chrt -r 5 true 2>/dev/null && echo chrt -r 5) $(BIN)/latency-real \
		-granary $(BIN)/granary -wan $(BIN)/wan || status=$$?; $(BIN)/plots experiments/latency && exit $$status

figures: ## run the experiments and draw their figures
	$(GO) run ./experiments/quorum
	$(GO) run ./experiments/placement
	$(GO) run ./experiments/availability
	$(GO) run ./experiments/latency
	$(GO) run ./experiments/consistency
	$(GO) run ./experiments/k2v-conflict
	$(GO) run ./experiments/rebalance
	$(GO) run ./plots/cmd/plots experiments

latency: ## how long S3 requests take on three far sites, in the simulator
	$(GO) run ./experiments/latency
	$(GO) run ./plots/cmd/plots experiments/latency

failpoint-toolexec:
	$(GO) mod download $(FAILPOINT)
	$(GO) build -C "$$($(GO) list -m -f '{{.Dir}}' $(FAILPOINT))" -o $(CURDIR)/$(BIN)/failpoint-toolexec ./failpoint-toolexec

test-failpoints: failpoint-toolexec ## crashes between the durable steps of the real stores
	$(TOOLEXEC) test $(WITH_POINTS) ./prod/bolt ./prod/diskfs ./prod/tcp ./prod/daemon

crash: failpoint-toolexec ## kill real processes N times at random and at named points, stop one, fill a disk
	$(TOOLEXEC) build $(WITH_POINTS) -o $(BIN)/granary-failpoints ./prod/cmd/granary
	$(GO) run ./bench/cmd/crash -granary $(BIN)/granary-failpoints -kills $(KILLS)

fuzz: ## every fuzz target for FUZZTIME
	@set -e; for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg 2>/dev/null | grep '^Fuzz' || true); do \
			echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; done; done
