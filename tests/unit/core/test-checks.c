/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-checks.c - each check passes for good facts, and fails for the one fact that it is about. */
#include "core/checks.h"

static const MigSourceFacts good_source = {.vm = "web",
                                           .node = "A",
                                           .domain = MIG_DOMAIN_RUNNING,
                                           .lease_owner = "A",
                                           .target = "B",
                                           .is_target_known = TRUE,
                                           .is_target_up = TRUE,
                                           .encrypts = TRUE,
                                           .target_encrypts = TRUE};
static const MigTargetFacts good_target = {.vm = "web",
                                           .node = "B",
                                           .volume = "vol",
                                           .is_volume_attached = TRUE,
                                           .domain = MIG_DOMAIN_ABSENT,
                                           .memory_needed_bytes = 1000,
                                           .memory_free_bytes = 1500,
                                           .memory_reserved_bytes = 500,
                                           .cpu_vendor = "AMD",
                                           .source_cpu_vendor = "AMD",
                                           .migration = "10.0.1.2/24",
                                           .source_migration = "10.0.1.1/24",
                                           .source = "A",
                                           .encrypts = TRUE,
                                           .source_encrypts = TRUE};

/* Exactly the named checks fail (NULL: none), and each says what it found and what to do. */
static void
expect(GPtrArray *checks, const char *failing, guint count)
{
    const MigCheck *first = mig_checks_first_failure(checks);
    guint failed = 0;

    g_assert_cmpuint(checks->len, ==, count);
    for (guint i = 0; i < checks->len; i++) {
        const MigCheck *check = g_ptr_array_index(checks, i);

        g_assert_nonnull(check->name);
        g_assert_nonnull(check->text);
        g_assert_true((check->verdict == MIG_VERDICT_PASS) == (check->advice == NULL));
        failed += check->verdict == MIG_VERDICT_FAIL;
    }
    g_assert_cmpuint(failed, ==, failing ? 1 : 0);
    g_assert_cmpstr(first ? first->name : NULL, ==, failing);
}

static void
expect_source(MigSourceFacts facts, const char *failing, guint count)
{
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);

    mig_checks_source(&facts, checks);
    expect(checks, failing, count);
}

static void
expect_target(MigTargetFacts facts, const char *failing, guint count)
{
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);

    mig_checks_target(&facts, checks);
    expect(checks, failing, count);
}

#define SOURCE(member, value, failing, count) \
    do {                                      \
        MigSourceFacts facts = good_source;   \
        facts.member = value;                 \
        expect_source(facts, failing, count); \
    } while (0)
#define TARGET(member, value, failing, count) \
    do {                                      \
        MigTargetFacts facts = good_target;   \
        facts.member = value;                 \
        expect_target(facts, failing, count); \
    } while (0)

static void
test_source(void)
{
    expect_source(good_source, NULL, 5);
    SOURCE(domain, MIG_DOMAIN_PAUSED, "vm-runs-here", 5);
    SOURCE(domain, MIG_DOMAIN_ABSENT, "vm-runs-here", 5);
    SOURCE(domain, MIG_DOMAIN_INCOMING, "vm-runs-here", 5);
    SOURCE(domain, MIG_DOMAIN_UNKNOWN, "vm-runs-here", 5);
    SOURCE(lease_owner, NULL, "lease-held-here", 5);
    SOURCE(lease_owner, "B", "lease-held-here", 5);
    SOURCE(lease_owner, "AA", "lease-held-here", 5);
    SOURCE(is_target_known, FALSE, "target-known", 3);
    SOURCE(is_target_up, FALSE, "target-up", 5);
    SOURCE(encrypts, FALSE, "encryption", 5);
    SOURCE(target_encrypts, FALSE, "encryption", 5);
    SOURCE(encryption_problem, "no key", "encryption", 5);
}

