/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* config.c - the table of keys, and the loader that walks it. */

#include "base/config.h"

#include "base/error.h"
#include "base/io.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
    KEY_NAME,    /* a node's name */
    KEY_INT,     /* gint64 in [min, max] */
    KEY_PATH,    /* absolute */
    KEY_SOCKET,  /* absolute, fits into sun_path */
    KEY_ADDRESS, /* IPv4 or IPv6 */
    KEY_NETWORK, /* address/prefix length */
    KEY_TEXT,
    KEY_PATHS, /* list of absolute paths, separated by ';' */
    KEY_BOOL,  /* yes or no, kept as a gint64 */
    KEY_POLICY,
} KeyKind;

typedef struct {
    const char *group;
    const char *key;
    KeyKind kind;
    size_t offset;
    const char *fallback; /* as written in the file; NULL: the key is required */
    gint64 min, max;      /* KEY_INT */
} Key;

#define AT(member) G_STRUCT_OFFSET(MigConfig, member)
static const Key keys[] = {
    {"node", "name", KEY_NAME, AT(node_name), NULL, 0, 0},
    {"node", "host_id", KEY_INT, AT(host_id), NULL, 1, 250},
    {"network", "management", KEY_ADDRESS, AT(management), NULL, 0, 0},
    {"network", "port", KEY_INT, AT(port), "7420", 1, 65535},
    {"network", "migration", KEY_NETWORK, AT(migration), NULL, 0, 0},
    {"network", "migration_mib_s", KEY_INT, AT(migration_mib_s), "0", 0, 1000000},
    {"paths", "socket", KEY_SOCKET, AT(socket_path), "/run/migrated/socket", 0, 0},
    {"paths", "state_dir", KEY_PATH, AT(state_dir), "/var/lib/migrated", 0, 0},
    {"paths", "run_dir", KEY_PATH, AT(run_dir), "/run/migrated", 0, 0},
    {"paths", "qemu_tls_dir", KEY_PATH, AT(qemu_tls_dir), "/etc/pki/qemu/migrated", 0, 0},
    {"libvirt", "uri", KEY_TEXT, AT(libvirt_uri), "qemu:///system", 0, 0},
    {"moves", "max_per_node", KEY_INT, AT(max_moves_per_node), "2", 1, 64},
    {"moves", "queue_length", KEY_INT, AT(queue_length), "256", 1, 4096},
    {"moves", "max_downtime_ms", KEY_INT, AT(default_max_downtime_ms), "300", 1, 60000},
    {"moves", "policy", KEY_POLICY, AT(default_policy), "fast", 0, 0},
    {"moves", "timeout_s", KEY_INT, AT(default_timeout_s), "0", 0, 7 * 86400},
    {"moves", "bandwidth_mib_s", KEY_INT, AT(default_bandwidth_mib_s), "0", 0, 1000000},
    {"moves", "multifd", KEY_INT, AT(multifd), "0", 0, 16},
    {"moves", "encrypt", KEY_BOOL, AT(encrypt), "yes", 0, 0},
    {"volumes", "devices", KEY_PATHS, AT(volume_devices), "", 0, 0},
    {"volumes", "standing_coordinator", KEY_BOOL, AT(standing_coordinator), "yes", 0, 0},
    {"failover", "enabled", KEY_BOOL, AT(failover_enabled), "yes", 0, 0},
    {"failover", "suspect_after_ms", KEY_INT, AT(suspect_after_ms), "3000", 2000, 600000},
    {"failover", "restart_limit", KEY_INT, AT(restart_limit), "5", 1, 1000},
    {"failover", "isolated_after_ms", KEY_INT, AT(isolated_after_ms), "10000", 3000, 600000},
    {"failover", "unsafe_without_watchdog", KEY_BOOL, AT(unsafe_without_watchdog), "no", 0, 0},
    {"fence", "directory", KEY_PATH, AT(fence_dir), "/etc/migrated/fence.d", 0, 0},
    {"fence", "timeout_s", KEY_INT, AT(fence_timeout_s), "60", 1, 3600},
    {"fence", "delay_s", KEY_INT, AT(fence_delay_s), "0", 0, 3600},
    {"limits", "connections", KEY_INT, AT(max_connections), "256", 16, 4096},
    {"limits", "memory_reserve_mib", KEY_INT, AT(memory_reserve_mib), "512", 0, 1 << 24},
};
#undef AT

