# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=sh
# TAP for a test program in shell: each function that is given to "run" is a test of that name.

count=0 failed=0

# run FUNCTION...: run the tests and print their output. A test passes if its function succeeds.
run()
{
	echo "1..$#"
	for name; do
		count=$((count + 1))
		# With set -e, a test fails at the first command that fails.
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

# same NAME VALUE EXPECTED: fail and print both values if they differ.
same()
{
	[ "$2" = "$3" ] || {
		echo "$1 is '$2', should be '$3'"
		return 1
	}
}
