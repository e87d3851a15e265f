/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-definition-adopt.c - a local domain's definition becomes a VM's, or is refused with all
 * reasons. */
#include "drivers/definition-adopt.h"

#include "base/error.h"
#include "drivers/definition-xml.h"

#include <string.h>

#define UUID "5A1F0C3E-6f0c-4d3b-9c59-2f6c8c1f7f11"
#define MAC  "52:54:00:12:34:56"
#define NIC                                                                   \
    "<interface type='bridge'><mac address='" MAC "'/><source bridge='br0'/>" \
    "<model type='virtio'/></interface>"
#define DOMAIN(devices)                                                                       \
    "<domain type='kvm'><name>web</name><uuid>" UUID "</uuid><memory unit='MiB'>512</memory>" \
    "<devices>" devices "</devices></domain>"
#define QCOW2                                                                                  \
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/>"       \
    "<source file='/srv/web.qcow2' index='1'/><backingStore/><target dev='vda' bus='virtio'/>" \
    "<serial>4711</serial><boot order='1'/></disk>"
#define BLOCK                                                                        \
    "<disk type='block'><driver name='qemu' type='raw' cache='directsync'/><source " \
    "dev='/dev/sdz'/>"                                                               \
    "<target dev='vdb' bus='virtio'/></disk>"

static MigAdoption *
adopt(const char *xml, gboolean keeps_cache)
{
    g_autoptr(GError) error = NULL;
    MigAdoption *adoption = mig_definition_adopt(xml, "vol1", keeps_cache, &error);

    g_assert_no_error(error);
    g_assert_nonnull(adoption);
    return adoption;
}

static void
test_disks(void)
{
    g_autoptr(MigAdoption) adoption =
        adopt(DOMAIN(QCOW2 BLOCK "<disk type='file' device='cdrom'><target dev='sda'/></disk>" NIC),
              FALSE);
    g_autoptr(MigDefinition) definition = mig_definition_parse(adoption->xml, NULL);
    const MigAdoptDisk *disk;

    g_assert_cmpstr(adoption->problem, ==, NULL);
    g_assert_cmpstr(adoption->name, ==, "web");
    g_assert_cmpstr(adoption->uuid, ==, "5a1f0c3e-6f0c-4d3b-9c59-2f6c8c1f7f11");
    g_assert_cmpuint(adoption->memory_bytes, ==, 512 << 20);
    g_assert_cmpuint(adoption->disks->len, ==, 2);
    disk = g_ptr_array_index(adoption->disks, 0);
    g_assert_cmpstr(disk->target, ==, "vda");
    g_assert_cmpstr(disk->path, ==, "/srv/web.qcow2");
    g_assert_cmpstr(disk->format, ==, "qcow2");
    g_assert_cmpstr(disk->image, ==, "vol1/web-vda");
    disk = g_ptr_array_index(adoption->disks, 1);
    g_assert_cmpstr(disk->path, ==, "/dev/sdz");
    g_assert_cmpstr(disk->format, ==, "raw");

    /* nothing of the host is left in it, and all that the guest sees is */
    g_assert_cmpstr(definition->problem, ==, NULL);
    g_assert_cmpstr(definition->images[0], ==, "vol1/web-vda");
    g_assert_cmpstr(definition->images[1], ==, "vol1/web-vdb");
    g_assert_null(strstr(adoption->xml, "qcow2"));
    g_assert_null(strstr(adoption->xml, "sdz"));
    g_assert_null(strstr(adoption->xml, "backingStore"));
    g_assert_null(strstr(adoption->xml, "<lease>"));
    g_assert_nonnull(strstr(adoption->xml, "<uuid>" UUID "</uuid>"));
    g_assert_nonnull(strstr(adoption->xml, MAC));
    g_assert_nonnull(strstr(adoption->xml, "<serial>4711</serial>"));
    g_assert_nonnull(strstr(adoption->xml, "discard=\"unmap\""));
    g_assert_nonnull(strstr(adoption->xml, "cache=\"none\""));
    g_assert_nonnull(strstr(adoption->xml, "cache=\"directsync\""));
}