#define SOCKET_PATH_MAX 107 /* sun_path without its NUL */
#define NODE_NAME_MAX   47  /* sanlock's names have 48 bytes with their NUL */

static const char *const policies[] = {"fast", "gentle", "must-finish", "never-postcopy", NULL};

/* ---- values ---- */

static gboolean
is_node_name(const char *text)
{
    gsize length = strlen(text);

    if (length < 1 || length > NODE_NAME_MAX || !g_ascii_isalnum(text[0]))
        return FALSE;
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
           length;
}

/* How many bits the address has, 0 if it is none. */
static gint64
address_bits(const char *text)
{
    struct in6_addr buffer;

    if (inet_pton(AF_INET, text, &buffer) == 1)
        return 32;
    return inet_pton(AF_INET6, text, &buffer) == 1 ? 128 : 0;
}

static gboolean
is_network(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "/", 3);
    gint64 bits, prefix;

    if (g_strv_length(parts) != 2)
        return FALSE;
    bits = address_bits(parts[0]);
    return bits && g_ascii_string_to_signed(parts[1], 10, 1, bits, &prefix, NULL);
}

/* What a value must be, for messages; NULL if it is that. */
static char *
value_complaint(const Key *key, const char *text)
{
    gint64 number;

    switch (key->kind) {
    case KEY_NAME:
        return is_node_name(text)
                   ? NULL
                   : g_strdup("1 to 47 of letters, digits, '.', '_', '-', a letter or digit first");
    case KEY_INT:
        return g_ascii_string_to_signed(text, 10, key->min, key->max, &number, NULL)
                   ? NULL
                   : g_strdup_printf("a number from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                                     key->min, key->max);
    case KEY_PATH:
        return g_path_is_absolute(text) ? NULL : g_strdup("an absolute path");
    case KEY_SOCKET:
        return g_path_is_absolute(text) && strlen(text) <= SOCKET_PATH_MAX
                   ? NULL
                   : g_strdup_printf("an absolute path of at most %d bytes", SOCKET_PATH_MAX);
    case KEY_ADDRESS:
        return address_bits(text) ? NULL : g_strdup("an IP address, such as 10.0.0.1");
    case KEY_NETWORK:
        return is_network(text) ? NULL
                                : g_strdup("an IP address with prefix length, such as 10.0.1.1/24");
    case KEY_TEXT:
        return *text ? NULL : g_strdup("something");
    case KEY_PATHS: {
        g_auto(GStrv) list = g_strsplit(text, ";", -1);

        for (guint i = 0; list[i]; i++) {
            if (*g_strstrip(list[i]) && !g_path_is_absolute(list[i]))
                return g_strdup("absolute paths with ';' between them");
        }
        return NULL;
    }
    case KEY_BOOL:
        return g_str_equal(text, "yes") || g_str_equal(text, "no") ? NULL : g_strdup("yes or no");
    case KEY_POLICY:
        return g_strv_contains(policies, text)
                   ? NULL
                   : g_strdup("fast, gentle, must-finish or never-postcopy");
    default:
        g_assert_not_reached();
    }
}

static char **
split_paths(const char *text)
{
    g_auto(GStrv) list = g_strsplit(text, ";", -1);
    GPtrArray *out = g_ptr_array_new();

    for (guint i = 0; list[i]; i++) {
        if (*g_strstrip(list[i]))
            g_ptr_array_add(out, g_strdup(list[i]));
    }
    g_ptr_array_add(out, NULL);
    return (char **)g_ptr_array_free(out, FALSE);
}

/* Stores a value that value_complaint() has passed. */
static void
store(MigConfig *config, const Key *key, const char *text)
{
    void *member = G_STRUCT_MEMBER_P(config, key->offset);

    if (key->kind == KEY_INT) {
        *(gint64 *)member = g_ascii_strtoll(text, NULL, 10);
    } else if (key->kind == KEY_BOOL) {
        *(gint64 *)member = g_str_equal(text, "yes");
    } else if (key->kind == KEY_PATHS) {
        g_strfreev(*(char ***)member);
        *(char ***)member = split_paths(text);
    } else {
        g_free(*(char **)member);
        *(char **)member = g_strdup(text);
    }
}

/* ---- typos ---- */

/* Edit distance; names here are short. */
static guint
distance(const char *a, const char *b)
{
    gsize n = strlen(b);
    g_autofree guint *row = g_new(guint, n + 1);

    for (gsize j = 0; j <= n; j++)
        row[j] = (guint)j;
    for (gsize i = 0; a[i]; i++) {
        guint diagonal = row[0];

        row[0] = (guint)i + 1;
        for (gsize j = 0; j < n; j++) {
            guint change = diagonal + (a[i] != b[j]);

            diagonal = row[j + 1];
            row[j + 1] = MIN(MIN(row[j], row[j + 1]) + 1, change);
        }
    }
    return row[n];
}

static const Key *
find_key(const char *group, const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (g_str_equal(keys[i].group, group) && (!name || g_str_equal(keys[i].key, name)))
            return &keys[i];
    }
    return NULL;
}

