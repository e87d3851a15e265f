/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-fence-agent.c - only what an agent has confirmed is a fence. */
#include "drivers/fence-agent.h"

#include "base/error.h"
#include "base/io.h"
#include "unfence.h"

#include <glib/gstdio.h>
#include <string.h>

static char *dir;

/* An agent: a script that has read its options into $in. */
static char *
make_agent(const char *name, const char *body)
{
    char *path = g_build_filename(dir, name, NULL);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\nin=$(cat)\n%s\n", body);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(g_chmod(path, 0700), ==, 0);
    return path;
}

static GPtrArray *
load(const char *text, int mode, GError **error)
{
    g_autofree char *path = g_build_filename(dir, "n1.conf", NULL);
    gboolean is_missing;

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(g_chmod(path, mode), ==, 0);
    return mig_fence_levels(dir, "n1", &is_missing, error);
}

/* What is_due is asked: how often, and when it begins to say no. */
typedef struct {
    guint asked, allowed;
} Due;

static gboolean
is_due(gpointer data, GError **error)
{
    Due *due = data;

    if (++due->asked <= due->allowed)
        return TRUE;
    g_set_error(error, MIG_ERROR, MIG_ERROR_FAILED, "it is back");
    return FALSE;
}

static void
expect_due(const char *text, guint allowed, gboolean fenced, const char *said)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) levels = load(text, 0600, &error);
    g_autofree char *level = NULL;
    Due due = {.allowed = allowed};
    gboolean ok;

    g_assert_no_error(error);
    ok = mig_fence_node(levels, NULL, NULL, "n1", 4000, is_due, &due, &level, &error);
    g_test_message("%s", ok ? level : error->message);
    g_assert_cmpint(ok, ==, fenced);
    g_assert_nonnull(strstr(ok ? level : error->message, said));
    g_assert_cmpuint(due.asked, <=, allowed + 1); /* a no is the last word */
}

static void
expect(const char *text, gboolean fenced, const char *said)
{
    expect_due(text, G_MAXUINT - 1, fenced, said);
}

static void
test_confirmed(void)
{
    g_autofree char *good = make_agent(
        "good", "case \"$in\" in *action=status*) exit 2;; esac; echo \"$in\" >\"$0.in\"");
    g_autofree char *still_on = make_agent("still-on", "exit 0");
    g_autofree char *fails = make_agent("fails", "echo no such plug >&2; exit 1");
    g_autofree char *hangs = make_agent("hangs", "sleep 60 & sleep 60");
    g_autofree char *deaf = make_agent("deaf", "kill -9 $$");
    g_autofree char *seen = g_strconcat(good, ".in", NULL);
    g_autofree char *one = g_strdup_printf("[a]\nagent=%s\nip=10.0.0.1\nplug=3\n", good);
    g_autofree char *on = g_strdup_printf("[a]\nagent=%s\n", still_on);
    g_autofree char *reboot = g_strdup_printf("[a]\nagent=%s\naction=reboot\n", still_on);
    g_autofree char *bad = g_strdup_printf("[a]\nagent=%s\n", fails);
    g_autofree char *slow = g_strdup_printf("[a]\nagent=%s\n", hangs);
    g_autofree char *dead = g_strdup_printf("[a]\nagent=%s\n", deaf);
    g_autofree char *none = g_strdup("[a]\nagent=/nonexistent/agent\n");
    g_autofree char *all =
        g_strdup_printf("[x]\nagent=%s\n[y]\nagent=%s\n[z]\nagent=%s\n", fails, hangs, good);
    g_autofree char *input = NULL;
    gint64 began_us = g_get_monotonic_time();

    expect(one, TRUE, "a (");
    g_assert_true(g_file_get_contents(seen, &input, NULL, NULL));
    g_assert_cmpstr(input, ==, "ip=10.0.0.1\nplug=3\naction=off\n");
    expect(on, FALSE, "still on"); /* "off" succeeded, and status says on */
    expect(reboot, TRUE, "a (");
    expect(bad, FALSE, "no such plug");
    expect(slow, FALSE, "was killed");
    expect(dead, FALSE, "signal 9");
    expect(none, FALSE, "cannot run");
    expect(all, TRUE, "z ("); /* the first level that is confirmed */
    g_assert_cmpint(g_get_monotonic_time() - began_us, <, 40 * G_USEC_PER_SEC);
}

