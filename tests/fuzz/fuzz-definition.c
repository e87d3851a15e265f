/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fuzz-definition.c - VM definitions: what anyone may hand to 'vm define', what a LUN may hold. */

/*
 * What must hold: nothing crashes; every refusal is one line; what is taken can be completed, and
 * the completed one is taken again with the same disks, one lease, and nothing that was not vetted;
 * no element that spells trouble is among what is taken; what is shown is masked.
 */

#include "drivers/definition-adopt.h"
#include "drivers/definition-needs.h"
#include "drivers/definition-xml.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UUID "5a1f0c3e-6f0c-4d3b-9c59-2f6c8c1f7f11"

static const MigLease lease = {.lockspace = (char *)"vol",
                               .resource = (char *)"web",
                               .path = (char *)"/dev/lun",
                               .offset_bytes = 1 << 20};

/* The list of what is allowed, seen from the other side: elements that no vetted definition has but
 * in places that libvirt keeps and does not read. */
static void
expect_harmless(const char *xml)
{
    static const char *const words[] = {"<hostdev", "<filesystem", "<kernel",   "<initrd",
                                        "<nvram",   "<shmem",      "<mirror",   "<script",
                                        "<dtb",     "<smartcard",  "<transient"};

    if (strstr(xml, "<metadata") || strstr(xml, "<!--") || strstr(xml, "<![CDATA[") ||
        strstr(xml, "<?") || strstr(xml, "<title") || strstr(xml, "<description"))
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        g_assert_null(strstr(xml, words[i]));
}

static void
expect_masked(const char *xml)
{
    g_autofree char *masked = mig_definition_mask(xml);
    g_autofree char *again = masked ? mig_definition_mask(masked) : NULL;

    g_assert_nonnull(masked);
    g_assert_cmpstr(again, ==, masked);
}

static void
complete(const char *xml, const MigDefinition *before)
{
    g_autofree char *text = mig_definition_complete(xml, UUID, &lease, NULL);
    g_autoptr(MigDefinition) after = text ? mig_definition_parse(text, NULL) : NULL;

    g_assert_nonnull(after);
    g_assert_cmpstr(after->name, ==, "web");
    g_assert_cmpstr(after->uuid, ==, UUID);
    g_assert_cmpstr(after->lockspace, ==, "vol");
    g_assert_cmpuint(after->leases, ==, 1); /* of no other VM */
    if (before->problem)
        return;
    g_assert_cmpstr(after->problem, ==, NULL);
    g_assert_true(
        g_strv_equal((const char *const *)before->images, (const char *const *)after->images));
    g_assert_cmpuint(after->memory_bytes, ==, before->memory_bytes);
}

/* What another node says runs there: its words are told, each on one line. */
static void
expect_needs(const char *xml)
{
    g_autoptr(MigNeeds) needs = mig_definition_needs(xml, NULL);

    g_assert_nonnull(needs);
    char **const lists[] = {needs->bridges, needs->networks,     needs->cards,
                            needs->media,   needs->host_devices, needs->local_files};

    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
        for (gsize k = 0; lists[i][k]; k++)
            g_assert_null(strchr(lists[i][k], '\n'));
    }
}

/* A local domain that can be adopted names nothing of its host afterwards, and all of its disks are
 * copied. */
static void
adopt(const char *xml)
{
    g_autoptr(MigAdoption) adoption = mig_definition_adopt(xml, "vol", FALSE, NULL);
    g_autoptr(MigDefinition) after = NULL;
    g_autofree char *locked = NULL;

    if (!adoption)
        return;
    g_assert_null(adoption->problem ? strchr(adoption->problem, '\n') : NULL);
    if (adoption->problem)
        return;
    after = mig_definition_parse(adoption->xml, NULL);
    g_assert_nonnull(after);
    g_assert_null(after->problem);
    g_assert_cmpuint(g_strv_length(after->images), ==, adoption->disks->len);
    expect_harmless(adoption->xml);
    locked = mig_definition_lock(adoption->xml, NULL);
    g_assert_true(mig_definition_is_locked(locked));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *xml = g_strndup((const char *)data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(MigDefinition) definition = mig_definition_parse(xml, &error);

    if (!definition) {
        g_assert_nonnull(error);
        g_assert_null(strchr(error->message, '\n'));
        g_free(mig_definition_complete(xml, UUID, &lease, NULL));
        return 0;
    }
    if (definition->problem)
        g_assert_null(strchr(definition->problem, '\n'));
    else
        expect_harmless(xml);
    expect_needs(xml);
    expect_masked(xml);
    complete(xml, definition);
    adopt(xml);
    return 0;
}
