# Every target is listed by `make help`; the first two are all that one needs.
GO ?= go
BIN := bin/ramen
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := help
.PHONY: run test browser check build load bench-stores ledger faults cluster chaos simulate clients-test clients-mutants attack bench fuzz generate console-client format help clean

run: build ## build and start the whole product on its embedded store, without authentication, on loopback
	$(BIN) serve --dev

test: ## run every test, with the race detector; installs what the tests need
	./scripts/test.sh

check: ## format, vet, staticcheck, import arrows, generated code, go.mod
	./scripts/check.sh

build: ## build bin/ramen
	$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN) ./cmd/ramen

browser: ## run the page in a real browser behind real proxies, at length: ROUNDS=n (default 5), eight tabs
	BROWSER_ROUNDS=$(or $(ROUNDS),5) PACKAGES=./internal/proxied TESTFLAGS="-v -count=1 -run Fix11Page" ./scripts/test.sh

load: build ## measure the product on this machine against its budget, in under 10 minutes; JSON=file and HTML=file write reports
	$(BIN) load run loadtest/budget.yaml --table $(if $(JSON),--json $(JSON)) $(if $(HTML),--html $(HTML))

bench-stores: build ## measure every store on this machine beside the embedded one, in about 20 minutes on a quiet one; STORE=names, PART=push,load,takeover,node,return, DEVICES=n, JSON=file, HTML=file
	$(GO) run ./loadtest/stores --binary $(BIN) $(if $(STORE),--store $(STORE)) $(if $(PART),--part $(PART)) $(if $(DEVICES),--devices $(DEVICES)) $(if $(JSON),--json $(JSON)) $(if $(HTML),--html $(HTML))

ledger: $(if $(RACE),,build) ## kill -9 a server 100 times under load, and account for every message by its id, in under 11 minutes; RACE=1, SEED=n, STORE=url and CACHE=url of one that is elsewhere
	$(GO) run ./loadtest/ledger $(if $(RACE),--race,--binary $(BIN)) $(if $(SEED),--seed $(SEED)) $(if $(STORE),--store '$(STORE)') $(if $(CACHE),--cache '$(CACHE)')

faults: build ## pause, kill, cut off and fill up stores and servers, singly and in pairs, under load, and account for every message, and run the tests that take minutes; SEED=n, STORE=names, ONLY=names, PAIRS=n (-1: all), TABLE=file, BUSY=1 on a machine that runs other things, too
	$(if $(STORE)$(ONLY)$(PAIRS),,RAMEN_LONG=1 $(GO) test -count=1 -p 1 -timeout 40m ./store/cassandra ./gateway ./internal/testserver/cassandratest ./loadtest/ledger ./loadtest/faults)
	$(GO) run ./loadtest/faults --binary $(BIN) $(if $(SEED),--seed $(SEED)) $(if $(STORE),--store $(STORE)) $(if $(ONLY),--only $(ONLY)) $(if $(PAIRS),--pairs $(PAIRS)) $(if $(TABLE),--table $(TABLE)) $(if $(BUSY),--busy)

cluster: build ## start a whole cluster on this machine: 3 controllers, 3 gateways, 2 frontends and a real Redis, and say what to try; STORE=redis-cluster, cassandra, or the URL of a store
	$(GO) run ./deploy/local --binary $(BIN) $(if $(STORE),--store '$(STORE)')

chaos: build ## kill, pause, drain, restart, upgrade, add and cut off members of a whole cluster under load, wipe its etcd and kill its store's servers, singly and in pairs, and account for every message; SEED=n, FOR=20m, ONLY=names, STORE=redis-cluster, redis-cluster-flushed, cassandra or cassandra-1, UPGRADE_FROM=commit
	$(if $(ONLY)$(STORE),,RAMEN_LONG=1 $(GO) test -count=1 -p 1 -timeout 40m ./internal/cluster ./loadtest/chaos)
	$(GO) run ./loadtest/chaos --binary $(BIN) $(if $(SEED),--seed $(SEED)) $(if $(FOR),--for $(FOR)) $(if $(ONLY),--only $(ONLY)) $(if $(STORE),--store $(STORE)) $(if $(UPGRADE_FROM),--upgrade-from $(UPGRADE_FROM))

simulate: ## live whole lives of clusters in virtual time, with whatever may be done to them, and check what has to hold; SEED=n of the first, FOR=1m
	RAMEN_SIMULATE_FOR=$(or $(FOR),1m) $(if $(SEED),RAMEN_SEED=$(SEED)) $(GO) test -count=1 -timeout 0 -v -run '^TestSimulation$$' ./internal/simulation

clients-test: build ## test the clients, and show that they keep to clients/SPEC.md: CLIENTS="go web python java"
	CLIENTS="$(CLIENTS)" ./scripts/clients-test.sh

clients-mutants: ## show that the suite for clients fails where it should: break each rule in each client, and demand that a scenario finds it, in some 5 minutes a client; ONLY=names
	RAMEN_MUTANTS=$(or $(ONLY),all) $(GO) test -count=1 -v -timeout 30m -parallel 4 -run '^TestSuiteFindsMutants$$' ./clients/conformance/mutants

attack: build ## flood a server in every known way beside streams and publishes that must go on, in under 10 minutes; ONLY=names
	$(GO) run ./loadtest/attack --binary $(BIN) $(if $(ONLY),--only $(ONLY))

bench: ## run the micro-benchmarks of the hot paths
	$(GO) test -run '^$$' -bench . -benchmem ramen/protocol/... ./gateway/... ./frontend/... ./store/...

fuzz: ## fuzz every decoder and the mailbox, FUZZTIME each (default 30s)
	./scripts/fuzz.sh

generate: ## make the generated code anew
	$(GO) generate ./...
	$(GO) -C protocol generate ./...

console-client: ## build the client of clients/web anew into the console's device, which has it embedded; needs npm
	./scripts/console-client.sh

format: ## format the code
	gofmt -w .

clean: ## remove what was built; not ./data
	rm -rf bin

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