/* A level can hang for a minute, and the node be back meanwhile: the next one leaves it alone. */
static void
test_back_between_levels(void)
{
    g_autofree char *fails = make_agent("fails2", "echo no such plug >&2; exit 1");
    g_autofree char *good = make_agent(
        "good2", "case \"$in\" in *action=status*) exit 2;; esac; echo \"$in\" >\"$0.in\"");
    g_autofree char *seen = g_strconcat(good, ".in", NULL);
    g_autofree char *two = g_strdup_printf("[x]\nagent=%s\n[y]\nagent=%s\n", fails, good);
    g_autofree char *three =
        g_strdup_printf("[x]\nagent=%s\n[y]\nagent=%s\n[z]\nagent=%s\n", fails, fails, good);
    g_autofree char *one = g_strdup_printf("[y]\nagent=%s\n", good);

    expect_due(two, 0, FALSE, "[y] is not tried: it is back");
    expect_due(three, 1, FALSE, "[z] is not tried: it is back");
    g_assert_false(g_file_test(seen, G_FILE_TEST_EXISTS));
    expect_due(two, 1, TRUE, "y (");
    expect_due(one, 0, TRUE, "y ("); /* the first was asked about by whoever fences */
}

/* "on" is run for the levels that say so, and for no other; what fails is told. */
static void
test_unfence(void)
{
    g_autofree char *good = make_agent("good3", "echo \"$in\" >>\"$0.in\"");
    g_autofree char *fails = make_agent("fails3", "echo no such key >&2; exit 1");
    g_autofree char *seen = g_strconcat(good, ".in", NULL);
    g_autofree char *text = g_strdup_printf(
        "[pdu]\nagent=%s\n[lun]\nagent=%s\nkey=a1\nunfence=yes\n[bmc]\nagent=%s\nunfence=no\n",
        fails, good, fails);
    g_autofree char *bad = g_strdup_printf("[lun]\nagent=%s\nunfence=yes\n", fails);
    g_autofree char *input = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) levels = load(text, 0600, &error);

    g_assert_no_error(error);
    g_assert_true(mig_fence_unfence(levels, 4000, &error));
    g_assert_no_error(error);
    g_assert_true(g_file_get_contents(seen, &input, NULL, NULL));
    g_assert_cmpstr(input, ==, "key=a1\naction=on\n");
    g_ptr_array_unref(levels);
    levels = load(bad, 0600, &error);
    g_assert_no_error(error);
    g_assert_false(mig_fence_unfence(levels, 4000, &error));
    g_assert_nonnull(strstr(error->message, "no such key"));
    g_assert_nonnull(strstr(error->message, "[lun]"));
}

/* An agent that knows keys by files, as a LUN does: "on", "off" and "status" of the key it is told.
 */
#define KEYS                                                                  \
    "k=$0.$(echo \"$in\" | sed -n 's/^key=//p')\n"                            \
    "case \"$in\" in *action=off*) rm -f \"$k\";; *action=on*) : >\"$k\";;\n" \
    "*) [ -e \"$k\" ] || exit 2;; esac"

