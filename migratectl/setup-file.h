/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* setup-file.h - settings of other programs' configuration files, made and taken back. */
#pragma once

#include <glib.h>

/*
 * Works on text only. What we set stands in one block at the end, between two marks; a line of the
 * administrator's that sets one of the same keys is kept as a marked comment, since in these files
 * (libvirt's, and shell assignments) a key may stand only once or the last one wins. So undoing is
 * exact: the block goes, the marked lines come back.
 */
typedef struct {
    const char *key;
    const char *value; /* as it stands in the file, quotes included */
    const char *why;   /* one line, becomes a comment */
} MigSetupLine;

/* The text with our settings in it. Applying twice gives the same text. separator: " = " or "=".
 * g_free(). */
char *mig_setup_file_apply(const char *text, const MigSetupLine *lines, gsize count,
                           const char *separator);
/* The text as it was before. g_free(). */
char *mig_setup_file_undo(const char *text);
