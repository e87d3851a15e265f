/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-relations.c - what contradicts itself is refused, and nothing else. */
#include "core/relations.h"

static MigVm *
vm(const char *name, const char *affinity, const char *anti_affinity, const char *start_after)
{
    MigVm *made = g_new0(MigVm, 1);

    made->name = g_strdup(name);
    made->affinity = affinity ? g_strsplit(affinity, ",", -1) : NULL;
    made->anti_affinity = anti_affinity ? g_strsplit(anti_affinity, ",", -1) : NULL;
    made->start_after = start_after ? g_strsplit(start_after, ",", -1) : NULL;
    return made;
}

static void
test_complaints(void)
{
    static const struct {
        const char *affinity, *anti_affinity, *start_after, *complaint;
    } cases[] = {
        {NULL, NULL, NULL, NULL},
        {"db", "mail", "db,mail", NULL},
        {"gone", "gone2", "gone3", NULL},
        {"web", NULL, NULL, "itself"},
        {NULL, "db,web", NULL, "itself"},
        {NULL, NULL, "web", "itself"},
        {"db", "db", NULL, "both with and apart from db"},
        {"far", NULL, NULL, "both with and apart from far"},
        {NULL, "near", NULL, "near, which is to be with it"},
        {NULL, NULL, "app", "after itself"},
        {NULL, NULL, "circle", NULL}, /* not its own, and looking ends */
    };
    g_autoptr(GPtrArray) vms = g_ptr_array_new_with_free_func((GDestroyNotify)mig_vm_free);

    g_ptr_array_add(vms, vm("web", "mail", "mail", "web")); /* its past does not matter */
    g_ptr_array_add(vms, vm("db", NULL, NULL, NULL));
    g_ptr_array_add(vms, vm("mail", NULL, NULL, "db"));
    g_ptr_array_add(vms, vm("far", NULL, "web", NULL));
    g_ptr_array_add(vms, vm("near", "web", NULL, NULL));
    g_ptr_array_add(vms, vm("app", NULL, NULL, "mid"));
    g_ptr_array_add(vms, vm("mid", NULL, NULL, "db,web"));
    g_ptr_array_add(vms, vm("circle", NULL, NULL, "circle2"));
    g_ptr_array_add(vms, vm("circle2", NULL, NULL, "circle"));
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(MigVm) web =
            vm("web", cases[i].affinity, cases[i].anti_affinity, cases[i].start_after);
        g_autofree char *complaint = mig_relations_complaint(web, vms);

        g_test_message("case %u: %s", i, complaint ? complaint : "fine");
        g_assert_cmpint(complaint != NULL, ==, cases[i].complaint != NULL);
        if (complaint)
            g_assert_nonnull(strstr(complaint, cases[i].complaint));
    }
}

static void
test_set(void)
{
    g_autoptr(MigVm) web = vm("web", "a", "b", "c");

    g_assert_true(mig_relations_set(web, "affinity", g_strsplit("x,y", ",", -1)));
    g_assert_true(mig_relations_set(web, "anti_affinity", NULL));
    g_assert_false(mig_relations_set(web, "prefer", NULL));
    g_assert_cmpstr(web->affinity[1], ==, "y");
    g_assert_null(web->anti_affinity);
    g_assert_cmpstr(web->start_after[0], ==, "c");
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/relations/complaints", test_complaints);
    g_test_add_func("/relations/set", test_set);
    return g_test_run();
}
