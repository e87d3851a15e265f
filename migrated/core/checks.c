/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* checks.c - the rules of checks.h, one after the other. */
#include "core/checks.h"

#include <arpa/inet.h>

MigCheck *
mig_check_new(const char *name, MigVerdict verdict, char *text_take, const char *advice)
{
    MigCheck *check = g_new0(MigCheck, 1);

    check->name = g_strdup(name);
    check->verdict = verdict;
    check->text = text_take;
    check->advice = verdict == MIG_VERDICT_PASS ? NULL : g_strdup(advice);
    return check;
}

void
mig_check_free(MigCheck *check)
{
    if (!check)
        return;
    g_free(check->name);
    g_free(check->text);
    g_free(check->advice);
    g_free(check);
}

static const char *const verdict_names[] = {"pass", "warn", "fail"};

const char *
mig_verdict_name(MigVerdict verdict)
{
    return verdict_names[verdict];
}

MigVerdict
mig_verdict_from_name(const char *name)
{
    /* what cannot be read counts as a failure */
    return g_strcmp0(name, "pass") == 0   ? MIG_VERDICT_PASS
           : g_strcmp0(name, "warn") == 0 ? MIG_VERDICT_WARN
                                          : MIG_VERDICT_FAIL;
}

const MigCheck *
mig_checks_first_failure(const GPtrArray *checks)
{
    for (guint i = 0; i < checks->len; i++) {
        const MigCheck *check = g_ptr_array_index(checks, i);
        if (check->verdict == MIG_VERDICT_FAIL)
            return check;
    }
    return NULL;
}

static void
add(GPtrArray *checks, const char *name, gboolean passes, char *text_take, const char *advice)
{
    g_ptr_array_add(checks, mig_check_new(name, passes ? MIG_VERDICT_PASS : MIG_VERDICT_FAIL,
                                          text_take, advice));
}

/* Said at both ends: by the source before it waits for its turn, by the target when it is ready.
 * Clear text is for those only who have said so at both. */
static void
check_encryption(GPtrArray *checks, const char *here, gboolean encrypts, const char *there,
                 gboolean other_encrypts, const char *problem)
{
    if (encrypts != other_encrypts)
        add(checks, "encryption", FALSE,
            g_strdup_printf("%s encrypts the memory of VMs on the move, %s does not",
                            encrypts ? here : there, encrypts ? there : here),
            "give [moves] encrypt the same value on both, or update the one that is too old to "
            "know it");
    else if (!encrypts)
        g_ptr_array_add(checks,
                        mig_check_new("encryption", MIG_VERDICT_WARN,
                                      g_strdup_printf("memory goes between %s and %s in clear text",
                                                      here, there),
                                      "[moves] encrypt=yes on both encrypts it"));
    else
        add(checks, "encryption", problem == NULL,
            problem ? g_strdup_printf("%s cannot encrypt: %s", here, problem)
                    : g_strdup_printf("memory goes between %s and %s encrypted", here, there),
            "see 'migratectl setup --check' there; nothing is sent in clear text instead");
}

void
mig_checks_source(const MigSourceFacts *facts, GPtrArray *checks)
{
    add(checks, "vm-runs-here", facts->domain == MIG_DOMAIN_RUNNING,
        g_strdup_printf("%s is %s on %s", facts->vm, mig_domain_state_name(facts->domain),
                        facts->node),
        "only a running VM moves; see 'migratectl vm show'");
    add(checks, "lease-held-here", g_strcmp0(facts->lease_owner, facts->node) == 0,
        g_strdup_printf("lease of %s is held by %s", facts->vm,
                        facts->lease_owner ? facts->lease_owner : "nobody"),
        "a VM that runs without its lease is given it again within seconds; see 'migratectl why', "
        "and "
        "try again");
    add(checks, "target-known", facts->is_target_known,
        g_strdup_printf("%s %s a node of the volume", facts->target,
                        facts->is_target_known ? "is" : "is not"),
        "see 'migratectl node list'");
    if (facts->is_target_known)
        add(checks, "target-up", facts->is_target_up,
            g_strdup_printf("%s %s", facts->target,
                            facts->is_target_up ? "is up" : "gives no sign of life"),
            "see 'migratectl node show', and its migrated and its path to the LUN");
    if (facts->is_target_known)
        check_encryption(checks, facts->node, facts->encrypts, facts->target,
                         facts->target_encrypts, facts->encryption_problem);
}

