/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-leases.c - sanlock's areas damaged: found, and made anew so that what was counted goes on.
 */

#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <unistd.h>

#include "csv-test.h"
#include "volume.h"

#define BLOCK  4096
#define SECTOR 512
#define HOSTS  4

static const struct csv_format_options options = {
    .name = "vol1", .max_nodes = HOSTS, .max_vms = 4, .max_images = 8, .extent_bytes = MIB};

struct fixture {
    char *path;
    int fd;
    struct csv_volume *volume;
};

static void
set_up(struct fixture *fixture, const void *data)
{
    make_file_volume(&options, &fixture->path, &fixture->fd, &fixture->volume);
}

static void
tear_down(struct fixture *fixture, const void *data)
{
    g_assert_cmpuint(check_errors(fixture->volume), ==, 0);
    drop_file_volume(fixture->path, fixture->fd, fixture->volume);
}

static void
read_block(const struct fixture *fixture, uint64_t offset, uint8_t *block)
{
    g_assert_cmpint(pread(fixture->fd, block, BLOCK, (off_t)offset), ==, BLOCK);
}

static void
write_block(const struct fixture *fixture, uint64_t offset, const uint8_t *block)
{
    g_assert_cmpint(pwrite(fixture->fd, block, BLOCK, (off_t)offset), ==, BLOCK);
}

static void
expect_damage(const struct fixture *fixture, size_t count)
{
    size_t errors;

    assert_ok(csv_check(fixture->volume, NULL, NULL, &errors, error));
    g_assert_cmpuint(errors, ==, count);
}

/* As high as the newest change says: a lower one would be stale, and nobody could change anything.
 */
static void
test_fixed(struct fixture *fixture, const void *data)
{
    static const enum csv_lease_kind kinds[] = {CSV_LEASE_COORDINATOR, CSV_LEASE_REGISTRY};
    struct csv_volume *volume = fixture->volume;
    struct csv_epoch high = {.lver = 77, .host_generation = 3, .host_id = 1};
    uint8_t junk[BLOCK], others[BLOCK];

    memset(junk, 'x', sizeof(junk));
    assert_ok(csv_image_create(volume, &high, "a", MIB, 0, NULL, error));
    assert_ok(
        csv_repair(fixture->path, false, NULL, NULL, NULL, error)); /* nobody took it so often */
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct csv_lease lease, other;

        assert_ok(csv_lease_locate(volume, kinds[i], 0, &lease, error));
        assert_ok(csv_lease_locate(volume, kinds[1 - i], 0, &other, error));
        read_block(fixture, other.offset_bytes, others); /* which is sound, and another one */
        for (int way = 0; way < 2; way++) {
            struct csv_lease_owner owner;
            size_t mended;

            write_block(fixture, lease.offset_bytes, way ? others : junk);
            expect_damage(fixture, 1);
            assert_ok(csv_repair(fixture->path, false, NULL, NULL, &mended, error));
            g_assert_cmpuint(mended, ==, 1);
            expect_damage(fixture, 0);
            assert_ok(csv_lease_read(volume, kinds[i], 0, &owner, error));
            g_assert_cmpstr(owner.resource, ==, lease.resource);
            g_assert_cmpuint(owner.host_id, ==, 0);
            g_assert_cmpuint(owner.lver, ==, i == 0 ? 77 : 0);
        }
    }
    assert_code(csv_image_create(volume, &(struct csv_epoch){.lver = 76, .host_id = 1}, "b", MIB, 0,
                                 NULL, error),
                CSV_STALE_EPOCH);
}

static void
note_finding(const struct csv_finding *finding, void *data)
{
    g_string_append_printf(data, "%s: %s\n", finding->code, finding->text);
}

