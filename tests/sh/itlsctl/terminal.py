# SPDX-License-Identifier: GPL-2.0
"""terminal.py COLUMNS COMMAND...: runs it with a terminal as standard error, whose
bytes come out on our standard error; ends with its status."""
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

ours, theirs = pty.openpty()
fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(sys.argv[1]), 0, 0))
child = subprocess.Popen(sys.argv[2:], stderr=theirs)
os.close(theirs)
while True:
    try:
        data = os.read(ours, 65536)
    except OSError:
        break
    if not data:
        break
    os.write(2, data)
sys.exit(child.wait())
