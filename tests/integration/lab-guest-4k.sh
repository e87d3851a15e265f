#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The same as lab-guest.sh on a LUN with 4096 byte sectors, where sanlock's leases differ.
# takes: 25
set -euo pipefail
exec "$(dirname "$(readlink -f "$0")")/lab-guest.sh" 4096