/* A repair that was cut short has left a lease that is sound, and was never taken. */
static void
test_cut_short(struct fixture *fixture, const void *data)
{
    struct csv_epoch high = {.lver = 77, .host_generation = 3, .host_id = 1};
    struct csv_node node = {.host_id = 2, .name = "n2", .host_generation = 41};
    g_autoptr(GString) findings = g_string_new(NULL);
    struct csv_lease_owner owner;
    struct csv_host_lease host;
    size_t errors, mended;

    assert_ok(csv_image_create(fixture->volume, &high, "a", MIB, 0, NULL, error));
    assert_ok(csv_node_write(fixture->volume, &node, error));
    assert_ok(csv_check(fixture->volume, note_finding, findings, &errors, error));
    g_assert_cmpuint(errors, ==, 0);
    g_assert_nonnull(
        strstr(findings->str, "lease-behind: the coordinator lease was taken 0 times"));
    g_assert_nonnull(
        strstr(findings->str,
               "lease-behind: the lease of host id 2 was taken 0 times, its node slot says 41"));
    assert_ok(csv_repair(fixture->path, false, NULL, NULL, &mended, error));
    g_assert_cmpuint(mended, ==, 2);
    assert_ok(csv_lease_read(fixture->volume, CSV_LEASE_COORDINATOR, 0, &owner, error));
    g_assert_cmpuint(owner.lver, ==, 77);
    assert_ok(csv_lockspace_read(fixture->volume, 2, &host, error));
    g_assert_cmpuint(host.host_generation, ==, 41);
    assert_ok(csv_repair(fixture->path, false, NULL, NULL, &mended, error));
    g_assert_cmpuint(mended, ==, 0);
}

/* What is behind a sound leader record, ballots or sanlock's request record: the record says who
 * had the lease last and how often it was taken, and goes on saying so. */
static void
test_taken(struct fixture *fixture, const void *data)
{
    static const unsigned damaged[] = {1, 2, 8}; /* sectors */
    const struct csv_epoch epoch = {.lver = 1, .host_generation = 3, .host_id = 1};
    const struct csv_lease_owner was = {.lver = 9, .last_host_id = 2, .host_generation = 41};
    struct csv_volume *volume = fixture->volume;
    struct csv_vm vm = test_vm("web", 1);
    uint8_t fresh[BLOCK], after[BLOCK];
    struct csv_lease lease;
    size_t mended;

    assert_ok(csv_vm_create(volume, &epoch, &vm, error));
    assert_ok(csv_repair(fixture->path, false, NULL, NULL, &mended, error));
    g_assert_cmpuint(mended, ==, 1); /* nobody took the coordinator's for that epoch */
    assert_ok(csv_lease_locate(volume, CSV_LEASE_VM, 0, &lease, error));
    read_block(fixture, lease.offset_bytes, fresh);
    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(damaged); i++) {
        const uint64_t timestamp = i / G_N_ELEMENTS(damaged);
        struct csv_lease_owner owner;
        uint8_t junk[SECTOR];

        memset(junk, 'x', sizeof(junk));
        take_lease(fixture->fd, &lease, &was, timestamp);
        g_assert_cmpint(
            pwrite(fixture->fd, junk, SECTOR,
                   (off_t)(lease.offset_bytes + damaged[i % G_N_ELEMENTS(damaged)] * SECTOR)),
            ==, SECTOR);
        expect_damage(fixture, 1);
        assert_ok(csv_repair(fixture->path, false, NULL, NULL, &mended, error));
        g_assert_cmpuint(mended, ==, 1);
        read_block(fixture, lease.offset_bytes, after);
        g_assert_cmpmem(fresh + SECTOR, BLOCK - SECTOR, after + SECTOR, BLOCK - SECTOR);
        assert_ok(csv_lease_check(volume, CSV_LEASE_VM, 0, &owner, error));
        g_assert_cmpstr(owner.resource, ==, "web");
        g_assert_cmpuint(owner.lver, ==, 9);
        g_assert_cmpuint(owner.host_id, ==, 0);
        g_assert_cmpuint(owner.last_host_id, ==, 2);
        g_assert_cmpuint(owner.host_generation, ==, 41);
    }
}

