/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* output.h - tables, sizes and JSON on stdout; nothing unprintable gets through. */
#pragma once

#include <glib.h>

#include "rpc/message.h"

/* ---- tables ---- */

typedef struct MigTable MigTable;

/* headers: NULL-terminated. A header that starts with '>' makes its column right-aligned; one that
 * starts with
 * '~' makes it the first to be shortened where the terminal is too narrow. */
MigTable *mig_table_new(const char *const *headers);
/* As many strings as there are columns; NULL is shown as "-". */
void mig_table_add(MigTable *table, ...);
/* The same from a list: no NULL in it. */
void mig_table_add_row(MigTable *table, const char *const *row);
/* Prints (header only where there are rows, or always with force_header) and frees. */
void mig_table_print(MigTable *table, gboolean force_header);

/* "  name:   value" with all values in one column; value NULL: no line. */
void mig_print_field(const char *name, const char *value);
void mig_print_field_list(const char *name, char **values);
/* A line on stdout, made safe for the terminal. */
void mig_print_line(const char *format, ...) G_GNUC_PRINTF(1, 2);
/* Talk: a line on stderr, made safe for the terminal. */
void mig_talk(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* ---- values: static text, good for the next seven calls ---- */

const char *mig_show_size(gint64 bytes);  /* "1.5 GiB" */
const char *mig_show_short(gint64 bytes); /* "1.5G", for tight places */
const char *mig_show_int(gint64 number);
const char *mig_show_ms(gint64 milliseconds); /* "1.24 s", "43 ms" */
const char *mig_show_time(gint64 unix_ms);    /* local time; "-" for 0 */
const char *mig_show_yes(gboolean value);

/* ---- JSON ---- */

/* The message on stdout; compact: one line. */
void mig_print_json(const MigType *type, gconstpointer message, gboolean compact);

/* Columns of the terminal behind fd; 0: it is none. */
guint mig_terminal_columns(int fd);