/* The lease comes with completing, as for every VM, and names the domain is found by. */
static void
test_lease(void)
{
    MigLease lease = {.lockspace = (char *)"vol1",
                      .resource = (char *)"web",
                      .path = (char *)"/dev/csv/vol1/.lun",
                      .offset_bytes = 5 << 20};
    g_autoptr(MigAdoption) adoption = adopt(DOMAIN(QCOW2), FALSE);
    g_autofree char *xml = mig_definition_complete(adoption->xml, adoption->uuid, &lease, NULL);
    g_autoptr(MigAdoption) again = adopt(xml, FALSE);

    g_assert_null(adoption->lockspace);
    g_assert_cmpstr(again->lockspace, ==, "vol1");
    g_assert_nonnull(strstr(xml, "offset=\"5242880\""));
}

/* A cache mode cannot be changed under a running QEMU: there it is a problem. */
static void
test_running_cache(void)
{
    g_autoptr(MigAdoption) bad = adopt(DOMAIN(QCOW2), TRUE);
    g_autoptr(MigAdoption) good = adopt(DOMAIN(BLOCK), TRUE);

    g_assert_nonnull(strstr(bad->problem, "cache='default'"));
    g_assert_cmpstr(good->problem, ==, NULL);
}

static void
test_lock(void)
{
    const char *xml = DOMAIN(BLOCK);
    g_autofree char *locked = mig_definition_lock(xml, NULL);
    g_autofree char *unlocked = mig_definition_unlock(locked, xml, NULL);
    g_autoptr(MigDefinition) definition = mig_definition_parse(locked, NULL);

    g_assert_true(mig_definition_is_locked(locked));
    g_assert_false(mig_definition_is_locked(xml));
    g_assert_false(mig_definition_is_locked(unlocked));
    g_assert_false(mig_definition_is_locked("<broken"));
    g_assert_false(mig_definition_is_locked(NULL));
    g_assert_nonnull(strstr(unlocked, "type=\"kvm\""));
    g_assert_nonnull(definition->problem); /* nobody would define it so */
}

static void
test_refused(void)
{
    static const struct {
        const char *devices, *says;
    } cases[] = {
        {"<disk type='file' device='cdrom'><source file='/srv/x.iso'/><target dev='sda'/></disk>",
         "cdrom sda has the medium /srv/x.iso of this host in it; eject it first"},
        {"<disk type='network'><source protocol='rbd' name='a/b'/><target dev='vda'/></disk>",
         "disk vda is on no file and no device of this host"},
        {"<disk type='volume'><source pool='a' volume='b'/><target dev='vda'/></disk>",
         "disk vda is on no file"},
        {"<disk type='block'><source dev='/dev/csv/vol1/a'/><target dev='vda'/></disk>",
         "is an image of a volume already"},
        {"<disk type='file'><source file='/a'/><target dev='vda'/><shareable/></disk>",
         "is shared with other domains"},
        {"<disk type='file'><source file='/a'><encryption format='luks'/></source>"
         "<target dev='vda'/></disk>",
         "has <encryption> in its <source>"},
        {"<disk type='block' device='lun'><source dev='/dev/sdz'/><target dev='sda'/></disk>",
         "device='lun'"},
        {"<disk type='file'><source file='/a'/><target dev='vda'/><transient/></disk>",
         "<devices/disk/transient>"},
        {"<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>", "has a TPM"},
        {"<hostdev mode='subsystem' type='pci'/>", "host device"},
        {"<disk type='file'><source file='/a'/></disk>", "disk ? has no <target dev>"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml = g_strdup_printf(DOMAIN("%s"), cases[i].devices);
        g_autoptr(MigAdoption) adoption = adopt(xml, FALSE);

        g_test_message("%s", adoption->problem);
        g_assert_nonnull(adoption->problem);
        g_assert_nonnull(strstr(adoption->problem, cases[i].says));
    }
}

/* Whoever must mend it sees all of it at once, each once, on one line. */
static void
test_all_named(void)
{
    g_autoptr(MigAdoption) adoption =
        adopt(DOMAIN("<hostdev mode='subsystem' type='pci'/><filesystem type='mount'/>"
                     "<disk type='file' device='cdrom'><source file='/x.iso'/><target dev='sda'/>"
                     "</disk><smartcard mode='host'/>" QCOW2),
              FALSE);
    const char *said = adoption->problem;

    g_test_message("%s", said);
    g_assert_nonnull(strstr(said, "(1) cdrom sda"));
    g_assert_nonnull(strstr(said, "(<hostdev>)"));
    g_assert_nonnull(strstr(said, "(<filesystem>)"));
    g_assert_nonnull(strstr(said, "<devices/smartcard>"));
    g_assert_null(strstr(said, "<devices/hostdev>"));
    g_assert_null(strstr(said, "(5)"));
    g_assert_null(strchr(said, '\n'));
}

static void
test_unreadable(void)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(mig_definition_adopt("<domain><name>x</name></domain>", "v", FALSE, &error));
    g_assert_nonnull(error); /* without a uuid it is not what libvirt says */
    g_clear_error(&error);
    g_assert_null(mig_definition_adopt("<domain>", "v", FALSE, &error));
    g_assert_nonnull(error);
}

