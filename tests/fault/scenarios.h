/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* scenarios.h - every change of a volume's metadata, for tests that cut it short. */
#pragma once

#include <glib.h>

#include "../unit/csv/csv-test.h"

struct scenario {
    const char *name;
    void (*prepare)(struct csv_volume *volume); /* after base(); NULL: nothing more */
    int (*change)(struct csv_volume *volume, const struct csv_epoch *epoch,
                  struct csv_error *error);
    int done_code;     /* what another handle gets that finds the change done already */
    bool by_sectors;   /* is made by sectors that land whole or not: see the one that has it */
    const char *shows; /* something that the new state has, NULL: no matter */
};

extern const struct scenario scenarios[];
extern const unsigned scenario_count;
extern const struct csv_epoch first_epoch,
    next_epoch; /* of who makes the change; of who comes next */

/* Two VMs, two images, two heartbeats, and old bytes wherever an image may come to lie; then what
 * the scenario (NULL: none) prepares. */
void scenario_base(struct lun *lun, const struct scenario *scenario);
/* Everything that somebody may rely on, in words; uuids and generations are not. */
char *describe(struct csv_volume *volume);
/* The same of a LUN, which must open and be clean. */
char *describe_lun(struct lun *lun);