/* The record is older than its own ballots: what they counted is not counted again. */
static void
test_older(struct fixture *fixture, const void *data)
{
    const struct csv_epoch epoch = {.lver = 1, .host_generation = 3, .host_id = 1};
    const struct csv_lease_owner was = {.lver = 9, .last_host_id = 2, .host_generation = 41};
    struct csv_vm vm = test_vm("web", 1);
    struct csv_lease_owner owner;
    struct csv_lease lease;
    size_t mended;

    assert_ok(csv_vm_create(fixture->volume, &epoch, &vm, error));
    assert_ok(csv_repair(fixture->path, false, NULL, NULL, &mended, error));
    assert_ok(csv_lease_locate(fixture->volume, CSV_LEASE_VM, 0, &lease, error));
    take_lease(fixture->fd, &lease, &was, 0);
    write_ballot(fixture->fd, &lease, 1, 11, true);
    write_ballot(fixture->fd, &lease, 2, 99, false);
    write_ballot(fixture->fd, &lease, 3, 12, true);
    write_ballot(fixture->fd, &lease, 4, UINT64_MAX / 2, true); /* nobody took it so often */
    expect_damage(fixture, 1);
    assert_ok(csv_repair(fixture->path, false, NULL, NULL, &mended, error));
    g_assert_cmpuint(mended, ==, 1);
    assert_ok(csv_lease_check(fixture->volume, CSV_LEASE_VM, 0, &owner, error));
    g_assert_cmpuint(owner.lver, ==, 12);
    g_assert_cmpuint(owner.last_host_id, ==, 3); /* by its ballot */
    g_assert_cmpuint(owner.host_id, ==, 0);
}

static const struct csv_dev_ops *whole_ops;
static uint64_t bad_sector; /* cannot be read */

static int
read_some(struct csv_dev *dev, uint64_t offset, void *buffer, size_t bytes)
{
    if (offset <= bad_sector && bad_sector < offset + bytes)
        return -EIO;
    return whole_ops->read(dev, offset, buffer, bytes);
}

/* A ballot that cannot be read takes nothing from what the others say. */
static void
test_unreadable(struct fixture *fixture, const void *data)
{
    struct csv_lease_owner owner = {.lver = 9, .last_host_id = 2, .host_generation = 41};
    struct csv_dev *dev = fixture->volume->dev;
    struct csv_dev_ops ops = *dev->ops;
    struct csv_lease lease;

    whole_ops = dev->ops;
    assert_ok(csv_lease_locate(fixture->volume, CSV_LEASE_REGISTRY, 0, &lease, error));
    take_lease(fixture->fd, &lease, &owner, 0);
    write_ballot(fixture->fd, &lease, 1, 12, true);
    bad_sector = lease.offset_bytes + 3 * SECTOR;
    ops.read = read_some;
    dev->ops = &ops;
    assert_code(csv_lease_check(fixture->volume, CSV_LEASE_REGISTRY, 0, &owner, error), CSV_E_IO);
    assert_ok(csv_lease_remake(fixture->volume, CSV_LEASE_REGISTRY, 0, ".registry", 0, error));
    dev->ops = whole_ops;
    assert_ok(csv_lease_check(fixture->volume, CSV_LEASE_REGISTRY, 0, &owner, error));
    g_assert_cmpuint(owner.lver, ==, 12);
    g_assert_cmpuint(owner.last_host_id, ==, 1);
}

/* A restored volume has new leases, and its node slots say what they said. */
static void
test_restored(struct fixture *fixture, const void *data)
{
    struct csv_node node = {.host_id = 2, .name = "n2", .host_generation = 41};
    g_autoptr(GString) findings = g_string_new(NULL);
    g_autofree char *name = g_build_filename(g_get_tmp_dir(), "csv-backup-XXXXXX", NULL);
    struct csv_host_lease host;
    int backup = g_mkstemp(name);
    size_t errors, mended;

    g_unlink(name);
    assert_ok(csv_node_write(fixture->volume, &node, error));
    assert_ok(csv_backup(fixture->volume, backup, error));
    csv_close(fixture->volume);
    g_assert_cmpint(lseek(backup, 0, SEEK_SET), ==, 0);
    assert_ok(csv_restore(fixture->path, backup, true, error));
    assert_ok(csv_open(fixture->path, 0, &fixture->volume, error));
    assert_ok(csv_check(fixture->volume, note_finding, findings, &errors, error));
    g_assert_cmpuint(errors, ==, 0);
    g_assert_nonnull(strstr(findings->str, "lease-behind: the lease of host id 2"));
    assert_ok(csv_repair(fixture->path, false, NULL, NULL, &mended, error));
    g_assert_cmpuint(mended, ==, 1);
    assert_ok(csv_lockspace_read(fixture->volume, 2, &host, error));
    g_assert_cmpuint(host.host_generation, ==, 41);
    close(backup);
}