static void
test_target(void)
{
    expect_target(good_target, NULL, 8);
    TARGET(is_draining, TRUE, "target-not-draining", 8);
    TARGET(is_volume_attached, FALSE, "volume-attached", 7);
    TARGET(missing_image, "vol/disk", "images-found", 8);
    TARGET(domain, MIG_DOMAIN_RUNNING, "name-free", 8);
    TARGET(domain, MIG_DOMAIN_PAUSED, "name-free", 8);
    TARGET(domain, MIG_DOMAIN_INCOMING, "name-free", 8);
    TARGET(domain, MIG_DOMAIN_UNKNOWN, "name-free", 8);
    TARGET(memory_needed_bytes, 1001, "memory-fits", 8);
    TARGET(memory_free_bytes, 1499, "memory-fits", 8);
    TARGET(memory_reserved_bytes, 501, "memory-fits", 8);
    TARGET(memory_reserved_bytes, G_MAXUINT64, "memory-fits", 8); /* and does not wrap */
    TARGET(uuid_owner, "other", "name-free", 8);
    TARGET(hugepage_bytes, 2 << 20, NULL, 8);
    {
        MigTargetFacts facts = good_target;

        facts.hugepage_bytes = 2 << 20;
        facts.memory_free_bytes = 1499;
        expect_target(facts, "hugepages-fit", 8);
    }
    TARGET(cpu_vendor, "Intel", "cpu-vendor", 8);
    TARGET(cpu_vendor, NULL, "cpu-vendor", 8);
    TARGET(source_cpu_vendor, NULL, "cpu-vendor", 8);
    TARGET(migration, NULL, "migration-subnet", 8);
    TARGET(source_migration, NULL, "migration-subnet", 8);
    TARGET(migration, "10.0.2.2/24", "migration-subnet", 8);
    TARGET(encrypts, FALSE, "encryption", 8);
    TARGET(source_encrypts, FALSE, "encryption", 8);
    TARGET(encryption_problem, "no key", "encryption", 8);
}

/* Clear text is allowed where both ends have said so, and is never silent. */
static void
test_clear_text(void)
{
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);
    MigSourceFacts source = good_source;
    MigTargetFacts target = good_target;

    source.encrypts = source.target_encrypts = target.encrypts = target.source_encrypts = FALSE;
    mig_checks_source(&source, checks);
    expect(checks, NULL, 5);
    mig_checks_target(&target, checks);
    expect(checks, NULL, 13);
    for (guint i = 4; i < checks->len; i += 8) {
        const MigCheck *check = g_ptr_array_index(checks, i);

        g_assert_cmpstr(check->name, ==, "encryption");
        g_assert_cmpint(check->verdict, ==, MIG_VERDICT_WARN);
    }
}

/* ---- the guest ---- */

#define S(text) ((char *)(text))

static MigNeeds needs;
static MigFit fit;
static MigHostCpu source_cpu, target_cpu;
static char *empty[] = {NULL};

static void
good_guest(MigGuestFacts *facts)
{
    needs = (MigNeeds){.emulator = S("/usr/bin/qemu"),
                       .arch = S("x86_64"),
                       .machine = S("pc"),
                       .virt_type = S("kvm"),
                       .cpu_mode = MIG_CPU_MODEL,
                       .bridges = empty,
                       .networks = empty,
                       .cards = empty,
                       .media = empty,
                       .host_devices = empty,
                       .local_files = empty};
    fit = (MigFit){.has_emulator = TRUE, .has_machine = TRUE, .cpu = MIG_CPU_FITS};
    source_cpu = (MigHostCpu){.vendor = S("AMD"),
                              .features = S("EPYC 25/1 aes"),
                              .microcode = S("7"),
                              .emulator_version = 7002};
    target_cpu = source_cpu;
    *facts = (MigGuestFacts){.vm = "web",
                             .node = "A",
                             .target = "B",
                             .needs = &needs,
                             .fit = &fit,
                             .source_cpu = &source_cpu,
                             .target_cpu = &target_cpu};
}

static MigVerdict
verdict_of(const GPtrArray *checks, const char *name)
{
    for (guint i = 0; i < checks->len; i++) {
        const MigCheck *check = g_ptr_array_index(checks, i);

        if (g_str_equal(check->name, name))
            return check->verdict;
    }
    g_test_message("no check %s", name);
    g_assert_not_reached();
}

/* The change makes that check what it shall be, and all others pass. */
#define GUEST(change, name, wanted)                                            \
    do {                                                                       \
        g_autoptr(GPtrArray) checks =                                          \
            g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);    \
        MigGuestFacts facts;                                                   \
                                                                               \
        good_guest(&facts);                                                    \
        change;                                                                \
        mig_checks_guest(&facts, checks);                                      \
        g_assert_cmpint(verdict_of(checks, name), ==, wanted);                 \
        expect(checks, wanted == MIG_VERDICT_FAIL ? name : NULL, checks->len); \
    } while (0)

