/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-table.h - the table of one message; included by api-types.c once for each, with T set. */

/* No #pragma once. The lists in api-types.h do not say which struct they belong to, so offsetof
 * needs its name from outside: T. */
#include <glib.h>

#include "rpc/api-types.h"

#ifndef TABLE_FIELD
#define R                MIG_FIELD_REQUIRED
#define Z                MIG_FIELD_OMIT_ZERO
#define TABLE_JOIN(a, b) a##b
#define TABLE_NAME(a, b) TABLE_JOIN(a, b)
#define TABLE_FIELD(kind, member, flags, element_type) \
    {#member, MIG_FIELD_##kind, G_STRUCT_OFFSET(TABLE_NAME(Mig, T), member), flags, element_type},
#endif

#ifdef T
/* The last entry keeps the array of an empty message from being empty; it is not counted. */
static const MigField TABLE_NAME(mig_fields_, T)[] = {
    TABLE_NAME(MIG_FIELDS_, T)(TABLE_FIELD){NULL, MIG_FIELD_STRING, 0, 0, NULL},
};
#undef T
#endif
