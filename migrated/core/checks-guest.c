/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checks-guest.c - the rules about what the guest is made of, and what it finds at the target. */
#include "core/checks.h"

#include "core/policy.h"

static void
add(GPtrArray *checks, const char *name, MigVerdict verdict, char *text_take, const char *advice)
{
    g_ptr_array_add(checks, mig_check_new(name, verdict, text_take, advice));
}

static MigVerdict
fails_unless(gboolean passes)
{
    return passes ? MIG_VERDICT_PASS : MIG_VERDICT_FAIL;
}

static gboolean
is_empty(const char *const *list)
{
    return !list || !list[0];
}

/* "a, b" */
static char *
joined(const char *const *list)
{
    return list ? g_strjoinv(", ", (char **)list) : g_strdup("");
}

/* ---- what stays behind ---- */

static void
check_ties(const MigGuestFacts *facts, GPtrArray *checks)
{
    const char *const *devices = (const char *const *)facts->needs->host_devices;
    const char *const *files = (const char *const *)facts->needs->local_files;
    g_autofree char *device_list = joined(devices), *file_list = joined(files);

    add(checks, "no-host-devices", fails_unless(is_empty(devices)),
        is_empty(devices) ? g_strdup_printf("%s has no device of %s", facts->vm, facts->node)
                          : g_strdup_printf("%s has %s", facts->vm, device_list),
        "take the device away from it first ('virsh detach-device'), or stop it and start it "
        "there");
    add(checks, "no-local-files", fails_unless(is_empty(files)),
        is_empty(files)
            ? g_strdup_printf("%s uses no file that is on %s alone", facts->vm, facts->node)
            : g_strdup_printf("%s uses %s", facts->vm, file_list),
        "bring it onto a volume ('migratectl image import'), or take it away from the VM");
}

/* ---- machine and CPU ---- */

static const char *
or_default(const char *text)
{
    return text ? text : "default";
}

/* The host's own CPU is more than anybody's list of it says: microcode, and what the kernel makes
 * of both. So equal lists are needed, and where more is known to differ that is told. "maximum"
 * under emulation hangs on QEMU alone. */
static void
check_same_cpu(const MigGuestFacts *facts, GPtrArray *checks)
{
    const MigHostCpu *here = facts->source_cpu, *there = facts->target_cpu;
    gboolean is_emulated = g_strcmp0(facts->needs->virt_type, "qemu") == 0;
    const char *mode =
        facts->needs->cpu_mode == MIG_CPU_PASSTHROUGH ? "host-passthrough" : "maximum";
    gboolean is_same = is_emulated || (here->features && there->features &&
                                       g_str_equal(here->features, there->features));
    gboolean is_same_emulator = here->emulator_version == there->emulator_version;
    MigVerdict verdict = MIG_VERDICT_PASS;
    const char *what = "the same";

    if (!is_same || (is_emulated && !is_same_emulator)) {
        verdict = MIG_VERDICT_FAIL;
        what = is_same ? "their QEMUs differ" : "their CPUs differ";
    } else if (!is_same_emulator ||
               (!is_emulated && g_strcmp0(here->microcode, there->microcode))) {
        verdict = MIG_VERDICT_WARN;
        what = is_same_emulator ? "the CPUs are the same, their microcode is not"
                                : "the CPUs are the same, the QEMUs are not";
    }
    add(checks, "cpu-fits", verdict,
        g_strdup_printf("%s has the CPU of its host (%s); of %s and %s: %s", facts->vm, mode,
                        facts->node, facts->target, what),
        "give the VM a named CPU model ('migratectl cpu baseline') and restart it");
}

static void
check_cpu(const MigGuestFacts *facts, GPtrArray *checks)
{
    const MigFit *fit = facts->fit;

    switch (facts->needs->cpu_mode) {
    case MIG_CPU_DEFAULT:
        add(checks, "cpu-fits", MIG_VERDICT_PASS,
            g_strdup_printf("%s has the CPU that QEMU gives to %s, the same everywhere", facts->vm,
                            or_default(facts->needs->machine)),
            NULL);
        return;
    case MIG_CPU_PASSTHROUGH:
    case MIG_CPU_MAXIMUM:
        check_same_cpu(facts, checks);
        return;
    case MIG_CPU_MODEL:
        break;
    }
    if (fit->cpu == MIG_CPU_FITS)
        add(checks, "cpu-fits", MIG_VERDICT_PASS,
            g_strdup_printf("libvirt on %s accepts the CPU of %s", facts->target, facts->vm), NULL);
    else
        add(checks, "cpu-fits",
            fit->cpu == MIG_CPU_INCOMPATIBLE ? MIG_VERDICT_FAIL : MIG_VERDICT_WARN,
            g_strdup_printf("libvirt on %s: %s", facts->target,
                            fit->cpu_problem ? fit->cpu_problem : "the CPU cannot be compared"),
            "give the VM the model that 'migratectl cpu baseline' prints, and restart it");
}

