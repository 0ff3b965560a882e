# SPDX-License-Identifier: GPL-2.0
# The front door. The commands in harness/ do the work.

# What the scripts read from the environment.
export LOCALMODCONFIG CONFIG PROG ARGS FILES QUICK FORCE KERNEL_SRC BASE SIGNOFF TARGETS BUILD OPERATIONS SEED MUTANT STEP
export QEMU_CPU QEMU_ARGS APPEND MEM SMP ACCEL CELLS SOAK_SECONDS SOAK_SEED KCONFIG BENCH

# The variables of the command line. They are for the scripts, and not for other programs' Makefiles.
GIVEN := $(strip $(foreach v,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $v))),$v)))
MAKEOVERRIDES :=

# What harness/do setup is asked for, to build a kernel, to boot it, and to test it.
KERNEL := --tree --kernel
GUEST := $(KERNEL) --guest
TESTS := $(GUEST) --tests

ALL := help setup run shell host check dist lint rules reference wine matrix bench soak fuzz mutants coverage bisectable \
	neighbours deb deb-test kernel kernel-image selftests htmldocs man tree refresh series bases base-files clean distclean

.NOTPARALLEL:
.PHONY: $(ALL) arguments

# The first thing that is done.
$(ALL): arguments

arguments:
	@harness/do arguments "$(or $(MAKECMDGOALS),help)" $(GIVEN)

help:
	@sed -n 's/^#| \{0,1\}//p' Makefile | sed "s/@BASES@/$$(harness/do base --list)/"

#| Start here:
#| make run            boot the patched kernel and run a small compatibility layer in it
#| make shell          a shell in the guest, with the selftests
#| make host           the selftests on the kernel that runs here now: which rules does it keep?
#| make check          the full proof (CONTRIBUTING.md: how to repeat one step)
#| make man            show the manual pages
#| make htmldocs       the kernel's administrator's guide, with our document, as HTML
#|
#| Install or send:
#| make deb            Debian packages of the patched kernel, to build/<base>/deb/
#| make deb-test       build, install, boot and test them in a Debian of their own
#| make dist           the repository as a tarball, and the series as mails, to build/dist/
#|
#| Change the series (<base> is a name such as 5.10):
#| make tree           build/<base>/tree: a git branch of the patched kernel, one commit a patch
#| make refresh        write edits in build/<base>/tree back into the repository
#| make series         generate patches/ from series/ and the files that it lists
#| make bases          which versions of the bases the mirror serves, and whether each series applies to the newest
#| make base-files     hash the kernel files that the series edit, for each file in base/
#| make kernel         build the kernel of CONFIG into build/<base>/CONFIG/
#| make kernel-image   the same, then print the path of the image
#| make selftests      build and install the selftests into build/<base>/CONFIG/kselftest/
#| make lint           what sparse, coccinelle, checkpatch and others say
#| make rules          each rule of the contract: its tests, and their results in the last check
#| make setup          install the Debian packages that are missing
#| make clean          remove what was built, but not downloads and the compiler cache
#| make distclean      remove all of build/
#|
#| Campaigns (results/README.md says what they found):
#| make reference      the selftests on Debian's own kernels, compared with ours
#| make wine           a real Wine: do a Windows program's own system calls reach it?
#| make matrix         the selftests on each kernel and boot of harness/campaigns/matrix.tsv
#| make matrix-CELL    one cell of the matrix (harness/do matrix --list lists them)
#| make fuzz           random operations, compared with a model of the contract
#| make bench          what a system call costs: a table and a chart
#| make soak           load, and allocations that fail, on a kernel with debug checks
#| make mutants        break the kernel in one place at a time: do the selftests notice?
#| make coverage       which lines and branches of the series the selftests and fuzzer reach
#| make bisectable     each prefix of the series: does it build, boot, and keep the rules?
#| make neighbours     the kernel's own selftests, without and with the series
#|
#| Variables, with their defaults where they have one:
#| CONFIG=x86_64       run, shell, kernel, selftests, wine EXE=: which kernel, a name in
#|                     harness/build/configs/
#| PROG=path           run: your own program instead of the sample, with ARGS='...'
#| FILES='path ...'    run, shell, wine: take these files into the guest
#| CELLS='a b'         matrix: only these; FORCE=1 also runs cells that have a verdict
#| STEP='name ...'     check: only these steps, and those that they need; STEP=list prints all
#| QUICK=1             check: only the steps that take about 20 minutes the first time
#|                     soak: on the kernel of make run, without faults and search for leaks
#| OPERATIONS= SEED=   fuzz: how many operations (1000000), and the random seed
#| BENCH=1             host: measure what system calls cost here, in nanoseconds
#| KCONFIG=path        deb, deb-test: which configuration, a file or a name in harness/build/configs/, or amd64,
#|                     cloud-amd64 (Debian's own), or running (deb: amd64; deb-test: deb-test)
#| LOCALMODCONFIG=1    deb: leave out the modules that are not loaded on this machine
#| QEMU_CPU= QEMU_ARGS= APPEND= MEM= SMP= ACCEL=
#|                     run, shell: QEMU's -cpu, further options, kernel command line,
#|                     memory, CPUs, tcg or kvm (bench: with ACCEL=kvm in nanoseconds)
#| TIMEOUT=seconds     run, wine, deb-test: the time after which the guest counts as hung
#| KERNEL_IMAGE=path   run, shell, wine, soak: an existing kernel (wine: DIRECT_IMAGE=path too)
#| CC= CFLAGS=         run: the compiler of the sample, and its options
#| MUTANT='name ...'   mutants: only these files of harness/campaigns/mutations/<base>/
#| FUZZ=1              mutants: run the fuzzer in them too
#| BASE=name           which kernel source: @BASES@
#| KERNEL_SRC=path     a kernel tree or tarball of your own (BASE=try: even if it is unknown)
#| EXE=path            wine: your own Windows program instead of the sample, with ARGS='...'
#| WINE=path           wine: an installation of Wine 11.5 or later instead of Debian's
#| RULE=name           rules: the text of this rule, such as D9, and its tests
#| SOAK_SECONDS=60 SOAK_SEED=1
#|                     soak: how long each program runs, and the random seed (the time)
#| FORCE=1             tree, clean: drop edits made in build/<base>/tree
#| TARGETS='...'       selftests: which of the kernel's selftests; SELFTESTS_CC=: the compiler
#| SIGNOFF='Name <address>'
#|                     series: write the signed series to build/series/
#| BUILD=path          another place for build/

setup:
	@harness/do setup

run:
	@harness/do setup $(GUEST)
	@harness/do run program

shell:
	@harness/do setup $(GUEST)
	@harness/do run shell

host:
	@harness/do setup $(TESTS)
	@harness/do selftests
	@harness/do host

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

# A kernel to run is the newest long-term one, unless another is named.
deb deb-test: export BASE := $(or $(BASE),$(if $(KERNEL_SRC),,$(shell harness/do base --lts)))

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

bases:
	@harness/do setup --tree
	@harness/do tree --newest

base-files:
	@harness/do setup --tree
	@harness/do base-files

clean:
	@harness/do clean

distclean:
	@harness/do clean --all
