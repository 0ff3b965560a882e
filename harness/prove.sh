# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The steps of a proof, and their sum. Source it after lib.sh, with OUT set to the directory for
# results.tsv (step, passed, failed, skipped, seconds) and the output of every step, STEP.log.

RESULTS=$OUT/results.tsv

# proof_begins: no result of an earlier run may be taken for one of this.
proof_begins()
{
	rm -rf "$OUT"
	mkdir -p "$OUT"
	: >"$RESULTS"
}

# What long steps say of how far they are; the rest is for the log.
progress() { sed -nu 's/^\(\* \|    [0-9]\)/   &/p'; }

# prove NAME COMMAND...: one step of the proof. If the last line of its output
# counts, "N passed, N failed[, N skipped]", these are its figures; otherwise
# it counts as one. A failing command has failed, whatever it counted.
prove()
{
	local name=$1 log=$OUT/$1.log begin=$SECONDS status=0 passed=0 failed=0 skipped=0
	shift
	printf '== %s\n' "$name"
	"$@" 2>&1 </dev/null | tee "$log" | progress || status=$?

	if [[ $(tail -n 1 "$log") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]]; then
		passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]} skipped=${BASH_REMATCH[4]:-0}
		[ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
	elif [ "$status" = 0 ]; then
		passed=1
	else
		failed=1
	fi

	printf '%s\t%s\t%s\t%s\t%s\n' "$name" "$passed" "$failed" "$skipped" "$((SECONDS - begin))" >>"$RESULTS"
	printf '   %s: %d passed, %d failed, %d skipped (%d s)\n' "$name" "$passed" "$failed" "$skipped" \
		"$((SECONDS - begin))"
	if [ "$failed" != 0 ]; then
		printf -- '--- the end of %s:\n%s\n---\n' "${log#"$PWD/"}" "$(tail -n 40 "$log")"
		return 1
	fi
}

# passed STEP: it did not fail, and was not left out.
passed() { awk -F'\t' -v step="$1" '$1 == step && !$3 { found = 1 } END { exit !found }' "$RESULTS"; }

# failures: what each step that failed says of it, in a few lines: whoever has only the end of a long
# proof's output has no more than these.
failures()
{
	local name failed log
	while IFS=$'\t' read -r name _ failed _; do
		[ "$failed" != 0 ] || continue
		log=$OUT/$name.log
		printf 'FAILED in %s (%s):\n' "$name" "${log#"$PWD/"}"
		{ grep -a -m 5 -E '^(FAILED|NOT OK|error):' "$log" || tail -n 3 "$log"; } | sed 's/^/    /'
	done <"$RESULTS"
}

# proof_ends: all that failed, and the sum as the last line. False if anything failed.
proof_ends()
{
	failures
	printf '%s has the figures; it took %d min %d s\n' "${RESULTS#"$PWD/"}" $((SECONDS / 60)) $((SECONDS % 60))
	awk -F'\t' '{ p += $2; f += $3; s += $4 }
		END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f > 0 }' "$RESULTS"
}
