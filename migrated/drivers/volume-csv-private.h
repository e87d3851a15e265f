/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume-csv-private.h - what the files of the volume driver share. */
#pragma once

#include "drivers/volume-csv.h"

#include <csv.h>

struct MigCsv {
    struct csv_volume *volume;
    const struct csv_info *info;
};

/* TRUE for CSV_OK; else fills error with csv's text, and a code by what is being looked for. */
gboolean mig_csv_ok(int result, const struct csv_error *reason, int not_found_code, GError **error);
struct csv_epoch mig_csv_epoch(const MigEpoch *epoch);