static void
check_machine(const MigGuestFacts *facts, GPtrArray *checks)
{
    const MigNeeds *needs = facts->needs;
    const MigFit *fit = facts->fit;

    add(checks, "emulator-found", fails_unless(fit->has_emulator),
        g_strdup_printf("%s %s %s on %s", facts->vm, fit->has_emulator ? "finds" : "needs",
                        or_default(needs->emulator), facts->target),
        "install the same QEMU there");
    if (!fit->has_emulator)
        return;
    add(checks, "machine-known", fails_unless(fit->has_machine),
        fit->has_machine
            ? g_strdup_printf("%s on %s knows machine %s (%s, %s)", needs->emulator, facts->target,
                              or_default(needs->machine), or_default(needs->arch),
                              or_default(needs->virt_type))
            : g_strdup_printf("machine %s (%s, %s) on %s: %s", or_default(needs->machine),
                              or_default(needs->arch), or_default(needs->virt_type), facts->target,
                              fit->machine_problem ? fit->machine_problem : "not known"),
        "bring QEMU on the target to the version of the source, or give the VM an older machine "
        "type and restart it");
    if (fit->has_machine)
        check_cpu(facts, checks);
}

/* ---- NUMA ---- */

static void
check_numa(const MigGuestFacts *facts, GPtrArray *checks)
{
    const char *problem = facts->fit->numa_problem;

    if (facts->needs->numa_nodes)
        add(checks, "numa-fits", fails_unless(problem == NULL),
            g_strdup_printf("%s is bound to NUMA nodes %s; %s %s", facts->vm,
                            facts->needs->numa_nodes, facts->target,
                            problem ? problem : "has room there"),
            "free memory on these nodes, or loosen the <numatune> of the VM and restart it");
}

/* ---- what it is plugged into ---- */

static void
check_plugs(const MigGuestFacts *facts, GPtrArray *checks)
{
    const MigNeeds *needs = facts->needs;
    gboolean has_any = needs->bridges[0] || needs->networks[0] || needs->cards[0];
    const char *const *missing = facts->missing_networks;
    g_autofree char *list = joined(missing);

    add(checks, "networks-found", fails_unless(is_empty(missing)),
        !is_empty(missing) ? g_strdup_printf("%s lacks %s", facts->target, list)
        : has_any          ? g_strdup_printf("%s has every network of %s", facts->target, facts->vm)
                           : g_strdup_printf("%s is on no network of its host", facts->vm),
        "make it there, with the same name and up");
    if (needs->media[0]) {
        g_autofree char *media = joined(facts->missing_media);

        add(checks, "media-found", fails_unless(is_empty(facts->missing_media)),
            is_empty(facts->missing_media)
                ? g_strdup_printf("%s has the read-only media of %s", facts->target, facts->vm)
                : g_strdup_printf("%s does not have %s", facts->target, media),
            "eject it ('virsh change-media VM TARGET --eject'), or put the same file there");
    }
}

void
mig_checks_guest(const MigGuestFacts *facts, GPtrArray *checks)
{
    check_ties(facts, checks);
    check_machine(facts, checks);
    check_numa(facts, checks);
    check_plugs(facts, checks);
}

/* ---- around ---- */

void
mig_checks_pair(const char *waits_for, const char *source, const char *target, GPtrArray *checks)
{
    add(checks, "pair-free", waits_for ? MIG_VERDICT_WARN : MIG_VERDICT_PASS,
        waits_for ? g_strdup_printf("a move would wait for %s", waits_for)
                  : g_strdup_printf("nothing moves between %s and %s", source, target),
        "nothing: the move waits for its turn; see 'migratectl job list'");
}

void
mig_checks_no_answer(const char *target, const char *why, GPtrArray *checks)
{
    add(checks, "target-answers", MIG_VERDICT_FAIL,
        g_strdup_printf("%s cannot be asked: %s", target, why),
        "see the migrated there ('systemctl status migrated'), and that it is of this version");
}

void
mig_checks_idle(const char *vm, const char *why, GPtrArray *checks)
{
    add(checks, "vm-idle", why ? MIG_VERDICT_FAIL : MIG_VERDICT_PASS,
        why ? g_strdup(why) : g_strdup_printf("no job has %s", vm),
        "wait until that is over; see 'migratectl job list'");
}

/* ---- post-copy ---- */

gboolean
mig_checks_postcopy(const char *vm, const char *target, MigPolicyKind policy, const char *problem,
                    GPtrArray *checks)
{
    const MigPolicyRule *rule = mig_policy_rule(policy);
    /* who must finish would have to stand still instead; the others give up in time, as ever */
    gboolean is_missed = problem && policy == MIG_POLICY_MUST_FINISH;
    char *text;

    if (!rule->allows_postcopy)
        text = g_strdup_printf("policy %s: %s is not moved that way", mig_policy_kind_name(policy),
                               vm);
    else if (problem)
        text = g_strdup_printf("%s cannot receive that way: %s", target, problem);
    else
        text = g_strdup_printf("%s can receive that way, should %s not converge", target, vm);
    add(checks, "postcopy", is_missed ? MIG_VERDICT_WARN : MIG_VERDICT_PASS, text,
        "let QEMU there catch page faults: 'migratectl setup' there sets "
        "vm.unprivileged_userfaultfd=1, which 'sysctl --system' then makes so");
    return rule->allows_postcopy && !problem;
}