/* The known group (name NULL) or key that looks most like this one. A key of the right name in
 * another group is nearer than any other name. */
static const Key *
nearest_key(const char *group, const char *name)
{
    const Key *best = NULL;
    guint best_distance = G_MAXUINT;

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        guint d = name ? 2 * distance(name, keys[i].key) + !g_str_equal(group, keys[i].group)
                       : distance(group, keys[i].group);

        if (d < best_distance) {
            best_distance = d;
            best = &keys[i];
        }
    }
    return best;
}

static gboolean
check_known(const char *file, GKeyFile *key_file, GError **error)
{
    g_auto(GStrv) groups = g_key_file_get_groups(key_file, NULL);

    for (guint g = 0; groups[g]; g++) {
        g_auto(GStrv) names = g_key_file_get_keys(key_file, groups[g], NULL, NULL);

        if (!find_key(groups[g], NULL)) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG,
                        "%s: there is no group [%s]; did you mean [%s]?", file, groups[g],
                        nearest_key(groups[g], NULL)->group);
            return FALSE;
        }
        for (guint k = 0; names && names[k]; k++) {
            if (!find_key(groups[g], names[k])) {
                const Key *near = nearest_key(groups[g], names[k]);

                g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG,
                            "%s: [%s] %s: there is no such key; did you mean \"%s\" in [%s]?", file,
                            groups[g], names[k], near->key, near->group);
                return FALSE;
            }
        }
    }
    return TRUE;
}

/* ---- public ---- */

MigConfig *
mig_config_new(void)
{
    MigConfig *config = g_new0(MigConfig, 1);

    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        if (keys[i].fallback)
            store(config, &keys[i], keys[i].fallback);
    }
    return config;
}

void
mig_config_free(MigConfig *config)
{
    if (!config)
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        void *member = G_STRUCT_MEMBER_P(config, keys[i].offset);

        if (keys[i].kind == KEY_PATHS)
            g_strfreev(*(char ***)member);
        else if (keys[i].kind != KEY_INT && keys[i].kind != KEY_BOOL)
            g_free(*(char **)member);
    }
    g_free(config);
}

