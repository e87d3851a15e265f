/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-hook.c - each rule of core/hook.h alone, and all combinations of facts for what must hold.
 */
#include "core/hook.h"

#include "base/error.h"

#include <string.h>

#define UUID "5a1f0c3e-6f0c-4d3b-9c59-2f6c8c1f7f11"

/* A move by hand that breaks no rule. */
static const MigHookFacts good = {.op = MIG_HOOK_OP_MIGRATE,
                                  .domain = "web",
                                  .uuid = UUID,
                                  .lockspace = "vol1",
                                  .lease = "web",
                                  .node = "nodeB",
                                  .is_attached = TRUE,
                                  .defined_uuid = UUID,
                                  .owner = "nodeA",
                                  .is_owner_known = TRUE};

static void
refused(const MigHookFacts *facts, MigErrorCode code, const char *text)
{
    g_autoptr(GError) error = NULL;

    g_assert_cmpint(mig_hook_decide(facts, &error), ==, MIG_HOOK_REFUSE);
    g_assert_error(error, MIG_ERROR, (int)code);
    if (!strstr(error->message, text))
        g_error("'%s' does not say '%s'", error->message, text);
    g_assert_null(strchr(error->message, '\n'));
}

#define REFUSED(code, text, ...)                 \
    do {                                         \
        MigHookFacts facts = good;               \
        __VA_ARGS__;                             \
        refused(&facts, MIG_ERROR_##code, text); \
    } while (0)

static void
test_rules(void)
{
    g_assert_cmpint(mig_hook_decide(&good, NULL), ==, MIG_HOOK_FOLLOW);
    REFUSED(CHECK_REFUSED, "no lease", facts.lockspace = facts.lease = NULL);
    REFUSED(VOLUME_UNKNOWN, "not attached on nodeB", facts.is_attached = FALSE);
    REFUSED(CHECK_REFUSED, "does not answer", facts.is_lost = TRUE);
    REFUSED(VM_UNKNOWN, "no VM web is defined", facts.defined_uuid = NULL);
    REFUSED(CHECK_REFUSED, "keeps its name", facts.domain = "other");
    REFUSED(CHECK_REFUSED, "not the VM of that name", facts.uuid = "another");
    REFUSED(CHECK_REFUSED, "not the VM of that name", facts.uuid = NULL);
    REFUSED(CHECK_REFUSED, "cannot be read", facts.is_owner_known = FALSE);
    REFUSED(CHECK_REFUSED, "only a running VM moves", facts.owner = NULL);
    REFUSED(LEASE_HELD, "runs on nodeB", facts.owner = "nodeB");
    REFUSED(LEASE_HELD, "runs on nodeA", facts.op = MIG_HOOK_OP_PREPARE);
    REFUSED(CHECK_REFUSED, "'migratectl vm start web --node nodeB'", facts.op = MIG_HOOK_OP_PREPARE,
            facts.owner = NULL);
    /* a start of our own does not let a move in */
    MigHookFacts starting = good;

    starting.is_starting = TRUE;
    g_assert_cmpint(mig_hook_decide(&starting, NULL), ==, MIG_HOOK_FOLLOW);
}

/* What comes from the XML is shown in a terminal. */
static void
test_escapes(void)
{
    REFUSED(CHECK_REFUSED, "\\x1b", facts.lockspace = facts.lease = NULL,
            facts.domain = "a\x1b[31m\n");
}

/* Everything a bit can be: own is always let pass, and nothing else ever gets a QEMU without a job
 * of the node that has the lease. */
static void
test_all(void)
{
    static const char *const owners[] = {NULL, "nodeA", "nodeB"};

    for (guint bits = 0; bits < 1u << 9; bits++) {
        for (guint i = 0; i < G_N_ELEMENTS(owners); i++) {
            MigHookFacts facts = good;
            g_autoptr(GError) error = NULL;

            facts.op = bits & 1 ? MIG_HOOK_OP_PREPARE : MIG_HOOK_OP_MIGRATE;
            facts.is_coming = (bits >> 1) & 1;
            facts.is_starting = (bits >> 2) & 1;
            facts.is_attached = (bits >> 3) & 1;
            facts.is_lost = (bits >> 4) & 1;
            facts.defined_uuid = (bits >> 5) & 1 ? UUID : NULL;
            facts.is_owner_known = (bits >> 6) & 1;
            facts.lockspace = (bits >> 7) & 1 ? "vol1" : NULL;
            facts.domain = (bits >> 8) & 1 ? "web" : "other";
            facts.owner = owners[i];
            switch (mig_hook_decide(&facts, &error)) {
            case MIG_HOOK_ALLOW:
                g_assert_true(facts.is_coming || (facts.is_starting && (bits & 1)));
                break;
            case MIG_HOOK_FOLLOW:
                g_assert_cmpint(facts.op, ==, MIG_HOOK_OP_MIGRATE);
                g_assert_cmpstr(facts.owner, ==, "nodeA");
                g_assert_true(facts.is_attached && !facts.is_lost && facts.defined_uuid &&
                              facts.lockspace && facts.is_owner_known && (bits >> 8) & 1);
                break;
            case MIG_HOOK_REFUSE:
                g_assert_nonnull(error);
                g_assert_false(facts.is_coming);
                break;
            default:
                g_assert_not_reached();
            }
        }
    }
}

static void
test_ops(void)
{
    static const char *const passed[] = {"start",  "started", "stopped", "reconnect",
                                         "attach", "restore", "",        "Migrate"};
    MigHookOp op;

    g_assert_true(mig_hook_op_from_name("migrate", &op));
    g_assert_cmpint(op, ==, MIG_HOOK_OP_MIGRATE);
    g_assert_true(mig_hook_op_from_name("prepare", &op));
    g_assert_cmpint(op, ==, MIG_HOOK_OP_PREPARE);
    g_assert_true(mig_hook_op_from_name("release", &op));
    g_assert_cmpint(op, ==, MIG_HOOK_OP_RELEASE);
    for (guint i = 0; i < G_N_ELEMENTS(passed); i++)
        g_assert_false(mig_hook_op_from_name(passed[i], &op));
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/hook/rules", test_rules);
    g_test_add_func("/hook/escapes", test_escapes);
    g_test_add_func("/hook/all", test_all);
    g_test_add_func("/hook/ops", test_ops);
    return g_test_run();
}
