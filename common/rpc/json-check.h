/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* json-check.h - is this text exactly one JSON object, by RFC 8259? */
#pragma once

#include <glib.h>

/*
 * json-c is lenient in ways that differ between its versions (control characters in strings,
 * lone surrogates, leading zeros, NaN, numbers out of range, NULs). So the text is checked here
 * first, by the grammar alone and without building anything; json-c then only sees clean text.
 */

/* members (may be NULL): how many "key": value pairs the text has in all its objects, which tells
 * a parser that merges duplicate keys from one that had none to merge. */
gboolean
mig_json_check(const char *json, gsize length, guint max_depth, gsize *members, GError **error);
