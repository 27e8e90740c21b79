# SPDX-License-Identifier: GPL-2.0
# Bars lying down, from the left edge: scenario, plain, openssl, ktls, itls, hitch, stunnel.
load system("dirname ".ARG0).'/plot.gp'
set style line 4 lc rgb '#d68910'
set style line 5 lc rgb '#7d3c98'
set style line 6 lc rgb '#117a65'
set xlabel 'CPU seconds per GB'
set key outside top horizontal
set logscale x
stats data using 2 nooutput
set xrange [STATS_min / 2:*]
left = STATS_min / 2
set yrange [STATS_records - 0.4:-0.6]
set style fill solid 0.85 noborder
width = 0.13
bar(n) = (n - 2.5) * width
plot data using (left):0:ytic(1) with points ps 0 notitle, \
	'' using 2:($0 + bar(0)):(left):2:($0 + bar(0) - width / 2):($0 + bar(0) + width / 2) \
		with boxxyerror ls 1 title 'plain TCP', \
	'' using 3:($0 + bar(1)):(left):3:($0 + bar(1) - width / 2):($0 + bar(1) + width / 2) \
		with boxxyerror ls 4 title 'OpenSSL in nginx', \
	'' using 4:($0 + bar(2)):(left):4:($0 + bar(2) - width / 2):($0 + bar(2) + width / 2) \
		with boxxyerror ls 2 title 'in-tree kTLS', \
	'' using 5:($0 + bar(3)):(left):5:($0 + bar(3) - width / 2):($0 + bar(3) + width / 2) \
		with boxxyerror ls 3 title 'itls', \
	'' using 6:($0 + bar(4)):(left):6:($0 + bar(4) - width / 2):($0 + bar(4) + width / 2) \
		with boxxyerror ls 5 title 'hitch', \
	'' using 7:($0 + bar(5)):(left):7:($0 + bar(5) - width / 2):($0 + bar(5) + width / 2) \
		with boxxyerror ls 6 title 'stunnel'
