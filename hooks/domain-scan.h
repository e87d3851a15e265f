/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domain-scan.h - is this domain a VM of the cluster, and which one? */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * libvirt hands each hook the whole XML of the domain. Wanted of it is very little, and a library
 * that reads XML takes several times longer to load than the rest of the hook runs: so it is walked
 * through once, in one piece of memory, and nothing is built of it.
 *
 * It is checked as far as that needs: nesting, quotes, entities. That an element ends by the name
 * it began with is left to libvirt, which wrote it.
 */

#define DOMAIN_SCAN_MAX_BYTES (4u << 20)
/* A uuid, a lockspace and a lease's name have at most 48 bytes. */
#define DOMAIN_SCAN_TEXT 256

struct domain_scan {
    /* It has a lease on a volume, or a disk that is an image of one. */
    bool is_ours;
    /* "" where there is none. Those of the first lease that is on a volume. */
    char uuid[DOMAIN_SCAN_TEXT];
    char lockspace[DOMAIN_SCAN_TEXT];
    char lease[DOMAIN_SCAN_TEXT];
};

/* NULL: read. Else what is wrong, a constant; *to is not to be used then. */
const char *domain_scan(const char *xml, size_t length, struct domain_scan *to)
    __attribute__((warn_unused_result));