/* What takes keys off a LUN proves something only of a node that was seen to have one. */
static void
test_in_force(void)
{
    g_autofree char *keys = make_agent("keys", KEYS);
    g_autofree char *own_key = g_strconcat(keys, ".a1", NULL);
    g_autofree char *key = g_strconcat(keys, ".b2", NULL);
    g_autofree char *text = g_strdup_printf("[lun]\nagent=%s\nkey=b2\nunfence=yes\n", keys);
    g_autofree char *slip = g_strdup_printf("[lun]\nagent=%s\nkey=b3\nunfence=yes\n", keys);
    g_autofree char *mine = g_strdup_printf("[lun]\nagent=%s\nkey=a1\nunfence=yes\n", keys);
    g_autofree char *other = g_strdup_printf("[x]\nagent=%s\nkey=a1\nunfence=yes\n", keys);
    g_autoptr(GPtrArray) levels = load(text, 0600, NULL);
    g_autoptr(GPtrArray) wrong = load(slip, 0600, NULL);
    g_autoptr(GPtrArray) own = load(mine, 0600, NULL);
    g_autoptr(GPtrArray) unlike = load(other, 0600, NULL);
    g_autoptr(GHashTable) shown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) anew = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GError) none = NULL, lost = NULL, named = NULL, back = NULL, error = NULL;
    g_autoptr(GError) unseen = NULL, off = NULL;
    Due due = {.allowed = 99}, is_back = {.allowed = 0};

    g_assert_true(mig_fence_unfence(levels, 4000, NULL));
    g_assert_true(mig_fence_unfence(own, 4000, NULL));
    g_assert_false(mig_fence_node(levels, NULL, shown, "n1", 4000, is_due, &due, NULL, &none));
    g_assert_nonnull(strstr(none->message, "unfence=yes"));
    g_assert_false(mig_fence_node(levels, unlike, shown, "n1", 4000, is_due, &due, NULL, &named));
    g_assert_true(mig_fence_can(levels, own));
    g_assert_false(mig_fence_can(levels, unlike));

    /* a key that nobody has is "off", and no sign that anybody is */
    g_assert_false(mig_fence_node(wrong, own, shown, "n1", 4000, is_due, &due, NULL, &unseen));
    g_assert_nonnull(strstr(unseen->message, "before anything was done"));
    g_assert_true(g_file_test(key, G_FILE_TEST_EXISTS));

    /* those looks took a while */
    g_assert_false(mig_fence_node(levels, own, shown, "n1", 4000, is_due, &is_back, NULL, &back));
    g_assert_nonnull(strstr(back->message, "it is back"));
    g_assert_true(g_file_test(key, G_FILE_TEST_EXISTS));

    g_assert_true(mig_fence_node(levels, own, shown, "n1", 4000, is_due, &due, NULL, &error));
    g_assert_no_error(error);
    g_assert_false(g_file_test(key, G_FILE_TEST_EXISTS));

    /* once more: it was seen to be in, in this life of it, and the LUN has not forgotten all */
    g_assert_true(mig_fence_node(levels, own, shown, "n1", 4000, is_due, &due, NULL, &error));
    g_assert_no_error(error);
    g_assert_false(mig_fence_node(levels, own, anew, "n1", 4000, is_due, &due, NULL, &off));
    g_assert_nonnull(strstr(off->message, "before anything was done"));
    g_assert_cmpint(g_remove(own_key), ==, 0);
    g_assert_false(mig_fence_node(levels, own, shown, "n1", 4000, is_due, &due, NULL, &lost));
    g_assert_nonnull(strstr(lost->message, "nobody is cut off"));
}

/* As fence_scsi: a key is there that is on any of the devices, "off" of one that is off is done,
 * and one that the agent finds no reservation on fails. */
#define SEVERAL                                                                      \
    "k=$(echo \"$in\" | sed -n 's/^key=//p')\nany=\nbad=\n"                          \
    "for d in $(echo \"$in\" | sed -n 's/^devices=//p' | tr , ' '); do f=$0.$d.$k\n" \
    "[ ! -e \"$f\" ] || any=1\n"                                                     \
    "case \"$in\" in *action=off*) [ -e \"$0.$d.a1\" ] || bad=1; rm -f \"$f\";;\n"   \
    "*action=on*) : >\"$f\";; esac; done\n"                                          \
    "case \"$in\" in *action=off*) [ -z \"$any\" ] || [ -z \"$bad\" ] || exit 1;;\n" \
    "*action=status*) [ \"$any\" ] || exit 2;; esac"

/* One of two LUNs has forgotten all keys: nobody is cut off of that, and a second try must not
 * take for done what the first one has half done. */
