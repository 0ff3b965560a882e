# SPDX-License-Identifier: GPL-2.0
# The chart of make bench, from the data that harness/do bench writes.
# Usage: gnuplot -c bench.gnuplot svg|png DATA OUTPUT
if (ARG1 eq "svg") {
	set terminal svg noenhanced size 900,630 font "sans-serif,13" background "white"
} else {
	set terminal pngcairo noenhanced size 900,630 font "sans-serif,11"
}
set output ARG3
data = ARG2

set style fill solid 1.0 noborder
set key autotitle columnheader
unset key
set border 2
set tics nomirror scale 0
set format x ""
set lmargin at screen 0.29
set rmargin at screen 0.97

# The panels lie below each other, each bar as high as any other.
array bars[3] = [5, 6, 2]
array titles[3] = ["A call that is run", "A call that is intercepted, served and answered", "To switch interception on or off"]
top = 0.90
set multiplot title "Instructions on x86-64, by the syscall instruction. Each group has a scale of its own."
do for [i = 1:3] {
	bottom = top - 0.05 * bars[i]
	set tmargin at screen top
	set bmargin at screen bottom
	set autoscale
	stats data index i - 1 using 1 nooutput
	set xrange [0:STATS_max * 1.2]
	set yrange [bars[i] - 0.5:-0.5]
	set title titles[i] offset 0, -0.5
	plot data index i - 1 using ($1 / 2):0:($1 / 2):(0.36):ytic(2) with boxxyerror linecolor rgb "#4878a8", \
	     data index i - 1 using 1:0:3 with labels left offset 0.8, 0
	top = bottom - 0.077
}
