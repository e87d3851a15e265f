/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* error.h - how a function of this folder says what went wrong. */
#pragma once

#include "csv.h"

/* Fills *error (may be NULL) and returns code, so that a failing check is one line. */
int csv_fail(struct csv_error *error, int code, int sys, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