static void
test_live(void)
{
    const char *xml = DOMAIN(
        "<disk type='file'><source file='/a.qcow2'/><mirror type='block' job='copy' ready='yes'>"
        "<format type='raw'/><source dev='/dev/csv/vol1/web-vda'/></mirror><target "
        "dev='vda'/></disk>"
        "<disk type='block'><source dev='/dev/csv/vol1/web-vdb'/><target dev='vdb'/></disk>"
        "<disk type='file'><source file='/c'/><mirror type='block' job='copy'>"
        "<source dev='/d'/></mirror><target dev='vdc'/></disk>");
    g_autofree char *a = mig_definition_disk_path(xml, "vda");
    g_autofree char *b = mig_definition_disk_path(xml, "vdb");

    g_assert_cmpstr(a, ==, "/a.qcow2");
    g_assert_cmpstr(b, ==, "/dev/csv/vol1/web-vdb");
    g_assert_null(mig_definition_disk_path(xml, "vdz"));
    g_assert_null(mig_definition_disk_path(xml, "v'd"));
    g_assert_true(mig_definition_is_copied(xml, "vda"));
    g_assert_false(mig_definition_is_copied(xml, "vdb"));
    g_assert_false(mig_definition_is_copied(xml, "vdc"));
}

/* Images are called what people want, and what a running domain has behind a target is what counts.
 */
static void
test_elsewhere(void)
{
    const char *xml = DOMAIN(
        "<disk type='block'><source dev='/dev/csv/vol1/data'/><target dev='vda'/></disk>"
        "<disk type='file'><source file='/dev/csv/vol1/web-vdb'/><target dev='vdb'/></disk>"
        "<disk type='block'><source dev='/dev/csv/vol1/web-vdx'/><target dev='vdc'/></disk>"
        "<disk type='file' device='cdrom'><target dev='sda'/></disk>"
        "<disk type='file' device='cdrom'><source file='/a.iso'/><target dev='sdb'/></disk>");
    g_autofree char *locked = mig_definition_lock(xml, NULL);
    const char *half =
        DOMAIN("<disk type='block'><source dev='/dev/csv/vol1/data'/><target dev='vda'/></disk>"
               "<disk type='file'><source file='/b.qcow2'/><mirror type='file' job='copy'>"
               "<source file='/dev/csv/vol1/web-vdb'/></mirror><target dev='vdb'/></disk>");
    g_auto(GStrv) none = mig_definition_disks_elsewhere(locked, xml, NULL);
    g_auto(GStrv) some = mig_definition_disks_elsewhere(locked, half, NULL);
    g_autoptr(GError) error = NULL;

    g_assert_cmpuint(g_strv_length(none), ==, 0);
    g_assert_cmpuint(g_strv_length(some), ==, 2);
    g_assert_cmpstr(some[0], ==, "vdb");
    g_assert_cmpstr(some[1], ==, "vdc");
    g_assert_null(mig_definition_disks_elsewhere("<domain", half, &error));
    g_assert_error(error, MIG_ERROR, MIG_ERROR_BAD_DEFINITION);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/definition-adopt/disks", test_disks);
    g_test_add_func("/definition-adopt/lease", test_lease);
    g_test_add_func("/definition-adopt/running-cache", test_running_cache);
    g_test_add_func("/definition-adopt/lock", test_lock);
    g_test_add_func("/definition-adopt/refused", test_refused);
    g_test_add_func("/definition-adopt/all-named", test_all_named);
    g_test_add_func("/definition-adopt/unreadable", test_unreadable);
    g_test_add_func("/definition-adopt/live", test_live);
    g_test_add_func("/definition-adopt/elsewhere", test_elsewhere);
    return g_test_run();
}
