/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* setup-file.c - the text of setup-file.h. */
#include "setup-file.h"

#include <string.h>

#define BEGIN "# migratectl setup: begin; 'migratectl setup --undo' takes this back"
#define END   "# migratectl setup: end"
#define KEPT  "# migratectl setup kept: "

char *
mig_setup_file_undo(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    g_autoptr(GString) out = g_string_new(NULL);
    gboolean is_ours = FALSE;

    for (guint i = 0; lines[i]; i++) {
        const char *line = lines[i];

        if (!is_ours && g_str_equal(line, BEGIN)) {
            /* somebody has deleted the end: what is not as we write it is somebody's */
            is_ours = g_strv_contains((const char *const *)lines + i, END);
            while (!is_ours && lines[i + 1] && lines[i + 1][0] == '#' && lines[i + 2] &&
                   strchr(lines[i + 2], '=') && lines[i + 2][0] != '#')
                i += 2;
        } else if (is_ours) {
            is_ours = !g_str_equal(line, END);
        } else {
            if (g_str_has_prefix(line, KEPT))
                line += strlen(KEPT);
            g_string_append(out, line);
            if (lines[i + 1])
                g_string_append_c(out, '\n');
        }
    }
    return g_string_free(g_steal_pointer(&out), FALSE);
}

/* "  key = ..." sets it, "#key = ..." does not, "keys = ..." is another one. */
static gboolean
sets(const char *line, const char *key)
{
    gsize length = strlen(key);

    line += strspn(line, " \t");
    if (strncmp(line, key, length) != 0)
        return FALSE;
    line += length;
    line += strspn(line, " \t");
    return *line == '=';
}

static gboolean
sets_any(const char *line, const MigSetupLine *ours, gsize count)
{
    for (gsize i = 0; i < count; i++) {
        if (sets(line, ours[i].key))
            return TRUE;
    }
    return FALSE;
}

char *
mig_setup_file_apply(const char *text, const MigSetupLine *ours, gsize count, const char *separator)
{
    g_autofree char *clean = mig_setup_file_undo(text);
    g_auto(GStrv) lines = g_strsplit(clean, "\n", -1);
    g_autoptr(GString) out = g_string_new(NULL);

    for (guint i = 0; lines[i]; i++) {
        if (sets_any(lines[i], ours, count))
            g_string_append(out, KEPT);
        g_string_append(out, lines[i]);
        if (lines[i + 1])
            g_string_append_c(out, '\n');
    }
    if (out->len && out->str[out->len - 1] != '\n')
        g_string_append_c(out, '\n');
    g_string_append(out, BEGIN "\n");
    for (gsize i = 0; i < count; i++)
        g_string_append_printf(out, "# %s\n%s%s%s\n", ours[i].why, ours[i].key, separator,
                               ours[i].value);
    g_string_append(out, END "\n");
    return g_string_free(g_steal_pointer(&out), FALSE);
}