gboolean
mig_same_subnet(const char *a, const char *b)
{
    g_auto(GStrv) left = a ? g_strsplit(a, "/", 2) : NULL;
    g_auto(GStrv) right = b ? g_strsplit(b, "/", 2) : NULL;
    struct in_addr left_address, right_address;
    guint64 left_prefix, right_prefix;

    if (!left || !right || g_strv_length(left) != 2 || g_strv_length(right) != 2 ||
        inet_pton(AF_INET, left[0], &left_address) != 1 ||
        inet_pton(AF_INET, right[0], &right_address) != 1 ||
        !g_ascii_string_to_unsigned(left[1], 10, 1, 32, &left_prefix, NULL) ||
        !g_ascii_string_to_unsigned(right[1], 10, 1, 32, &right_prefix, NULL) ||
        left_prefix != right_prefix)
        return FALSE;

    guint32 mask = htonl((guint32)(G_MAXUINT64 << (32 - left_prefix)));

    return (left_address.s_addr & mask) == (right_address.s_addr & mask);
}

static void
check_memory(const MigTargetFacts *facts, GPtrArray *checks)
{
    guint64 left = facts->memory_free_bytes > facts->memory_reserved_bytes
                       ? facts->memory_free_bytes - facts->memory_reserved_bytes
                       : 0;
    g_autofree char *needed =
        g_format_size_full(facts->memory_needed_bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *available = g_format_size_full(left, G_FORMAT_SIZE_IEC_UNITS);

    if (facts->hugepage_bytes) {
        g_autofree char *page = g_format_size_full(facts->hugepage_bytes, G_FORMAT_SIZE_IEC_UNITS);

        add(checks, "hugepages-fit", facts->memory_needed_bytes <= left,
            g_strdup_printf("%s needs %s in pages of %s, %s has %s of them free", facts->vm, needed,
                            page, facts->node, available),
            "reserve more huge pages there (vm.nr_hugepages)");
        return;
    }
    add(checks, "memory-fits", facts->memory_needed_bytes <= left,
        g_strdup_printf("%s needs %s, %s has %s free", facts->vm, needed, facts->node, available),
        "move something else away from the target first, or choose another one");
}

void
mig_checks_target(const MigTargetFacts *facts, GPtrArray *checks)
{
    add(checks, "target-not-draining", !facts->is_draining,
        g_strdup_printf("%s is%s draining", facts->node, facts->is_draining ? "" : " not"),
        "choose another node");
    add(checks, "volume-attached", facts->is_volume_attached,
        g_strdup_printf("%s is%s attached on %s", facts->volume,
                        facts->is_volume_attached ? "" : " not", facts->node),
        "attach it there: 'migratectl volume attach DEVICE' on the target");
    if (facts->is_volume_attached)
        add(checks, "images-found", facts->missing_image == NULL,
            facts->missing_image
                ? g_strdup_printf("%s does not see image %s", facts->node, facts->missing_image)
                : g_strdup_printf("%s sees every image of %s", facts->node, facts->vm),
            "see 'migratectl image list' on the target");
    add(checks, "name-free", facts->domain == MIG_DOMAIN_ABSENT && !facts->uuid_owner,
        facts->uuid_owner ? g_strdup_printf("domain %s on %s has the uuid of %s", facts->uuid_owner,
                                            facts->node, facts->vm)
                          : g_strdup_printf("a domain %s is %s on %s", facts->vm,
                                            mig_domain_state_name(facts->domain), facts->node),
        "the target's libvirt has a domain of that name or uuid already: remove it there");
    check_memory(facts, checks);
    add(checks, "cpu-vendor",
        facts->cpu_vendor && facts->source_cpu_vendor &&
            g_strcmp0(facts->cpu_vendor, facts->source_cpu_vendor) == 0,
        g_strdup_printf("source has %s, target has %s",
                        facts->source_cpu_vendor ? facts->source_cpu_vendor : "an unknown CPU",
                        facts->cpu_vendor ? facts->cpu_vendor : "an unknown CPU"),
        "a running VM cannot change its CPU vendor: stop it, and start it there");
    add(checks, "migration-subnet", mig_same_subnet(facts->migration, facts->source_migration),
        g_strdup_printf("source has %s, target has %s",
                        facts->source_migration ? facts->source_migration : "no address",
                        facts->migration ? facts->migration : "no address"),
        "give both nodes an address in the network that [network] migration names");
    if (facts->source)
        check_encryption(checks, facts->node, facts->encrypts, facts->source,
                         facts->source_encrypts, facts->encryption_problem);
}