static void
test_guest(void)
{
    static char *some[] = {S("this"), S("that"), NULL};
    static const char *const missing[] = {"bridge br0", NULL};

    GUEST(, "cpu-fits", MIG_VERDICT_PASS);
    GUEST(needs.host_devices = some, "no-host-devices", MIG_VERDICT_FAIL);
    GUEST(needs.local_files = some, "no-local-files", MIG_VERDICT_FAIL);
    GUEST(fit.has_emulator = FALSE, "emulator-found", MIG_VERDICT_FAIL);
    GUEST(fit.has_machine = FALSE, "machine-known", MIG_VERDICT_FAIL);
    GUEST(facts.missing_networks = missing, "networks-found", MIG_VERDICT_FAIL);
    GUEST(needs.bridges = some, "networks-found", MIG_VERDICT_PASS);
    GUEST(needs.media = some, "media-found", MIG_VERDICT_PASS);
    GUEST((needs.media = some, facts.missing_media = missing), "media-found", MIG_VERDICT_FAIL);
    GUEST(needs.numa_nodes = S("0-1"), "numa-fits", MIG_VERDICT_PASS);
    GUEST((needs.numa_nodes = S("0-1"), fit.numa_problem = S("has one")), "numa-fits",
          MIG_VERDICT_FAIL);
    GUEST(fit.cpu = MIG_CPU_INCOMPATIBLE, "cpu-fits", MIG_VERDICT_FAIL);
    GUEST(fit.cpu = MIG_CPU_NOT_COMPARED, "cpu-fits", MIG_VERDICT_WARN);
}

/* A warning only where the policy relies on it. */
static void
test_postcopy(void)
{
    static const struct {
        MigPolicyKind policy;
        const char *problem;
        MigVerdict verdict;
        gboolean can;
    } cases[] = {
        {MIG_POLICY_UNSET, NULL, MIG_VERDICT_PASS, TRUE},
        {MIG_POLICY_FAST, "no userfaultfd", MIG_VERDICT_PASS, FALSE},
        {MIG_POLICY_MUST_FINISH, "no userfaultfd", MIG_VERDICT_WARN, FALSE},
        {MIG_POLICY_GENTLE, "no userfaultfd", MIG_VERDICT_PASS, FALSE},
        {MIG_POLICY_GENTLE, NULL, MIG_VERDICT_PASS, TRUE},
        {MIG_POLICY_NEVER_POSTCOPY, NULL, MIG_VERDICT_PASS, FALSE},
        {MIG_POLICY_NEVER_POSTCOPY, "no userfaultfd", MIG_VERDICT_PASS, FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) checks =
            g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);

        g_assert_true(mig_checks_postcopy("web", "B", cases[i].policy, cases[i].problem, checks) ==
                      cases[i].can);
        g_assert_cmpuint(checks->len, ==, 1);
        g_assert_cmpint(((MigCheck *)checks->pdata[0])->verdict, ==, cases[i].verdict);
    }
}

static void
test_own_cpu(void)
{
    GUEST((needs.cpu_mode = MIG_CPU_DEFAULT, target_cpu.features = S("other")), "cpu-fits",
          MIG_VERDICT_PASS);
    for (MigCpuMode mode = MIG_CPU_PASSTHROUGH; mode <= MIG_CPU_MAXIMUM; mode++) {
        GUEST(needs.cpu_mode = mode, "cpu-fits", MIG_VERDICT_PASS);
        GUEST((needs.cpu_mode = mode, target_cpu.features = S("EPYC 25/1")), "cpu-fits",
              MIG_VERDICT_FAIL);
        GUEST((needs.cpu_mode = mode, target_cpu.features = source_cpu.features = NULL), "cpu-fits",
              MIG_VERDICT_FAIL);
        GUEST((needs.cpu_mode = mode, target_cpu.microcode = NULL), "cpu-fits", MIG_VERDICT_WARN);
        GUEST((needs.cpu_mode = mode, target_cpu.emulator_version++), "cpu-fits", MIG_VERDICT_WARN);
        /* emulated: QEMU is the CPU */
        GUEST(
            (needs.cpu_mode = mode, needs.virt_type = S("qemu"), target_cpu.features = S("other")),
            "cpu-fits", MIG_VERDICT_PASS);
        GUEST((needs.cpu_mode = mode, needs.virt_type = S("qemu"), target_cpu.emulator_version++),
              "cpu-fits", MIG_VERDICT_FAIL);
    }
}

