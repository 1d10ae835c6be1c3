# Every target has one line of help. `make demo` and `make test` set everything up by themselves.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Debian packages: what the product itself and the demo need, and what the tests use as judges and generators.
DEBIAN_DEMO := python3-venv fdisk util-linux dosfstools ntfs-3g e2fsprogs mtools zstd fuse3
DEBIAN_TEST := $(DEBIAN_DEMO) file exfatprogs exfat-fuse partclone gdisk parted qemu-utils sleuthkit xz-utils bzip2 \
	gzip xxd wimtools cryptsetup-bin lvm2 mdadm nbdkit libnbd-bin time tmux \
	postgresql xfsprogs btrfs-progs f2fs-tools jfsutils nilfs-tools udftools genisoimage squashfs-tools erofs-utils bcache-tools
DEBIAN_BENCH := $(DEBIAN_DEMO) partclone

.PHONY: help
help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# $(call debian,PACKAGES): install what is missing when root, else say exactly what to type.
define debian
	@missing=""; for p in $(1); do \
		dpkg-query -W -f='$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then echo "Installing Debian packages:$$missing"; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
		else echo "Debian packages are missing. Please run, then try again:"; echo "  sudo apt-get install --no-install-recommends$$missing"; exit 1; fi; fi
endef

.PHONY: debian-demo debian-test debian-bench
debian-demo:
	$(call debian,$(DEBIAN_DEMO))
debian-test:
	$(call debian,$(DEBIAN_TEST))
debian-bench:
	$(call debian,$(DEBIAN_BENCH))

# The packages come first: a fresh Debian has no venv module. (Order only: they are asked for on every run.)
$(VENV)/.ready: pyproject.toml | debian-demo
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

.PHONY: demo
demo: debian-demo $(VENV)/.ready ## See it work: a disk of its own, backed up, wiped, restored, compared
	@$(BIN)/python -m tests.demo

.PHONY: tui-demo
tui-demo: debian-demo $(VENV)/.ready ## Try the screens on small image files in the place of disks
	@$(BIN)/python -m tests.demo.tui

.PHONY: pictures
pictures: debian-demo $(VENV)/.ready ## Draw the pictures of the screens in the README anew
	@$(BIN)/python -m tests.demo.pictures

.PHONY: bench
bench: debian-bench $(VENV)/.ready ## Measure it beside partclone, ntfsclone and plain zstd
	@$(BIN)/python -m tests.bench $(BENCH)

.PHONY: fuzz
fuzz: debian-test $(VENV)/.ready ## Give damaged input to every parser; FUZZ="--target ntfs --inputs 1000000"
	@$(BIN)/python -m tests.fuzz $(FUZZ)

.PHONY: check
check: $(VENV)/.ready ## Lint, types, and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: test
test: debian-test $(VENV)/.ready check ## Check everything and run all tests
	$(BIN)/pytest -n 2 --dist worksteal

.PHONY: clean
clean: ## Remove what was built
	rm -rf $(VENV) build demo tui-demo *.egg-info
