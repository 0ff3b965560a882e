# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the builds of kernels share: a log, how far they are, and what a failing one was about. Source it
# after lib.sh.

# files_compiled LOG [TOTAL]
files_compiled()
{
	local count
	count=$(grep -cE '^ +(CC|AS) ' "$1" || true)
	say "    $count files compiled${2:+ of about $2}"
}

# what_failed LOG: what a failing make was about.
what_failed()
{
	say "---- $1 says:"
	{
		grep -nE 'error:|Error [0-9]+|No rule to make|undefined reference|Unmet build dep|No space left' "$1" ||
			tail -n 20 "$1"
	} | tail -n 20 >&2
	say "----"
}

# logged_build LOG TOTAL COMMAND...: its output goes to LOG. Now and then it is said how many files are compiled,
# of about TOTAL, if that is not empty. Returns the command's status, and what failed is said.
logged_build()
{
	local log=$1 total=$2 watcher status=0
	shift 2
	: >"$log"
	every files_compiled "$log" "$total" &
	watcher=$!
	# shellcheck disable=SC2064
	trap "kill $watcher 2>/dev/null || true" EXIT
	"$@" >"$log" 2>&1 || status=$?
	kill "$watcher" 2>/dev/null || true
	trap - EXIT
	[ "$status" = 0 ] || what_failed "$log"
	return "$status"
}
