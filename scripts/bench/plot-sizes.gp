# SPDX-License-Identifier: GPL-2.0
# Lines: size, plain, tls, itls; ns per byte.
load system("dirname ".ARG0).'/plot.gp'
set xlabel 'bytes per send()'
set ylabel 'ns per byte'
set logscale x 2
set format x '%.0b%B'
set logscale y
set key top right
plot data using 1:2 with linespoints ls 1 title 'plain TCP', \
	'' using 1:3 with linespoints ls 2 title 'in-tree kTLS', \
	'' using 1:4 with linespoints ls 3 title 'itls'
