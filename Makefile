# The two commands a newcomer needs: make demo, make test.
BIN := bin
export CGO_ENABLED = 0

.PHONY: demo demo-check test build build-pkcs11 lint fuzz bench prepare clean

demo: build ## the whole house on loopback, until Ctrl-C
	@$(BIN)/demo

demo-check: build ## the whole journey without a person
	@$(BIN)/demo -check

test: build ## everything, with real sshd, ssh and IdP
	@dev/test.sh

build: prepare
	@dev/build.sh $(BIN)

build-pkcs11: ## sekisho and sekishod that take keys on PKCS#11 tokens, too; needs a C compiler
	CGO_ENABLED=1 go build -trimpath -tags pkcs11 -o $(BIN)/ ./cmd/sekisho ./cmd/sekishod

prepare: ## what Debian packages are missing
	@dev/prepare.sh

lint: prepare
	@dev/lint.sh

fuzz: ## every fuzz target, FUZZTIME each (default 20s)
	@dev/fuzz.sh

bench: build ## the figures of docs/performance.md
	@bench/run.sh

clean:
	rm -rf $(BIN)
