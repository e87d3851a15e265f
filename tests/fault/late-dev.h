/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* late-dev.h - hosts on one LUN in memory, whose writes can get stuck, and land later. */
#pragma once

#include "../unit/csv/csv-test.h"

/* A device of a host; at counts its steps (reads, writes and flushes), and something else comes
 * before one of them. */
struct late_dev {
    struct csv_dev dev;
    unsigned steps, at; /* at 0: never */
    void (*happen)(void);
    bool is_stuck; /* writes get stuck */
};

extern struct lun late_lun;
/* The last write that got stuck; size 0: none has since it landed. */
extern struct late_stuck {
    uint8_t bytes[CSV_BLOCK_MAX];
    uint64_t offset;
    size_t size;
} late_stuck;

void late_init(void); /* a blank LUN */
/* Opens the volume there as one more host. */
struct late_dev *late_open(struct csv_volume **volume);
void late_land(void);
