# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the scripts of the harness share. Source it after "set -euo pipefail".
# Everything said goes to stderr: stdout is for the one result that a script prints.

# Without this, "set -e" is off within $(...), and a failure there goes unseen.
shopt -s inherit_errexit

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$(realpath -m "${BUILD:-$ROOT/build}")
export ROOT BUILD LC_ALL=C

# The base that is used unless BASE= or KERNEL_SRC= says otherwise.
# shellcheck disable=SC2034
DEFAULT_BASE=5.10.262-1

# git is told where to work by -C only, whatever hook or rebase this runs under.
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_PREFIX CDPATH

say() { printf '%s\n' "$*" >&2; }

die()
{
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# step TEXT COMMAND...: says what is done and how long it took. A failing command ends the script by set -e.
step()
{
	local text=$1 start=$SECONDS
	shift
	say "* $text"
	"$@"
	say "  done in $((SECONDS - start)) s"
}

# every FUNCTION...: until it is killed, calls FUNCTION now and then to say how far a step is. Start it with &.
every()
{
	local pause=30 sleeper=''
	[ ! -t 2 ] || pause=5
	# Nothing may outlive it, and keep a lock or a pipe open.
	trap 'kill $sleeper 2>/dev/null; exit' TERM
	while :; do
		sleep "$pause" &
		sleeper=$!
		wait "$sleeper"
		"$@"
	done
}

# need_space DIR MEGABYTES WHAT: checked before a step, as a full disk shows in strange ways.
need_space()
{
	local have
	mkdir -p "$1"
	have=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
	[ "$have" -ge "$2" ] ||
		die "no space on the disk of $1: $3 needs $2 MB, $have MB are free." \
		    "Make room, or put the build directory elsewhere: BUILD=<directory>"
}

# need_command COMMAND: it is there, or its package is told, by what harness/do setup installs it for.
need_command()
{
	local word
	command -v "$1" >/dev/null || {
		word=$(awk -F' *[|] *' -v c="$1" '$2 == c { sub(/ .*/, "", $3); print " --" $3; exit }' "$ROOT/harness/packages/packages.list" || true)
		die "$1 is missing; run: harness/do setup$word"
	}
}

# check_config NAME: there is such a configuration.
check_config()
{
	[ -f "$ROOT/harness/build/configs/$1.config" ] ||
		die "unknown CONFIG '$1'; known: $(cd "$ROOT/harness/build/configs" && printf '%s\n' *.config | sed 's/\.config$//' | xargs)"
}

# split VARIABLE ARRAY: its words; quotes and backslashes as in a shell, but nothing is expanded.
split()
{
	local text=${!1:-}
	eval "$2=()"
	[ -n "${text//[[:space:]]/}" ] || return 0
	xargs printf '%s\0' <<<"$text" >/dev/null 2>&1 || die "$1: a quote does not end: $text"
	mapfile -d '' -t "$2" < <(xargs printf '%s\0' <<<"$text")
}

# lock NAME: one run at a time does a thing; the lock ends with the script.
lock()
{
	mkdir -p "$BUILD"
	exec {LOCK_FD}>"$BUILD/.lock-$1"
	flock -n "$LOCK_FD" || {
		say "* Waiting for another run that is at work on $BUILD ($1)"
		flock "$LOCK_FD"
	}
}

# base_names: every base on file.
base_names() { find "$ROOT/base" -type f ! -name '*.files' -printf '%f\n' | sort -rV; }

# base_get NAME KEY: one value of base/NAME.
base_get()
{
	[ -f "$ROOT/base/$1" ] ||
		die "unknown base '$1'; known: $(base_names | xargs). Another source: KERNEL_SRC=<tree or tarball>"
	awk -v key="$2" '$1 == key { print $2; found = 1 } END { exit !found }' "$ROOT/base/$1" ||
		die "base/$1 has no line '$2'"
}

# patches: the files of the series, in order.
patches()
{
	local dir=$ROOT/patches/5.10
	[ -f "$dir/series" ] || die "patches/5.10/series is missing; run: make series"
	sed "/^#/d; s,^,$dir/," "$dir/series"
}

# touched_files: what the series edits. (Its own new files are among them if it edits these later.)
touched_files() { patches | xargs -d '\n' sed -n 's,^--- a/,,p' | sort -u; }

# tree_git ...: git on the kernel's repository in build/tree, without the user's own
# configuration (hooks, signing, autocrlf), and with the project as who commits.
tree_git()
{
	local author name
	author=$(<"$ROOT/series/author")
	name=${author% <*>}
	author=${author##*<}
	GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_OPTIONAL_LOCKS=0 \
		GIT_AUTHOR_NAME=$name GIT_AUTHOR_EMAIL=${author%>} \
		GIT_COMMITTER_NAME=$name GIT_COMMITTER_EMAIL=${author%>} \
		git -C "$BUILD/tree" -c core.hooksPath=/dev/null -c gc.auto=0 -c core.compression=1 \
		-c advice.detachedHead=false "$@"
}

# work_tree DIR COMMIT MB WHAT: COMMIT of build/tree in a place of its own, whatever was edited there. Only the files
# that differ are written, so make finds what to do again. If DIR is new, WHAT needs MB megabytes of disk.
work_tree()
{
	if [ "$(tree_git -C "$1" rev-parse --show-toplevel 2>/dev/null)" != "$1" ]; then
		need_space "$BUILD" "$3" "$4"
		rm -rf "$1" && tree_git worktree prune && tree_git worktree add -q -f --detach "$1" "$2" || return
	fi
	tree_git -C "$1" checkout -q --force --detach "$2"
}