static void
test_forgotten(void)
{
    g_autofree char *agent = make_agent("several", SEVERAL);
    g_autofree char *gone = g_strconcat(agent, ".lun1.a1", NULL);
    g_autofree char *their = g_strconcat(agent, ".lun1.b2", NULL);
    g_autofree char *text =
        g_strdup_printf("[lun]\nagent=%s\nkey=b2\ndevices=lun0,lun1\nunfence=yes\n", agent);
    g_autofree char *mine =
        g_strdup_printf("[lun]\nagent=%s\nkey=a1\ndevices=lun0,lun1\nunfence=yes\n", agent);
    g_autoptr(GPtrArray) levels = load(text, 0600, NULL);
    g_autoptr(GPtrArray) own = load(mine, 0600, NULL);
    g_autoptr(GHashTable) shown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GError) error = NULL;
    Due due = {.allowed = 99};

    g_assert_true(mig_fence_unfence(levels, 4000, NULL));
    g_assert_true(mig_fence_unfence(own, 4000, NULL));
    g_assert_cmpint(g_remove(gone), ==, 0);
    g_assert_cmpint(g_remove(their), ==, 0);
    for (guint i = 0; i < 3; i++) {
        g_autoptr(GError) refused = NULL;

        g_assert_false(
            mig_fence_node(levels, own, shown, "n1", 4000, is_due, &due, NULL, &refused));
        g_assert_nonnull(strstr(refused->message, "nobody is cut off"));
        g_assert_nonnull(strstr(refused->message, "lun1"));
    }
    g_assert_true(mig_fence_unfence(own, 4000, NULL)); /* and they write there again */
    g_assert_true(mig_fence_node(levels, own, shown, "n1", 4000, is_due, &due, NULL, &error));
    g_assert_no_error(error);
}

/* One key for two nodes: to fence the one would cut off the other. */
static void
test_same_key(void)
{
    g_autofree char *path = g_build_filename(dir, "n2.conf", NULL);
    g_autoptr(GError) same = NULL, unlike = NULL;
    g_autoptr(GPtrArray) levels = NULL, none = NULL;

    g_assert_true(g_file_set_contents(path, "[x]\nagent=a\nkey=B2\nunfence=yes\n", -1, NULL));
    g_assert_cmpint(g_chmod(path, 0600), ==, 0);
    none = load("[lun]\nkey=0x0b2\nagent=a\naptpl=1\nunfence=yes\n", 0600, &same);
    g_assert_null(none);
    g_assert_nonnull(strstr(same->message, "n2.conf"));
    levels = load("[lun]\nagent=a\nkey=b3\nunfence=yes\n", 0600, &unlike);
    g_assert_no_error(unlike);
    g_assert_cmpint(g_remove(path), ==, 0);
}

static void
save(const char *text)
{
    g_autoptr(GPtrArray) levels = load(text, 0600, NULL);
}

