/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-config.c - migrated.conf: defaults, ranges, typos, and the shipped file. */

#include "base/config.h"
#include "base/error.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

#define REQUIRED \
    "[node]\nname=nodeA\nhost_id=1\n[network]\nmanagement=10.77.0.1\nmigration=10.77.1.1/24\n"

static MigConfig *
parse(const char *text, GError **error)
{
    return mig_config_parse("test.conf", text, strlen(text), error);
}

static void
test_required_only(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigConfig) config = parse(REQUIRED, &error);

    g_assert_no_error(error);
    g_assert_cmpstr(config->node_name, ==, "nodeA");
    g_assert_cmpint(config->host_id, ==, 1);
    g_assert_cmpstr(config->management, ==, "10.77.0.1");
    g_assert_cmpstr(config->migration, ==, "10.77.1.1/24");
    g_assert_cmpint(config->port, ==, 7420);
    g_assert_cmpstr(config->socket_path, ==, "/run/migrated/socket");
    g_assert_cmpstr(config->state_dir, ==, "/var/lib/migrated");
    g_assert_cmpstr(config->run_dir, ==, "/run/migrated");
    g_assert_cmpstr(config->libvirt_uri, ==, "qemu:///system");
    g_assert_cmpint(config->max_moves_per_node, ==, 2);
    g_assert_cmpint(config->default_max_downtime_ms, ==, 300);
    g_assert_cmpstr(config->default_policy, ==, "fast");
    g_assert_nonnull(config->volume_devices);
    g_assert_null(config->volume_devices[0]);
}

static void
test_all_set(void)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(MigConfig) config =
        parse("# comment\n[node]\n name = n-1.x \nhost_id=250\n[network]\nmanagement=fd00::1\n"
              "migration=fd00:1::1/64\nport=1\n[volumes]\ndevices=/dev/a; /dev/b;\n"
              "[moves]\nmax_per_node=64\ntimeout_s=0\n",
              &error);

    g_assert_no_error(error);
    g_assert_cmpstr(config->node_name, ==, "n-1.x");
    g_assert_cmpint(config->host_id, ==, 250);
    g_assert_cmpint(g_strv_length(config->volume_devices), ==, 2);
    g_assert_cmpstr(config->volume_devices[1], ==, "/dev/b");
    g_assert_cmpint(config->max_moves_per_node, ==, 64);
}

/* Behind REQUIRED; a repeated group goes on where it was. Each must be refused, and the message
 * must hold file, and both fragments. */
static const struct {
    const char *text, *fragment, *fragment2;
} bad[] = {
    {"[nodes]\nname=x\n", "[nodes]", "[node]"},
    {"[move]\nmax_per_node=1\n", "[move]", "[moves]"},
    {"[moves]\nmax_per_nodes=1\n", "max_per_nodes", "\"max_per_node\" in [moves]"},
    {"[node]\nhostid=2\n", "hostid", "\"host_id\" in [node]"},
    {"[node]\nport=2\n", "port", "\"port\" in [network]"},
    {"[network]\nmigrations=x\n", "migrations", "\"migration\""},
    {"[node]\nhost_id=0\n", "[node] host_id", "1 to 250"},
    {"[node]\nhost_id=251\n", "[node] host_id", "1 to 250"},
    {"[node]\nhost_id=-1\n", "[node] host_id", "1 to 250"},
    {"[node]\nhost_id=\n", "[node] host_id", "1 to 250"},
    {"[node]\nhost_id=1x\n", "[node] host_id", "\"1x\""},
    {"[node]\nhost_id=99999999999999999999\n", "[node] host_id", "1 to 250"},
    {"[node]\nhost_id=0x10\n", "[node] host_id", "1 to 250"},
    {"[node]\nname=\n", "[node] name", "letters"},
    {"[node]\nname=a/b\n", "[node] name", "\"a/b\""},
    {"[node]\nname=a b\n", "[node] name", "letters"},
    {"[node]\nname=.a\n", "[node] name", "letters"},
    {"[node]\nname=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n", "[node] name", "47"},
    {"[network]\nport=0\n", "[network] port", "1 to 65535"},
    {"[network]\nport=65536\n", "[network] port", "1 to 65535"},
    {"[network]\nmanagement=host.example\n", "management", "IP address"},
    {"[network]\nmanagement=10.0.0.1/24\n", "management", "IP address"},
    {"[network]\nmanagement=10.0.0.256\n", "management", "IP address"},
    {"[network]\nmigration=10.0.0.1\n", "migration", "prefix length"},
    {"[network]\nmigration=10.0.0.1/33\n", "migration", "prefix length"},
    {"[network]\nmigration=10.0.0.1/0\n", "migration", "prefix length"},
    {"[network]\nmigration=fd00::/129\n", "migration", "prefix length"},
    {"[network]\nmigration=10.0.0.1/24/1\n", "migration", "prefix length"},
    {"[paths]\nsocket=run/socket\n", "[paths] socket", "absolute"},
    {"[paths]\nstate_dir=\n", "[paths] state_dir", "absolute"},
    {"[libvirt]\nuri=\n", "[libvirt] uri", "something"},
    {"[volumes]\ndevices=sdb\n", "[volumes] devices", "absolute"},
    {"[moves]\nmax_per_node=0\n", "max_per_node", "1 to 64"},
    {"[moves]\nmax_per_node=65\n", "max_per_node", "1 to 64"},
    {"[moves]\npolicy=hasty\n", "\"hasty\"", "must-finish"},
    {"[moves]\nmax_downtime_ms=0\n", "max_downtime_ms", "1 to 60000"},
    {"[moves]\nmax_downtime_ms=60001\n", "max_downtime_ms", "1 to 60000"},
    {"nonsense\n", "nonsense", ""},
};

