# SPDX-License-Identifier: GPL-2.0
#
# Human targets.  What the kernel's build system reads is Kbuild.

KDIR ?= /lib/modules/$(shell uname -r)/build
O ?= build
DESTDIR ?=
PREFIX ?= /usr

out := $(abspath $(O))

all: module userspace

help:
	@echo 'all         module and userspace'
	@echo 'module      itls.ko for the running kernel, or for KDIR=FOLDER'
	@echo 'userspace   itlsd, itlsctl and libitls, into $$(O)/bin (O=$(O))'
	@echo 'tests       unit tests and the TAP suite, into $$(O)/unit and $$(O)/selftests'
	@echo 'bench       the load tools of scripts/bench, into $$(O)/bench/bin'
	@echo 'install     all of it (DESTDIR=, PREFIX=$(PREFIX))'
	@echo 'check       style, static checks, layering: scripts/check.sh'
	@echo 'test        everything, in virtual machines too: scripts/test'
	@echo 'clean       removes what was built'

module:
	@test -e $(KDIR)/Makefile || { \
		echo "no kernel headers in $(KDIR): install linux-headers for this kernel or set KDIR=" >&2; \
		exit 1; }
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules

userspace:
	$(MAKE) -C userspace O=$(out)/bin

unit:
	$(MAKE) -C tests/unit O=$(out)/unit

selftests:
	$(MAKE) -C tests/selftests O=$(out)/selftests

bench:
	$(MAKE) -C scripts/bench/load O=$(out)/bench/bin
	$(MAKE) -C scripts/bench/shake O=$(out)/bench/bin

tests: unit selftests

install: all
	$(MAKE) -C $(KDIR) M=$(CURDIR) modules_install $(if $(DESTDIR),INSTALL_MOD_PATH=$(DESTDIR))
	$(MAKE) -C userspace O=$(out)/bin DESTDIR=$(DESTDIR) PREFIX=$(PREFIX) install

check:
	scripts/check.sh

test:
	scripts/test

clean:
	rm -rf $(O)
	test ! -e $(KDIR)/Makefile || $(MAKE) -C $(KDIR) M=$(CURDIR) clean

.PHONY: all help module userspace unit selftests tests bench install check test clean
