# SPDX-License-Identifier: GPL-2.0
# What the plots share. Set by the caller: format, data, out, title_, height.
if (format eq 'png') {
	set terminal pngcairo size 1100,height noenhanced font 'sans,10'
} else {
	set terminal svg size 1100,height noenhanced dynamic font 'sans,12' background rgb 'white'
}
set output out
set title title_
set datafile separator "\t"
set grid
set style line 1 lc rgb '#888888' lw 2 pt 7
set style line 2 lc rgb '#c0392b' lw 2 pt 5
set style line 3 lc rgb '#2471a3' lw 2 pt 9