static void
test_bad(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *text = g_strconcat(REQUIRED, bad[i].text, NULL);

        g_test_message("%s", bad[i].text);
        g_assert_null(parse(text, &error));
        g_assert_error(error, MIG_ERROR, MIG_ERROR_CONFIG);
        g_assert_nonnull(strstr(error->message, "test.conf"));
        g_assert_nonnull(strstr(error->message, bad[i].fragment));
        g_assert_nonnull(strstr(error->message, bad[i].fragment2));
        g_assert_null(strchr(error->message, '\n'));
    }
}

static void
test_socket_length(void)
{
    g_autofree char *longest = g_strnfill(106, 'x');
    g_autofree char *fits = g_strconcat(REQUIRED "[paths]\nsocket=/", longest, NULL);
    g_autofree char *too_long = g_strconcat(fits, "x", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(MigConfig) config = parse(fits, &error);

    g_assert_no_error(error);
    g_assert_nonnull(config);
    g_assert_null(parse(too_long, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_CONFIG);
}

static void
test_missing(void)
{
    static const char *const lines[] = {"name=nodeA\n", "host_id=1\n", "management=10.77.0.1\n",
                                        "migration=10.77.1.1/24\n"};

    for (gsize i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GString) text = g_string_new(REQUIRED);
        g_autofree char *key = g_strndup(lines[i], strcspn(lines[i], "="));

        g_string_replace(text, lines[i], "", 1);
        g_assert_null(parse(text->str, &error));
        g_assert_error(error, MIG_ERROR, MIG_ERROR_CONFIG);
        g_assert_nonnull(strstr(error->message, key));
    }
    {
        g_autoptr(GError) error = NULL;

        g_assert_null(parse("", &error));
        g_assert_error(error, MIG_ERROR, MIG_ERROR_CONFIG);
        g_clear_error(&error);
        g_assert_null(mig_config_load("/no/such/file", &error));
        g_assert_error(error, MIG_ERROR, MIG_ERROR_CONFIG);
        g_assert_nonnull(strstr(error->message, "/no/such/file"));
    }
}

/* The shipped file shows every key once, "#key=default", and the required ones "key=example". */
static void
test_shipped(void)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autofree char *group = NULL;
    const char *known_group, *key, *fallback;

    g_assert_true(g_file_get_contents(g_getenv("MIGRATED_CONF"), &text, NULL, &error));
    g_assert_no_error(error);
    lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        const char *line = lines[i][0] == '#' ? lines[i] + 1 : lines[i];
        const char *equals = strchr(line, '=');

        if (line[0] == '[') {
            g_free(group);
            group = g_strndup(line + 1, strcspn(line + 1, "]"));
        } else if (equals && !g_ascii_isspace(line[0])) {
            g_assert_true(g_hash_table_insert(
                seen, g_strdup_printf("%s/%.*s", group, (int)(equals - line), line),
                g_strdup(equals + 1)));
        }
    }
    for (guint n = 0; mig_config_describe(n, &known_group, &key, &fallback); n++) {
        g_autofree char *name = g_strdup_printf("%s/%s", known_group, key);
        const char *shown = g_hash_table_lookup(seen, name);

        g_test_message("%s", name);
        g_assert_nonnull(shown);
        if (fallback)
            g_assert_cmpstr(shown, ==, fallback);
        g_hash_table_remove(seen, name);
    }
    g_assert_cmpint(g_hash_table_size(seen), ==, 0);
}

