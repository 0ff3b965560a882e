# SPDX-License-Identifier: GPL-2.0
# The front door. The work is done by the scripts in harness/.

# What the scripts read from the environment.
export CONFIG PROG ARGS FILES QUICK FORCE KERNEL_SRC BASE SIGNOFF TARGETS BUILD OPERATIONS SEED MUTANT STEP
export QEMU_CPU QEMU_ARGS APPEND MEM SMP ACCEL CELLS SOAK_SECONDS SOAK_SEED KCONFIG

# The variables of the command line. They are for the scripts, and not for other programs' Makefiles.
GIVEN := $(strip $(foreach v,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $v))),$v)))
MAKEOVERRIDES :=

# What harness/do setup is asked for, to build a kernel, to boot it, and to test it.
KERNEL := --tree --kernel
GUEST := $(KERNEL) --guest
TESTS := $(GUEST) --tests

ALL := help setup run shell check dist lint rules reference wine matrix bench soak fuzz mutants coverage bisectable \
	neighbours deb deb-test kernel kernel-image selftests htmldocs man tree refresh series base-files clean distclean

.NOTPARALLEL:
.PHONY: $(ALL) arguments

# The first thing that is done.
$(ALL): arguments

arguments:
	@harness/do arguments "$(or $(MAKECMDGOALS),help)" $(GIVEN)

help:
	@sed -n 's/^#| \{0,1\}//p' Makefile

#| make run            boot the patched kernel and watch a program's calls come back to it
#| make shell          a shell in the guest, the selftests on board
#| make check          the full proof
#| make lint           what sparse, coccinelle, checkpatch and others have to say
#| make rules          every rule of the feature: its tests, and how they ended in the last check
#| make reference      the selftests on Debian's own kernels, compared with ours
#| make wine           a real Wine: do a Windows program's own system calls reach it?
#| make matrix         the selftests on every kernel and boot of harness/campaigns/matrix.tsv
#| make matrix-CELL    on one of them (harness/do matrix --list)
#| make fuzz           random operations, compared with a model of the contract
#| make bench          what a system call costs: a table and a chart, to results/
#| make soak           load and faults, on a kernel that watches itself: a table, to results/
#| make mutants        break the kernel, in one place at a time, and see the selftests tell
#| make coverage       which lines and branches of the series selftests and fuzzer reach
#| make bisectable     every prefix of the series: does it build, boot, and keep the rules?
#| make neighbours     the kernel's own selftests, without and with the series
#| make deb            Debian packages of the patched kernel, to build/deb/
#| make deb-test       build, install, boot and test them, in a Debian of their own
#|
#| make kernel         build the kernel of CONFIG into build/CONFIG/
#| make kernel-image   the same, then print the image's path
#| make selftests      build and install the selftests into build/CONFIG/kselftest/
#| make htmldocs       the kernel's administrator's guide, with our document, as HTML
#| make man            show the manual pages
#| make tree           build/tree: a git branch of the patched kernel, one commit a patch
#| make refresh        take edits in build/tree over into the repository
#| make series         generate patches/5.10/ from series/ and the files it lists
#| make base-files     hash the kernel files that the series edits, for all of base/
#| make dist           the repository as a tarball, and the series as mails, to build/dist/
#| make setup          install the Debian packages that are missing
#| make clean          remove what was built (not downloads and ccache's cache)
#| make distclean      remove all of build/
#|
#| CONFIG=x86_64       run, shell, kernel, selftests, wine EXE=: which kernel, a name in
#|                     harness/build/configs/
#| PROG=path           run: your own program instead of the sample, with ARGS='...'
#| FILES='path ...'    run, shell, wine: take these along into the guest
#| CELLS='a b'         matrix: only these; FORCE=1 runs those that have a verdict, too
#| STEP='name ...'     check: only these steps, and what they need; STEP=list prints all
#| QUICK=1             check: only what takes a newcomer about 20 minutes
#|                     soak: on the kernel of make run, without faults and leaks
#| OPERATIONS= SEED=   fuzz: how many (1000000), and the number that decides about them
#| KCONFIG=path        deb, deb-test: of which configuration, a file or a name in
#|                     harness/build/configs/ (cloud-amd64 of Debian; deb-test, a small one)
#| QEMU_CPU= QEMU_ARGS= APPEND= MEM= SMP= ACCEL=
#|                     run, shell: QEMU's -cpu, further options, kernel command line,
#|                     memory, CPUs, tcg or kvm (bench: ACCEL=kvm gives nanoseconds)
#| TIMEOUT=seconds     run, wine, deb-test: after which the guest counts as hung
#| KERNEL_IMAGE=path   run, shell, wine, soak: a kernel that exists already
#|                     (wine: DIRECT_IMAGE=path, too)
#| CC= CFLAGS=         run: how the sample is compiled
#| MUTANT='name ...'   mutants: only these of harness/campaigns/mutations/
#| FUZZ=1              mutants: see what the fuzzer finds, too
#| BASE=5.10.262-1     which kernel source: a name in base/
#| KERNEL_SRC=path     a 5.10.y tree or tarball of your own (BASE=try: of an unknown base)
#| EXE=path            wine: run your own Windows program instead, with ARGS='...'
#| WINE=path           wine: an installation of 11.5 or later, instead of Debian's
#| RULE=D9             rules: the text of this rule, and its tests
#| SOAK_SECONDS=60 SOAK_SEED=1
#|                     soak: how long each program runs, and what is left to chance
#| FORCE=1             tree, clean: drop edits made in build/tree
#| TARGETS='...'       selftests: which of the kernel's; SELFTESTS_CC=, the compiler
#| SIGNOFF='Name <address>'
#|                     series: write it signed off to build/series/
#| BUILD=path          another place for build/

