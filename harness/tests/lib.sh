# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the tests of the harness share. A test script ends with `sum`.

# Without this, "set -e" is off within $(...), and a failure there goes unseen.
shopt -s inherit_errexit

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Where everything is built, and the directory of the base.
BUILD=$(realpath -m "${BUILD:-$ROOT/build}")
BUILT=$(BUILD=$BUILD "$ROOT/harness/do" base --built)
# The name of that directory: the base's.
LINE=$(basename "$BUILT")
export ROOT BUILD LC_ALL=C
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX CDPATH

# TESTS, BUILT and LINE are for the scripts that source this.
# shellcheck disable=SC2034
TESTS=$ROOT/harness/tests
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
passed=0 failed=0 skipped=0

say() { printf '%s\n' "$*" >&2; }

die()
{
	say "error: $*"
	exit 1
}

ok()
{
	passed=$((passed + 1))
	echo "ok: $1"
}

not_ok()
{
	failed=$((failed + 1))
	echo "NOT OK: $1"
	sed 's/^/    /' "$SCRATCH/output"
}

skip()
{
	skipped=$((skipped + 1))
	echo "skipped: $1: $2"
}

# check NAME COMMAND...: the command must succeed.
check()
{
	local name=$1
	shift
	if "$@" >"$SCRATCH/output" 2>&1 </dev/null; then
		ok "$name"
	else
		not_ok "$name"
	fi
}

# refuse NAME PATTERN COMMAND...: the command must fail, and say why in words that match.
refuse()
{
	local name=$1 pattern=$2 status=0
	shift 2
	"$@" >"$SCRATCH/output" 2>&1 </dev/null || status=$?
	if [ "$status" = 0 ]; then
		echo "(it succeeded)" >>"$SCRATCH/output"
		not_ok "$name"
	elif ! grep -qE -- "$pattern" "$SCRATCH/output" || grep -q Traceback "$SCRATCH/output"; then
		echo "(expected: $pattern)" >>"$SCRATCH/output"
		not_ok "$name"
	else
		ok "$name"
	fi
}

# said NAME PATTERN: the output of the last check, refuse or waits has a line that matches.
said()
{
	if grep -qE -- "$2" "$SCRATCH/output"; then
		ok "$1"
	else
		echo "(expected: $2)" >>"$SCRATCH/output"
		not_ok "$1"
	fi
}

# waits NAME PATTERN COMMAND...: the command says why it waits, in words that match, and goes on waiting.
waits()
{
	local name=$1 pattern=$2 command tries=600
	shift 2
	: >"$SCRATCH/output"
	# When timeout is ended, it ends the command and all that the command started.
	timeout 120 "$@" >"$SCRATCH/output" 2>&1 </dev/null &
	command=$!
	until grep -qE -- "$pattern" "$SCRATCH/output" || ! kill -0 "$command" || [ $((tries -= 1)) = 0 ]; do
		sleep 0.1
	done 2>/dev/null
	if grep -qE -- "$pattern" "$SCRATCH/output" && kill "$command" 2>/dev/null; then
		ok "$name"
	else
		echo "(expected, and not to end: $pattern)" >>"$SCRATCH/output"
		not_ok "$name"
		kill "$command" 2>/dev/null || true
	fi
	wait "$command" || true
}

# repository: a made-up repository $R, which has the harness and nothing else.
repository()
{
	R=$SCRATCH/repo
	mkdir -p "$R/series" "$R/results"
	cp -a "$ROOT/harness" "$ROOT/base" "$R/"
	cp "$ROOT/series/author" "$R/series/"
	rm -r "$R/harness/tests" "$R"/harness/campaigns/mutations/*
}

# fake NAME: a command of the harness in $R; bash, from stdin.
fake()
{
	local path
	path=$(find "$R/harness" -mindepth 2 -maxdepth 2 \( -name "$1" -o -name "${1//-/_}.py" \) -print -quit)
	path=${path%/*}/$1
	rm -f "$path" "${path//-/_}.py"
	{ echo '#!/bin/bash' && cat; } >"$path"
	chmod +x "$path"
}

# row FIELD...: a row of a table, with tabs between its fields.
row() { (IFS=$'\t' && printf '%s\n' "$*"); }

# verdict DIR TEST=RESULT...: what a guest leaves in DIR after the program prog_64, whose tests end with
# pass, skip or fail. With the result cut, the verdict stops within that test.
verdict()
{
	local dir=$1 number=0 failed='' test
	shift
	mkdir -p "$dir"
	echo word >"$dir/nonce"
	echo "Linux version 1.0" >"$dir/console.log"
	{
		printf '%s\n' "guest: begin word" "TAP version 13" "1..1" "# selftests: sud: prog_64" "# 1..$#"
		for test in "$@"; do
			number=$((number + 1))
			echo "# #  RUN           ${test%=*} ..."
			case $test in
			*=pass) echo "# ok $number ${test%=*}" ;;
			*=skip) echo "# ok $number ${test%=*} # SKIP not there" ;;
			*=fail) echo "# # prog.c:1:expected 1, seen 2"; echo "# not ok $number ${test%=*}"; failed=yes ;;
			*=cut) return ;;
			esac
		done
		printf '%s\n' "${failed:+not }ok 1 selftests: sud: prog_64${failed:+ # exit=1}" "guest: end word status 0"
	} >"$dir/verdict.log"
}

# sum: the last line, and the script's status.
sum()
{
	echo "$passed passed, $failed failed, $skipped skipped"
	[ "$failed" = 0 ]
}
