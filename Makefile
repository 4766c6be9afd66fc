# The few words a newcomer types. Each target calls what it needs.
CARGO_FLAGS := --release --locked
TARGET_DIR  := $(or $(CARGO_TARGET_DIR),target)
SHELL_FILES := .ci/run tools/* packaging/install packaging/debian/build packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm tests/vm/run tests/vm/ring tests/vm/record tests/vm/rivals tests/vm/soak tests/vm/selftest tests/vm/lib/*.sh tests/vm/boot/*

# Where `make install` puts things; each can be given: make install PREFIX=/usr/local DESTDIR=/tmp/stage
PREFIX      ?= /usr
bindir      := $(PREFIX)/bin
unitdir     := $(PREFIX)/lib/systemd/system
sysusersdir := $(PREFIX)/lib/sysusers.d
mandir      := $(PREFIX)/share/man
docdir      := $(PREFIX)/share/doc/scx-gamer-run
bashdir     := $(PREFIX)/share/bash-completion/completions
fishdir     := $(PREFIX)/share/fish/vendor_completions.d
zshdir      := $(PREFIX)/share/zsh/$(if $(wildcard /etc/debian_version),vendor-completions,site-functions)
BUILT       ?= $(TARGET_DIR)/release
MANUALS     ?= $(BUILT)/manuals
PLACE       := $(foreach name,PREFIX DESTDIR bindir unitdir sysusersdir mandir docdir bashdir fishdir zshdir BUILT MANUALS,\
  $(name)='$($(name))') packaging/install

.DEFAULT_GOAL := help
.PHONY: help deps build programs install uninstall deb test record rivals soak demo bench vm fmt lint clean

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

deps: ## Install what building and testing need (says first what)
	@tools/deps

build: deps ## Build both programs into target/release, and their manuals
	@$(MAKE) --no-print-directory programs

# As build, for packagers, who have seen to what it needs.
programs:
	cargo build $(CARGO_FLAGS)
	cargo run --quiet $(CARGO_FLAGS) --example describe_commands -- $(MANUALS)

install: ## Install what was built and start its service, as root (PREFIX, DESTDIR)
	@$(PLACE)

uninstall: ## Stop the service and remove all that install has made, as root
	@$(PLACE) remove

deb: build ## Make a Debian package of it, in target/debian
	@packaging/debian/build $(TARGET_DIR)/debian

# Not after a build: tests need crates that programs do not, with which most of the others are built once more.
test: deps ## Run every test: on this machine, then in virtual machines
	@tools/deps test
	cargo test $(CARGO_FLAGS)
	tests/vm/selftest
	tests/vm/ring

record: build ## Record what a switch costs now (tests/vm/cost.toml), when that was meant to change
	tests/vm/record

rivals: build ## Test with a real scx_bpfland that it is stopped and comes back
	@tools/deps test
	tests/vm/rivals

soak: build ## Run a game, a load and CPUs that come and go for 10 minutes (SOAK_S=600)
	tests/vm/soak $(SOAK_S)

demo: build ## Show a game under load, without and with us, in a virtual machine
	cargo build $(CARGO_FLAGS) --examples
	VM_TCG_THREAD=multi tests/vm/run --timeout 600 -- $(TARGET_DIR)/release/examples/demo

# Each variable narrows it: make bench QUICK=1, make bench SUITE=inside, make bench SCHEDULERS=eevdf,ours LOADS=none,mixed FPS=0 REPEATS=1 RIG=frames
# BASELINE=DIRECTORY compares with an older build; RESUME=FILE continues a run that was cut short.
bench: build ## Compare with the kernel's scheduler and five peers, in virtual machines (hours; QUICK=1: 10 minutes)
	cargo build $(CARGO_FLAGS) --examples
	$(TARGET_DIR)/release/examples/bench $(if $(QUICK),--quick) $(foreach flag,SUITE SCHEDULERS GAMES LOADS FPS FRAMES REPEATS RIG BASELINE RESUME OUT,\
	  $(if $($(flag)),--$(shell echo $(flag) | tr A-Z a-z) '$($(flag))'))

vm: deps ## Open a shell in a virtual machine with a sched_ext kernel
	@tests/vm/run --shell

fmt: ## Format the Rust code
	cargo fmt

lint: ## Check format, clippy and, where installed, shellcheck
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	if command -v shellcheck; then shellcheck -x -P SCRIPTDIR $(SHELL_FILES); fi

clean: ## Remove what was built; fetched kernels stay in the cache
	cargo clean