static MigConfig *
parse(const char *name, const char *data, gsize length, gboolean may_be_blank, GError **error)
{
    g_autoptr(GKeyFile) key_file = g_key_file_new();
    g_autoptr(MigConfig) config = mig_config_new();
    g_autoptr(GError) bad = NULL;

    if (!g_key_file_load_from_data(key_file, length ? data : "\n", length ? length : 1,
                                   G_KEY_FILE_NONE, &bad)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG, "%s: %s", name, bad->message);
        return NULL;
    }
    if (!check_known(name, key_file, error))
        return NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        const Key *key = &keys[i];
        g_autofree char *text = g_key_file_get_value(key_file, key->group, key->key, NULL);
        g_autofree char *wanted = NULL;

        if (!text && key->fallback)
            continue;
        if (may_be_blank && !key->fallback && (!text || !*g_strstrip(text)))
            continue;
        if (!text) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG,
                        "%s: [%s] %s is missing; it has no default", name, key->group, key->key);
            return NULL;
        }
        wanted = value_complaint(key, g_strstrip(text));
        if (wanted) {
            g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG, "%s: [%s] %s: \"%s\" is not %s", name,
                        key->group, key->key, text, wanted);
            return NULL;
        }
        store(config, key, text);
    }
    return g_steal_pointer(&config);
}

MigConfig *
mig_config_parse(const char *name, const char *data, gsize length, GError **error)
{
    return parse(name, data, length, FALSE, error);
}

MigConfig *
mig_config_load(const char *path, GError **error)
{
    gsize length = 0;
    g_autoptr(GError) bad = NULL;
    g_autofree char *data = mig_io_read_file(path, MIG_CONFIG_MAX_BYTES, &length, &bad);

    if (!data) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG, "%s", bad->message);
        return NULL;
    }
    return mig_config_parse(path, data, length, error);
}

/* ---- a node that is in no cluster yet ---- */

char *
mig_config_complaint(const char *group, const char *key, const char *value)
{
    const Key *found = find_key(group, key);

    g_assert(found);
    return value_complaint(found, value);
}

gboolean
mig_config_is_blank(const char *path)
{
    g_autoptr(MigConfig) config = NULL;

    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return TRUE;
    config = mig_config_load_blank(path, NULL);
    return config && !config->node_name && config->host_id == 0;
}

MigConfig *
mig_config_load_blank(const char *path, GError **error)
{
    g_autofree char *data = NULL;
    gsize length = 0;

    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return mig_config_new();
    data = mig_io_read_file(path, MIG_CONFIG_MAX_BYTES, &length, error);
    return data ? parse(path, data, length, TRUE, error) : NULL;
}

gboolean
mig_config_set(const char *path, const MigConfigValue *values, GError **error)
{
    g_autoptr(GKeyFile) key_file = g_key_file_new();
    g_autoptr(GError) bad = NULL;
    g_autoptr(MigConfig) check = NULL;
    g_autofree char *data = NULL, *folder = g_path_get_dirname(path);
    gsize length = 0;

    if (!g_key_file_load_from_file(key_file, path, G_KEY_FILE_KEEP_COMMENTS, &bad) &&
        !g_error_matches(bad, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        g_set_error(error, MIG_ERROR, MIG_ERROR_CONFIG, "%s: %s", path, bad->message);
        return FALSE;
    }
    for (; values->group; values++) {
        /* an empty one keeps its place, and the comment above it */
        if (values->value)
            g_key_file_set_value(key_file, values->group, values->key, values->value);
        else if (g_key_file_has_key(key_file, values->group, values->key, NULL))
            g_key_file_set_value(key_file, values->group, values->key, "");
    }
    data = g_key_file_to_data(key_file, &length, NULL);
    check = parse(path, data, length, TRUE, error);
    return check && mig_io_make_dir(folder, 0755, error) &&
           mig_io_write_file(path, data, length, 0644, error);
}

gboolean
mig_config_describe(guint n, const char **group, const char **key, const char **fallback)
{
    if (n >= G_N_ELEMENTS(keys))
        return FALSE;
    *group = keys[n].group;
    *key = keys[n].key;
    *fallback = keys[n].fallback;
    return TRUE;
}