/* What a node writes as it comes into a cluster, and takes out again as it leaves. */
static void
test_set(void)
{
    static const MigConfigValue in[] = {{"node", "name", "nodeB"},
                                        {"node", "host_id", "7"},
                                        {"network", "management", "10.0.0.2"},
                                        {"network", "port", "7500"},
                                        {"network", "migration", "10.0.1.2/24"},
                                        {NULL}};
    static const MigConfigValue out[] = {
        {"node", "name", NULL},          {"node", "host_id", NULL},
        {"network", "management", NULL}, {"network", "migration", NULL},
        {"volumes", "devices", NULL},    {NULL}};
    static const MigConfigValue wrong[] = {{"node", "host_id", "251"}, {NULL}};
    g_autoptr(GError) error = NULL;
    g_autofree char *dir = g_dir_make_tmp("mig-config-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "etc", "migrated.conf", NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *shipped = NULL, *text = NULL, *again = NULL;
    g_autoptr(MigConfig) config = NULL, left = NULL;

    /* none: the node is in no cluster, and one is made */
    g_assert_true(mig_config_is_blank(path));
    g_assert_true(mig_config_set(path, in, &error));
    g_assert_no_error(error);
    g_assert_false(mig_config_is_blank(path));
    config = mig_config_load(path, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(config->node_name, ==, "nodeB");
    g_assert_cmpint(config->host_id, ==, 7);
    g_assert_cmpint(config->port, ==, 7500);
    /* the shipped one keeps its comments, and all that was not named */
    g_assert_true(g_file_get_contents(g_getenv("MIGRATED_CONF"), &shipped, NULL, NULL));
    g_assert_true(g_file_set_contents(path, shipped, -1, NULL));
    g_assert_true(mig_config_is_blank(path));
    g_assert_true(mig_config_set(path, in, &error));
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_nonnull(strstr(text, "# How this node is called, the same on every volume."));
    g_assert_nonnull(strstr(text, "#max_per_node=2\n"));
    g_assert_nonnull(strstr(text, "\nname=nodeB\n"));
    /* refused as a whole */
    g_assert_false(mig_config_set(path, wrong, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_CONFIG);
    g_clear_error(&error);
    g_assert_true(g_file_get_contents(path, &again, NULL, NULL));
    g_assert_cmpstr(again, ==, text);
    /* and out: the port stays, who this is goes */
    g_assert_true(mig_config_set(path, out, &error));
    g_assert_true(mig_config_is_blank(path));
    left = mig_config_load_blank(path, &error);
    g_assert_no_error(error);
    g_assert_null(left->node_name);
    g_assert_cmpint(left->port, ==, 7500);
    g_assert_cmpint(remove(path) + remove(folder) + remove(dir), ==, 0);
}

/* Half a node is a mistake, not a node in no cluster. */
static void
test_blank(void)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("mig-config-XXXXXX", &path, NULL);

    g_assert_true(g_file_set_contents(path, "[node]\nname=a\nhost_id=\n", -1, NULL));
    g_assert_false(mig_config_is_blank(path));
    g_assert_true(g_file_set_contents(path, "[node]\nhost_id=1\n", -1, NULL));
    g_assert_false(mig_config_is_blank(path));
    g_assert_true(g_file_set_contents(path, "[nod]\n", -1, NULL));
    g_assert_false(mig_config_is_blank(path)); /* what is wrong with it must be said */
    g_assert_true(g_file_set_contents(path, "[node]\nname=\n[limits]\nconnections=99\n", -1, NULL));
    g_assert_true(mig_config_is_blank(path));
    g_close(fd, NULL);
    remove(path);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/config/required-only", test_required_only);
    g_test_add_func("/config/all-set", test_all_set);
    g_test_add_func("/config/bad", test_bad);
    g_test_add_func("/config/socket-length", test_socket_length);
    g_test_add_func("/config/missing", test_missing);
    g_test_add_func("/config/shipped-file", test_shipped);
    g_test_add_func("/config/set", test_set);
    g_test_add_func("/config/blank", test_blank);
    return g_test_run();
}
