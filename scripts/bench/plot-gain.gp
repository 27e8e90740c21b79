# SPDX-License-Identifier: GPL-2.0
# Points with their spread: scenario, median, quartiles. Right of 1: itls is faster.
load system("dirname ".ARG0).'/plot.gp'
set xlabel 'in-tree kTLS / itls'
stats data using 2 nooutput
set yrange [-0.6:STATS_records - 0.4]
set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb '#888888' lw 2
plot data using 2:0:3:4:ytic(1) with xerrorbars ls 3 notitle
