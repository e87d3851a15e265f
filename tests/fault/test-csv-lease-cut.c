/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-lease-cut.c - the lease that a VM gets, and the one that it leaves, cut while written.
 */

/*
 * A VM's lease is written before the VM is there, and freed when it is gone. sanlock writes its
 * areas itself, past libcsv's devices, so this is on a file: what a whole change has made of the
 * area is put there in part, up to each sector or from each sector on, with the VM's slot as it is
 * at that moment. The volume opens and is without error, the VM is not there, and the next VM in
 * that slot has a lease that is whole.
 */

#include <glib/gstdio.h>
#include <unistd.h>

#include "csv-test.h"

#define SECTOR 512

static const struct csv_epoch epoch = {5, 1, 1, ""};
static const struct csv_format_options options = {
    .name = "vol1", .max_nodes = 4, .max_vms = 1, .max_images = 4, .extent_bytes = MIB};

struct fixture {
    char *path;
    int fd;
    struct csv_volume *volume;
    uint64_t lease_offset;
};

static void
set_up(struct fixture *fixture, const void *data)
{
    struct csv_lease lease;

    (void)data;
    make_file_volume(&options, &fixture->path, &fixture->fd, &fixture->volume);
    assert_ok(csv_lease_locate(fixture->volume, CSV_LEASE_VM, 0, &lease, error));
    fixture->lease_offset = lease.offset_bytes;
}

static void
tear_down(struct fixture *fixture, const void *data)
{
    (void)data;
    drop_file_volume(fixture->path, fixture->fd, fixture->volume);
}

static uint8_t *
read_area(const struct fixture *fixture)
{
    uint8_t *area = g_malloc(MIB);

    g_assert_cmpint(pread(fixture->fd, area, MIB, (off_t)fixture->lease_offset), ==, MIB);
    return area;
}

/* from to MIB: what is new; the rest is old. */
static void
write_area(const struct fixture *fixture, const uint8_t *old, const uint8_t *new, size_t from,
           size_t to)
{
    g_autofree uint8_t *area = g_memdup2(old, MIB);

    memcpy(area + from, new + from, to - from);
    g_assert_cmpint(pwrite(fixture->fd, area, MIB, (off_t)fixture->lease_offset), ==, MIB);
}

static void
define(const struct fixture *fixture, const char *name)
{
    struct csv_vm vm = test_vm(name, 1);

    assert_ok(csv_vm_create(fixture->volume, &epoch, &vm, error));
    g_assert_cmpuint(vm.slot, ==, 0);
}

static void
assert_lease(const struct fixture *fixture, const char *name)
{
    struct csv_lease_owner owner;

    assert_ok(csv_lease_read(fixture->volume, CSV_LEASE_VM, 0, &owner, error));
    g_assert_cmpstr(owner.resource, ==, name);
    g_assert_cmpuint(owner.host_id, ==, 0);
    g_assert_cmpuint(check_errors(fixture->volume), ==, 0);
}

/* The area is new from one byte to another, the slot has nobody: who opens the volume finds it in
 * order, and gives the slot to a VM. */
static void
assert_usable(const struct fixture *fixture, const uint8_t *old, const uint8_t *new, size_t from,
              size_t to)
{
    struct csv_vm found;

    write_area(fixture, old, new, from, to);
    g_assert_cmpuint(check_errors(fixture->volume), ==, 0);
    assert_code(csv_vm_find(fixture->volume, "web", &found, error), CSV_NOT_FOUND);
    define(fixture, "next");
    assert_lease(fixture, "next");
    assert_ok(csv_vm_delete(fixture->volume, &epoch, "next", error));
}

/* A volume whose only VM is "web" is what it is before the slot has nobody. */
static unsigned
cut_everywhere(const struct fixture *fixture, const uint8_t *old, const uint8_t *new)
{
    unsigned cuts = 0;

    for (size_t at = 0; at <= MIB; at += SECTOR) {
        /* a sector that is the same cuts as the one before it */
        if (at && at < MIB && memcmp(old + at - SECTOR, new + at - SECTOR, SECTOR) == 0)
            continue;
        assert_usable(fixture, old, new, 0, at);
        assert_usable(fixture, old, new, at, MIB);
        cuts += 2;
    }
    return cuts;
}

static void
test_created(struct fixture *fixture, const void *data)
{
    g_autofree uint8_t *old = read_area(fixture), *new = NULL;
    bool was_used = data != NULL;
    unsigned cuts;

    if (was_used) { /* its lease is one that was held, and was freed */
        define(fixture, "before");
        assert_ok(csv_vm_delete(fixture->volume, &epoch, "before", error));
        g_free(old);
        old = read_area(fixture);
    }
    define(fixture, "web");
    new = read_area(fixture);
    assert_ok(csv_vm_delete(fixture->volume, &epoch, "web", error));
    cuts = cut_everywhere(fixture, old, new);
    g_assert_cmpuint(cuts, >, 4);
    g_test_message("%u cuts", cuts);
}

static void
test_deleted(struct fixture *fixture, const void *data)
{
    g_autofree uint8_t *old = NULL, *new = NULL;
    unsigned cuts;

    (void)data;
    define(fixture, "web");
    old = read_area(fixture);
    assert_ok(csv_vm_delete(fixture->volume, &epoch, "web", error));
    new = read_area(fixture);
    cuts = cut_everywhere(fixture, old, new);
    g_assert_cmpuint(cuts, >, 4);
    g_test_message("%u cuts", cuts);
}

static bool
guard(void *data)
{
    unsigned *allowed = data;

    return *allowed && (*allowed)--;
}

static void
expect_name(const struct fixture *fixture, const char *name)
{
    struct csv_lease_owner owner;

    assert_ok(csv_lease_read(fixture->volume, CSV_LEASE_VM, 0, &owner, error));
    g_assert_cmpstr(owner.resource, ==, name);
}

/* The lease comes before the VM, and goes behind it: never is there a VM without. */
static void
test_order(struct fixture *fixture, const void *data)
{
    struct csv_vm vm = test_vm("web", 1), found;
    unsigned allowed = 1;

    (void)data;
    csv_volume_set_guard(fixture->volume, guard, &allowed);
    assert_code(csv_vm_create(fixture->volume, &epoch, &vm, error), CSV_STALE_EPOCH);
    expect_name(fixture, "web");
    assert_code(csv_vm_find(fixture->volume, "web", &found, error), CSV_NOT_FOUND);
    csv_volume_set_guard(fixture->volume, NULL, NULL);
    define(fixture, "web");
    csv_volume_set_guard(fixture->volume, guard, &allowed);
    allowed = 2;
    assert_code(csv_vm_delete(fixture->volume, &epoch, "web", error), CSV_STALE_EPOCH);
    expect_name(fixture, "web");
    assert_code(csv_vm_find(fixture->volume, "web", &found, error), CSV_NOT_FOUND);
    csv_volume_set_guard(fixture->volume, NULL, NULL);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/csv/lease-cut/created", struct fixture, NULL, set_up, test_created, tear_down);
    g_test_add("/csv/lease-cut/created-in-a-freed-slot", struct fixture, "used", set_up,
               test_created, tear_down);
    g_test_add("/csv/lease-cut/deleted", struct fixture, NULL, set_up, test_deleted, tear_down);
    g_test_add("/csv/lease-cut/order", struct fixture, NULL, set_up, test_order, tear_down);
    return g_test_run();
}