setup:
	@harness/do setup

run:
	@harness/do setup $(GUEST)
	@harness/do run program

shell:
	@harness/do setup $(GUEST)
	@harness/do run shell

check:
	$(if $(filter list,$(STEP)),,@harness/do setup)
	@harness/do check $(STEP)

dist:
	@harness/do dist

lint:
	@harness/do setup $(TESTS) --lint
	@harness/do kernel direct
	@harness/do lint

rules:
	@harness/do rules $(if $(RULE),--rule $(RULE))

reference:
	@harness/do setup $(TESTS)
	@harness/do reference

wine:
	@harness/do setup $(GUEST) --wine
	@harness/do wine

matrix:
	@harness/do setup $(TESTS) --matrix
	@harness/do matrix

matrix-%: arguments
	@harness/do setup $(TESTS) --matrix
	@harness/do matrix $*

bench:
	@harness/do setup $(TESTS) --bench
	@harness/do bench

soak:
	@harness/do setup $(TESTS) --soak
	@harness/do soak $(if $(QUICK),--quick)

fuzz:
	@harness/do setup $(TESTS)
	@harness/do fuzz $(if $(OPERATIONS),--operations $(OPERATIONS)) $(if $(SEED),--seed $(SEED))

mutants:
	@harness/do setup $(TESTS)
	@harness/do mutants $(if $(FUZZ),--fuzz) $(MUTANT)

coverage:
	@harness/do setup $(TESTS)
	@harness/do coverage

bisectable:
	@harness/do setup $(TESTS)
	@harness/do bisectable

neighbours:
	@harness/do setup $(TESTS)
	@harness/do neighbours

deb:
	@harness/do setup $(KERNEL) --deb
	@harness/do deb

deb-test:
	@harness/do setup $(TESTS) --deb --deb-test
	@harness/do deb-test

kernel:
	@harness/do setup $(KERNEL)
	@harness/do kernel $(CONFIG)

kernel-image:
	@harness/do setup $(KERNEL)
	@harness/do kernel --image $(CONFIG)

selftests:
	@harness/do setup $(KERNEL) --tests
	@harness/do kernel --selftests $(CONFIG)

htmldocs:
	@harness/do setup $(KERNEL) --htmldocs
	@harness/do htmldocs

man:
	@man -l man/*.2const 2>/dev/null || mandoc -a man/*.2const

tree:
	@harness/do setup --tree
	@harness/do tree

refresh:
	@harness/do setup --tree
	@harness/do refresh

series:
	@harness/do series

base-files:
	@harness/do setup --tree
	@harness/do base-files

clean:
	@harness/do clean

distclean:
	@harness/do clean --all
