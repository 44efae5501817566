# Entry points for users. Each target first installs what is missing (scripts/setup.sh).
#
#   make train            the quick recipe on two MPI ranks; CONFIG, RANKS, NAME and ARGS change it:
#                         make train CONFIG=configs/regnetx.toml ARGS="--set train.max_steps=20"
#   make test             all tests
#   make torture          the long tests: hours of killed ranks, flipped bits and signals
#   make fuzz             a minute of damaged files for each reader of files
#   make lint             formatting, clippy, licences, shell scripts
#   make bench            side by side with PyTorch DDP
#   make bench-loader     images read and transformed, side by side with torchvision and DALI
#   make build            target/release/trainer and launcher
#   make install PREFIX=$HOME/.local
#   make dist             an archive for machines without Rust, in dist/
#   make gpu-bundle       the archive with the GPU acceptance run, Open MPI and Fashion-MNIST: below 64 MiB
#   make clean            removes what cargo built; keeps .venv, datasets and runs

CONFIG ?= configs/regnetx32_fashion_mnist_quick.toml
RANKS  ?= 2
NAME   ?=
ARGS   ?=
PREFIX ?= /usr/local

TARGET := $(or $(CARGO_TARGET_DIR),target)
TRAINER := $(TARGET)/release/trainer

# rustup's folder, for shells that were open before Rust was installed, and the nasm that set-up brings without root.
export PATH := $(PATH):$(HOME)/.cargo/bin:$(CURDIR)/.setup/nasm

# Allows Open MPI to run as root and with more ranks than cores (the last setting is for Open MPI 5).
# The latter has no effect if there are enough cores.
ifeq ($(shell id -u),0)
export OMPI_ALLOW_RUN_AS_ROOT := 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM := 1
endif
export OMPI_MCA_rmaps_base_oversubscribe := 1
export PRTE_MCA_rmaps_default_mapping_policy := :oversubscribe

# Everything is built in the release profile, and with the same features: libtorch's bindings take
# minutes to compile and are compiled once.
CARGO_BUILD := cargo build --release -p regatta-trainer -p regatta-launcher

.PHONY: build train test torture fuzz lint bench bench-loader install dist gpu-bundle clean setup

build: setup
	$(CARGO_BUILD)

train: build
	@. .setup/env.sh && CONFIG="$(CONFIG)" RANKS="$(RANKS)" NAME="$(NAME)" scripts/train.sh $(TRAINER) $(ARGS)

test torture: export REGATTA_SETUP_SLURM := 1
test: export REGATTA_SETUP_BROWSER := 1
test torture bench bench-loader: export REGATTA_SETUP_PYTORCH := 1
test: setup
	@. .setup/env.sh && scripts/test.sh

torture: setup
	@. .setup/env.sh && scripts/test.sh torture

# Each target in a process that may have 4 GiB of address space.
FUZZ := cargo test --release -p regatta-data --test main --
fuzz: setup
	@$(FUZZ) --list >/dev/null
	@ulimit -v 4194304; for target in idx cifar tar image; do \
	  REGATTA_FUZZ_SECONDS=60 $(FUZZ) --exact fuzz::$$target --nocapture || exit; done

lint: setup
	@scripts/lint.sh

bench: build
	@. .setup/env.sh && PYTHON="$$REGATTA_PYTHON" REGATTA__DATA__FOLDER="$$REGATTA_FASHION_MNIST" bench/run.sh $(ARGS)

bench-loader: build
	@. .setup/env.sh && "$$REGATTA_PYTHON" bench/loader.py --trainer $(TRAINER) $(ARGS)

install: build
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/share/regatta"
	install $(TRAINER) $(TARGET)/release/launcher "$(DESTDIR)$(PREFIX)/bin"
	cp -r configs "$(DESTDIR)$(PREFIX)/share/regatta"
	@echo "trainer runs with the libtorch it was built with: `sed -n 's/^LIBTORCH = //p' .cargo/config.toml`"

dist: build
	@scripts/dist.sh archive $(TARGET)

gpu-bundle: build
	@. .setup/env.sh && scripts/dist.sh gpu-bundle $(TARGET)

clean:
	cargo clean

setup:
	@command -v cargo >/dev/null || { \
	  echo "Rust is missing: https://rustup.rs, or: curl https://sh.rustup.rs -sSf | sh"; exit 1; } >&2
	@scripts/setup.sh
