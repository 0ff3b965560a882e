# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# For a test program in shell: every function that "run" is given is a test of its name.

count=0 failed=0

# run FUNCTION...: what one says is shown; it passes if it succeeds.
run()
{
	echo "1..$#"
	for name; do
		count=$((count + 1))
		# set -e within, so that a test is all its lines.
		(set -e; "$name") >/run/tap.output 2>&1
		status=$?
		sed 's/^/# /' /run/tap.output
		if [ $status = 0 ]; then
			echo "ok $count $name"
		else
			echo "not ok $count $name"
			failed=1
		fi
	done
	exit $failed
}

# same WHAT IS SHOULD
same()
{
	[ "$2" = "$3" ] || {
		echo "$1 is '$2', should be '$3'"
		return 1
	}
}
