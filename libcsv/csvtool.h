/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* csvtool.h - what the two files of csvtool share. */
#pragma once

#include "csv.h"

/* Prints the whole volume as JSON on stdout. */
int csvtool_dump(struct csv_volume *volume, struct csv_error *error);