static void
damage_hosts(uint8_t *block, int way)
{
    switch (way) {
    case 0: /* of the node, which was there */
        memset(block + SECTOR, 0, SECTOR);
        break;
    case 1: /* of one that never was */
        block[3 * SECTOR + 60] ^= 1;
        break;
    case 2: /* the node's where another one's belongs */
        memcpy(block + 2 * SECTOR, block + SECTOR, SECTOR);
        break;
    default: /* of all */
        memset(block, 'x', BLOCK);
        break;
    }
}

/* The starts of a host count on from what its slot says; and it may be there, as far as can be
 * told. */
static void
test_hosts(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_node node = {.host_id = 2, .name = "n2", .host_generation = 41};
    struct csv_lease lockspace;

    assert_ok(csv_node_write(volume, &node, error));
    csv_lockspace_locate(volume, &lockspace);
    for (int way = 0; way < 4; way++) {
        struct csv_host_lease host;
        size_t mended, damaged = way == 3 ? HOSTS : 1;
        uint8_t block[BLOCK];

        read_block(fixture, lockspace.offset_bytes, block);
        damage_hosts(block, way);
        write_block(fixture, lockspace.offset_bytes, block);
        expect_damage(fixture, damaged);
        assert_code(csv_repair(fixture->path, false, NULL, NULL, &mended, error), CSV_BUSY);
        assert_ok(csv_repair(fixture->path, true, NULL, NULL, &mended, error));
        g_assert_cmpuint(mended, ==, damaged);
        expect_damage(fixture, 0);
        assert_ok(csv_lockspace_read(volume, 2, &host, error));
        g_assert_cmpuint(host.host_generation, ==, 41);
        g_assert_true(host.is_free);
        for (uint32_t host_id = 3; host_id <= HOSTS; host_id++)
            assert_code(csv_lockspace_read(volume, host_id, &host, error), CSV_NOT_FOUND);
    }
}

/* Slot and lease of a host are both lost: nobody knows how often it was started. */
static void
test_unknown(struct fixture *fixture, const void *data)
{
    struct csv_volume *volume = fixture->volume;
    struct csv_node node = {.host_id = 2, .name = "n2", .host_generation = 41};
    struct csv_lease lockspace;
    uint8_t block[BLOCK], slots[2][BLOCK], junk[BLOCK];
    size_t mended;

    memset(junk, 'x', sizeof(junk));
    assert_ok(csv_node_write(volume, &node, error));
    csv_lockspace_locate(volume, &lockspace);
    for (int copy = 0; copy < 2; copy++)
        read_block(fixture, csv_slot_address(&volume->super, CSV_KIND_NODE, 1, copy), slots[copy]);
    for (int way = 0; way < 4;
         way += 3) { /* its own lease; all of them, and none is made by itself */
        read_block(fixture, lockspace.offset_bytes, block);
        damage_hosts(block, way);
        write_block(fixture, lockspace.offset_bytes, block);
        for (int copy = 0; copy < 2; copy++)
            write_block(fixture, csv_slot_address(&volume->super, CSV_KIND_NODE, 1, copy), junk);
        assert_ok(csv_repair(fixture->path, true, NULL, NULL, &mended, error));
        g_assert_cmpuint(mended, ==, 0);
        expect_damage(fixture, way ? HOSTS + 1 : 2);
        for (int copy = 0; copy < 2; copy++)
            write_block(fixture, csv_slot_address(&volume->super, CSV_KIND_NODE, 1, copy),
                        slots[copy]);
        assert_ok(csv_repair(fixture->path, true, NULL, NULL, &mended, error));
        g_assert_cmpuint(mended, ==, way ? HOSTS : 1);
    }
}

#define ADD(name, function) \
    g_test_add("/csv/leases/" name, struct fixture, NULL, set_up, function, tear_down)

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("fixed", test_fixed);
    ADD("cut-short", test_cut_short);
    ADD("taken", test_taken);
    ADD("older", test_older);
    ADD("unreadable", test_unreadable);
    ADD("restored", test_restored);
    ADD("hosts", test_hosts);
    ADD("unknown", test_unknown);
    return g_test_run();
}
