# SPDX-License-Identifier: GPL-2.0
# Bars lying down: scenario, plain, tls, itls.
load system("dirname ".ARG0).'/plot.gp'
set xlabel 'ns per byte'
set key outside top horizontal
set yrange [-0.6:*] reverse
set xrange [0:*]
set style fill solid 0.85 noborder
width = 0.26
plot data using (column(2) / 2.0):($0 - width):(column(2) / 2.0):(width / 2):ytic(1) \
		with boxxyerror ls 1 title 'plain TCP', \
	'' using (column(3) / 2.0):($0):(column(3) / 2.0):(width / 2) \
		with boxxyerror ls 2 title 'in-tree kTLS', \
	'' using (column(4) / 2.0):($0 + width):(column(4) / 2.0):(width / 2) \
		with boxxyerror ls 3 title 'itls'