static void
test_around(void)
{
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func((GDestroyNotify)mig_check_free);

    mig_checks_pair(NULL, "A", "B", checks);
    mig_checks_idle("web", NULL, checks);
    expect(checks, NULL, 2);
    mig_checks_pair("move A-1", "A", "B", checks);
    expect(checks, NULL, 3);
    g_assert_cmpint(((MigCheck *)checks->pdata[2])->verdict, ==, MIG_VERDICT_WARN);
    mig_checks_no_answer("B", "is away", checks);
    expect(checks, "target-answers", 4);
    g_ptr_array_set_size(checks, 0);
    mig_checks_idle("web", "is moved", checks);
    expect(checks, "vm-idle", 1);
}

static void
test_cpu_fit_names(void)
{
    for (int i = MIG_CPU_FITS; i <= MIG_CPU_NOT_COMPARED; i++)
        g_assert_cmpint(mig_cpu_fit_from_name(mig_cpu_fit_name(i)), ==, i);
    g_assert_cmpint(mig_cpu_fit_from_name(NULL), ==, MIG_CPU_INCOMPATIBLE);
    g_assert_cmpint(mig_cpu_fit_from_name("FITS"), ==, MIG_CPU_INCOMPATIBLE);
}

static void
test_subnet(void)
{
    static const struct {
        const char *a, *b;
        gboolean same;
    } cases[] = {
        {"10.0.1.1/24", "10.0.1.2/24", TRUE},
        {"10.0.1.1/24", "10.0.1.1/24", TRUE},
        {"10.0.1.0/24", "10.0.1.255/24", TRUE},
        {"10.0.1.255/24", "10.0.2.0/24", FALSE},
        {"10.0.1.1/24", "10.0.1.2/25", FALSE}, /* one of them is wrong */
        {"10.0.1.127/25", "10.0.1.128/25", FALSE},
        {"10.0.0.1/23", "10.0.1.1/23", TRUE},
        {"10.0.1.1/32", "10.0.1.1/32", TRUE},
        {"10.0.1.1/32", "10.0.1.2/32", FALSE},
        {"10.0.1.0/31", "10.0.1.1/31", TRUE},
        {"10.0.1.1/31", "10.0.1.2/31", FALSE},
        {"10.0.1.1/1", "127.0.0.1/1", TRUE},
        {"127.0.0.1/1", "128.0.0.1/1", FALSE},
        {"10.0.1.1/0", "10.0.1.2/0", FALSE},
        {"10.0.1.1/33", "10.0.1.1/33", FALSE},
        {"10.0.1.1/-1", "10.0.1.1/-1", FALSE},
        {"10.0.1.1/24x", "10.0.1.1/24x", FALSE},
        {"10.0.1.1/ 24", "10.0.1.1/ 24", FALSE},
        {"10.0.1.1/24/24", "10.0.1.1/24/24", FALSE},
        {"10.0.1.1/", "10.0.1.1/", FALSE},
        {"/24", "/24", FALSE},
        {"10.0.1.1", "10.0.1.1", FALSE},
        {"10.0.1/24", "10.0.1/24", FALSE},
        {"10.0.1.256/24", "10.0.1.256/24", FALSE},
        {"fe80::1/64", "fe80::2/64", FALSE},
        {"", "", FALSE},
        {NULL, NULL, FALSE},
        {NULL, "10.0.1.1/24", FALSE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s and %s", cases[i].a, cases[i].b);
        g_assert_true(mig_same_subnet(cases[i].a, cases[i].b) == cases[i].same);
        g_assert_true(mig_same_subnet(cases[i].b, cases[i].a) == cases[i].same);
    }
}

static void
test_verdicts(void)
{
    for (int i = MIG_VERDICT_PASS; i <= MIG_VERDICT_FAIL; i++)
        g_assert_cmpint(mig_verdict_from_name(mig_verdict_name(i)), ==, i);
    g_assert_cmpint(mig_verdict_from_name("PASS"), ==, MIG_VERDICT_FAIL);
    g_assert_cmpint(mig_verdict_from_name(NULL), ==, MIG_VERDICT_FAIL);
    mig_check_free(NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/checks/source", test_source);
    g_test_add_func("/checks/target", test_target);
    g_test_add_func("/checks/clear-text", test_clear_text);
    g_test_add_func("/checks/guest", test_guest);
    g_test_add_func("/checks/own-cpu", test_own_cpu);
    g_test_add_func("/checks/around", test_around);
    g_test_add_func("/checks/cpu-fit-names", test_cpu_fit_names);
    g_test_add_func("/checks/subnet", test_subnet);
    g_test_add_func("/checks/verdicts", test_verdicts);
    g_test_add_func("/checks/postcopy", test_postcopy);
    return g_test_run();
}
