#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# embed.sh - turns a text file into a C string literal, line by line, on stdout.
set -eu
exec sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$/\\n"/' "$1"