static guint
lines_in(const char *path)
{
    g_autofree char *text = NULL;
    guint lines = 0;

    if (!g_file_get_contents(path, &text, NULL, NULL))
        return 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

/* At each start of the host, never while what ran before may be there, and only by what is still
 * said. */
static void
test_once(void)
{
    g_autofree char *agent = make_agent("good5", "echo >>\"$0.ran\"");
    g_autofree char *ran = g_strconcat(agent, ".ran", NULL);
    g_autofree char *text = g_strdup_printf("[lun]\nagent=%s\nkey=a1\nunfence=yes\n", agent);
    g_autofree char *more = g_strdup_printf("[lun]\nagent=%s\nkey=c3\nunfence=yes\n", agent);
    g_autofree char *member = g_build_filename(dir, "member", NULL);
    g_autofree char *mark = g_build_filename(dir, "unfenced", NULL);
    g_autofree char *volume = g_build_filename(member, "some-uuid", NULL);
    g_autofree char *boot = mig_io_boot_id();
    g_autofree char *then = g_strconcat(boot, "-before", NULL);
    g_autofree char *run_dir = g_build_filename(dir, "run", NULL);
    g_autofree char *begun = g_build_filename(run_dir, "begun", NULL);
    MigConfig config = {
        .state_dir = dir, .run_dir = run_dir, .fence_dir = dir, .fence_timeout_s = 4};
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) unmarked = NULL, marked = NULL, changed = NULL;

    g_assert_true(mig_unfence(&config, "n9", &error)); /* it has no file */
    g_assert_true(mig_unfence_note_attached(&config, &error));
    g_assert_no_error(error);
    save(text); /* and gets one when volumes may be attached, though nothing else tells of these */
    g_test_expect_message(G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "*next start*");
    g_assert_true(mig_unfence(&config, "n1", &error));
    g_test_assert_expected_messages();
    g_assert_cmpuint(lines_in(ran), ==, 0);
    g_assert_cmpint(g_remove(begun), ==, 0);
    save("[lun]\nagent=x\nunfence=maybe\n");
    g_assert_false(mig_unfence(&config, "n1", &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_CONFIG);
    g_clear_error(&error);
    save(text);
    g_assert_null((unmarked = mig_unfence_done(&config, "n1")));

    /* a volume of this start of the host is in the way, one of an earlier one is not */
    g_assert_cmpint(g_mkdir(member, 0700), ==, 0);
    g_assert_true(g_file_set_contents(volume, boot, -1, NULL));
    g_test_expect_message(G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "*next start*");
    g_assert_true(mig_unfence(&config, "n1", &error));
    g_test_assert_expected_messages();
    g_assert_cmpuint(lines_in(ran), ==, 0);
    g_assert_true(g_file_set_contents(volume, then, -1, NULL));
    g_assert_true(mig_unfence(&config, "n1", &error));
    g_assert_cmpuint(lines_in(ran), ==, 1);
    g_assert_nonnull((marked = mig_unfence_done(&config, "n1")));

    /* once more while nothing is attached: a fence of its life of before may have come late */
    g_assert_true(mig_unfence(&config, "n1", &error));
    g_assert_cmpuint(lines_in(ran), ==, 2);
    g_assert_true(g_file_set_contents(volume, boot, -1, NULL));
    g_assert_true(mig_unfence(&config, "n1", &error));
    g_assert_cmpuint(lines_in(ran), ==, 2);

    save(more); /* not by that one */
    g_assert_null((changed = mig_unfence_done(&config, "n1")));
    g_test_expect_message(G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "*next start*");
    g_assert_true(mig_unfence(&config, "n1", &error));
    g_test_assert_expected_messages();
    g_assert_no_error(error);
    g_assert_cmpuint(lines_in(ran), ==, 2);
    g_assert_cmpint(g_remove(mark), ==, 0);
}

static void
test_config(void)
{
    static const char *const refused[] = {
        "",
        "[a]\nip=1\n",
        "[a]\nagent=\n",
        "[a]\nagent=../x\n",
        "[a]\nagent=x\naction=on\n",
        "junk",
        "[a]\nagent=x\nunfence=maybe\n",
        "[a]\nagent=fence_scsi\nkey=1\n",
        "[a]\nagent=/usr/sbin/fence_mpath\nkey=1\nunfence=no\n",
    };
    g_autoptr(GError) writable = NULL, missing = NULL;
    gboolean is_missing = FALSE;

    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autoptr(GError) error = NULL;

        g_assert_null(load(refused[i], 0600, &error));
        g_assert_error(error, MIG_ERROR, MIG_ERROR_CONFIG);
    }
    g_assert_null(load("[a]\nagent=x\n", 0620, &writable));
    g_assert_error(writable, MIG_ERROR, MIG_ERROR_CONFIG);
    g_assert_null(mig_fence_levels(dir, "n2", &is_missing, &missing));
    g_assert_true(is_missing);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("fence-XXXXXX", NULL);
    g_test_add_func("/fence-agent/confirmed", test_confirmed);
    g_test_add_func("/fence-agent/back-between-levels", test_back_between_levels);
    g_test_add_func("/fence-agent/unfence", test_unfence);
    g_test_add_func("/fence-agent/in-force", test_in_force);
    g_test_add_func("/fence-agent/forgotten", test_forgotten);
    g_test_add_func("/fence-agent/same-key", test_same_key);
    g_test_add_func("/fence-agent/once", test_once);
    g_test_add_func("/fence-agent/config", test_config);
    int status = g_test_run();
    g_autofree char *remove = g_strdup_printf("rm -rf '%s'", dir);

    return g_spawn_command_line_sync(remove, NULL, NULL, NULL, NULL) ? status : 1;
}
