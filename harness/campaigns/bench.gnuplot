# SPDX-License-Identifier: GPL-2.0
# The chart of make bench, from the data that harness/do bench writes.
# Usage: gnuplot -c bench.gnuplot svg|png DATA OUTPUT
if (ARG1 eq "svg") {
	set terminal svg noenhanced size 900,1000 font "sans-serif,13" background "white"
} else {
	set terminal pngcairo noenhanced size 900,1000 font "sans-serif,11"
}
set output ARG3
data = ARG2

set style fill solid 1.0 noborder
set datafile missing "-"
unset key
set border 2
set tics nomirror scale 0
set format x ""
set lmargin at screen 0.33
set rmargin at screen 0.96
unpatched = "#b0b0b0"
ours = "#4878a8"
written(value) = value < 1000 ? sprintf("%.0f", value) : sprintf("%.0f,%03.0f", floor(value / 1000), value - 1000 * floor(value / 1000))

# The panels are stacked. All rows have the same height.
array titles[3] = ["A call that is run", "A call that is intercepted, served and answered", "To switch interception on or off"]
array bars[3]
rows = 0
do for [i = 1:3] {
	stats data index i - 1 using 0 nooutput
	bars[i] = STATS_records
	rows = rows + STATS_records
}
height = 0.68 / rows
top = 0.90
set multiplot title "Instructions on x86-64, by the syscall instruction. Each group has a scale of its own."
set label 1 "without the series" at screen 0.40, 0.945 textcolor rgb unpatched
set label 2 "with the series" at screen 0.58, 0.945 textcolor rgb ours
do for [i = 1:3] {
	bottom = top - height * bars[i]
	set tmargin at screen top
	set bmargin at screen bottom
	set autoscale
	stats data index i - 1 using 2 nooutput
	most = STATS_max
	stats data index i - 1 using 1 nooutput
	if (STATS_records > 0 && STATS_max > most) { most = STATS_max }
	set xrange [0:most * 1.2]
	set yrange [bars[i] - 0.5:-0.5]
	set title titles[i] offset 0, -0.5
	plot data index i - 1 using (0):0:ytic(3) with points pointtype 0, \
	     data index i - 1 using ($1 / 2):($0 - 0.2):($1 / 2):(0.18) with boxxyerror linecolor rgb unpatched, \
	     data index i - 1 using ($2 / 2):($0 + 0.2):($2 / 2):(0.18) with boxxyerror linecolor rgb ours, \
	     data index i - 1 using 1:($0 - 0.2):(written($1)) with labels left offset 0.6, 0 font ",9", \
	     data index i - 1 using 2:($0 + 0.2):(written($2)) with labels left offset 0.6, 0 font ",9"
	unset label
	top = bottom - 0.07
}
