/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* multipath.c - asking multipathd. */
#include "drivers/multipath.h"

#include "core/timeouts.h"

#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define POLLING_S 5 /* multipath.conf(5): default of polling_interval */

/* One line of the kernel about the device-mapper device behind this node; NULL: it is none. */
static char *
dm_line(const char *device, const char *file)
{
    struct stat status;
    g_autofree char *path = NULL;
    char *text = NULL;

    if (stat(device, &status) < 0 || !S_ISBLK(status.st_mode))
        return NULL;
    path = g_strdup_printf("/sys/dev/block/%u:%u/dm/%s", major(status.st_rdev),
                           minor(status.st_rdev), file);
    return g_file_get_contents(path, &text, NULL, NULL) ? g_strstrip(text) : NULL;
}

static char *
ask(const char *const *words)
{
    char *said = NULL;
    int status = 0;

    if (g_spawn_sync(NULL, (char **)words, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL,
                     NULL, NULL, &said, NULL, &status, NULL) &&
        g_spawn_check_wait_status(status, NULL))
        return said;
    g_free(said);
    return NULL;
}

gint64
mig_multipath_queueing(const char *listing, const char *map, guint polling_s)
{
    g_auto(GStrv) lines = g_strsplit(listing, "\n", -1);

    for (guint i = 0; lines[i]; i++) {
        g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
        g_auto(GStrv) parts = g_strsplit_set(g_strstrip(lines[i]), " \t", -1), words = NULL;
        guint64 number;

        for (guint k = 0; parts[k]; k++) {
            if (*parts[k])
                g_strv_builder_add(builder, parts[k]);
        }
        words = g_strv_builder_end(builder);
        if (g_strv_length(words) < 2 || !g_str_equal(words[0], map))
            continue;
        if (g_str_equal(words[1], "off"))
            return MIG_QUEUES_NOT;
        if (g_str_equal(words[1], "on"))
            return MIG_QUEUES_FOR_EVER;
        if (!words[2] || !g_ascii_string_to_unsigned(words[1], 10, 0, G_MAXINT32, &number, NULL))
            return MIG_QUEUES_UNKNOWN;
        if (g_str_equal(words[2], "chk"))
            return (gint64)number * polling_s;
        return g_str_equal(words[2], "sec") ? (gint64)number : MIG_QUEUES_UNKNOWN;
    }
    return MIG_QUEUES_UNKNOWN;
}

guint
mig_multipath_polling_s(const char *config)
{
    g_auto(GStrv) lines = g_strsplit(config, "\n", -1);

    for (guint i = 0; lines[i]; i++) {
        const char *line = g_strstrip(lines[i]);
        guint64 seconds;
        g_autofree char *value = NULL;

        if (!g_str_has_prefix(line, "polling_interval"))
            continue;
        value = g_strdup(line + strlen("polling_interval"));
        g_strdelimit(g_strstrip(value), "\"", ' ');
        if (g_ascii_string_to_unsigned(g_strstrip(value), 10, 1, 86400, &seconds, NULL))
            return (guint)seconds;
    }
    return POLLING_S;
}

gint64
mig_multipath_queue_s(const char *device)
{
    static const char *const show_maps[] = {"multipathd", "show", "maps", "format", "%n %Q", NULL};
    static const char *const show_config[] = {"multipathd", "show", "config", "local", NULL};
    g_autofree char *uuid = dm_line(device, "uuid"), *name = dm_line(device, "name");
    g_autofree char *listing = NULL, *config = NULL;

    if (!uuid || !name || !g_str_has_prefix(uuid, "mpath-"))
        return MIG_QUEUES_NOT;
    listing = ask(show_maps);
    config = ask(show_config);
    return listing ? mig_multipath_queueing(listing, name,
                                            mig_multipath_polling_s(config ? config : ""))
                   : MIG_QUEUES_UNKNOWN;
}
