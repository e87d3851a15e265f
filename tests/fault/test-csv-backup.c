/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-csv-backup.c - a backup brings back the catalogue, whole or not at all. */

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scenarios.h"

static int
backup_of(struct lun *lun)
{
    struct csv_volume *volume;
    int fd = memfd_create("backup", MFD_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    assert_ok(lun_open(lun, CSV_OPEN_READ_ONLY, &volume, error));
    assert_ok(csv_backup(volume, fd, error));
    csv_close(volume);
    return fd;
}

static int
restore(struct lun *lun, int fd, bool force, struct csv_error *error)
{
    g_assert_cmpint(lseek(fd, 0, SEEK_SET), ==, 0);
    return csv_restore_dev(lun_dev(lun), fd, force, error);
}

/* Everything is there again, on the same LUN and on a larger one, and a new coordinator can go on.
 */
static void
test_round_trip(void)
{
    const struct csv_epoch early = {1, 1, 1, ""};
    g_autofree char *before = NULL, *after = NULL;
    struct csv_volume *volume;
    struct lun lun;
    int fd;

    scenario_base(&lun, NULL);
    before = describe_lun(&lun);
    fd = backup_of(&lun);
    assert_code(restore(&lun, fd, false, error), CSV_ALREADY_FORMATTED);
    memset(lun.data, 0xff, lun.size / 4); /* superblock, slots, the lot */
    assert_ok(restore(&lun, fd, false, error));
    assert_ok(lun_open(&lun, 0, &volume, error));
    assert_ok(csv_image_rename(volume, &early, "one", "uno", error));
    assert_ok(csv_image_rename(volume, &early, "uno", "one", error));
    csv_close(volume);
    after = describe_lun(&lun);
    /* the flood has reached the data, too: that is not in a backup */
    g_assert_true(g_str_has_prefix(after, "vol1 node:a:"));
    *strstr(before, " image:") = 0;
    g_assert_true(g_str_has_prefix(after, before)); /* the node and both VMs */
    g_assert_nonnull(strstr(after, " image:two:2097152:db:"));
    close(fd);
    lun_clear(&lun);
}

/* A backup that is cut, has a flipped bit, or is of something else: refused, nothing touched. */
static void
test_bad_backups(void)
{
    struct lun lun;
    g_autofree uint8_t *before = NULL;
    uint8_t *bytes;
    off_t size;
    int fd;

    scenario_base(&lun, NULL);
    fd = backup_of(&lun);
    size = lseek(fd, 0, SEEK_END);
    bytes = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memset(lun.data, 0, 4096);
    before = g_memdup2(lun.data, lun.size);
    for (off_t at = 100; at < size; at += 1024) {
        bytes[at] ^= 1;
        g_assert_cmpint(restore(&lun, fd, true, NULL), !=, 0);
        bytes[at] ^= 1;
    }
    munmap(bytes, (size_t)size);
    for (off_t cut = size - 4096; cut >= 0; cut -= 4096) {
        g_assert_cmpint(ftruncate(fd, cut), ==, 0);
        g_assert_cmpint(restore(&lun, fd, true, NULL), !=, 0);
    }
    g_assert_cmpmem(before, lun.size, lun.data, lun.size);
    close(fd);
    lun_clear(&lun);
    scenario_base(&lun, NULL);
    fd = backup_of(&lun);
    lun.size -= MIB;
    assert_code(restore(&lun, fd, true, error), CSV_E_TRUNCATED);
    lun.sector = 4096;
    assert_code(restore(&lun, fd, true, error), CSV_E_SECTOR);
    close(fd);
    lun_clear(&lun);
}

static void
seal_again(uint8_t *block, enum csv_kind kind, const struct csv_super *super, uint64_t address,
           struct csv_head *head)
{
    head->epoch = first_epoch;
    csv_block_seal(block, kind, super->uuid, address, head);
}

/* What each block says of itself is right, and what is in it is not: a definition with a NUL in it,
 * a feature that nobody here knows; and a file that has no end. Refused, nothing touched. */
static void
test_well_sealed(void)
{
    const size_t feature = offsetof(struct csv_disk_super, feature_ro_compat);
    g_autofree uint8_t *before = NULL;
    struct csv_volume *volume;
    struct csv_super super;
    struct csv_head head;
    struct lun lun;
    uint8_t *bytes, *vm;
    int fd, endless = open("/dev/zero", O_RDONLY | O_CLOEXEC);

    scenario_base(&lun, NULL);
    fd = backup_of(&lun);
    assert_ok(lun_open(&lun, CSV_OPEN_READ_ONLY, &volume, error));
    super = volume->super;
    csv_close(volume);
    before = g_memdup2(lun.data, lun.size);
    bytes = mmap(NULL, (size_t)lseek(fd, 0, SEEK_END), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    vm = bytes + CSV_SUPER_BLOCK + CSV_NODE_BLOCK;
    for (int copy = 0; copy < 2; copy++)
        if (csv_block_check(vm, CSV_KIND_VM, super.uuid,
                            csv_slot_address(&super, CSV_KIND_VM, 0, copy),
                            &head) == CSV_BLOCK_OK) {
            uint64_t address = csv_slot_address(&super, CSV_KIND_VM, 0, copy);
            vm[128 + 128 + 3] ^= '<' ^ 'x';
            seal_again(vm, CSV_KIND_VM, &super, address, &head);
            assert_ok(restore(&lun, fd, true, error)); /* another text is none of our business */
            memcpy(lun.data, before, lun.size);
            vm[128 + 128 + 3] = 0;
            seal_again(vm, CSV_KIND_VM, &super, address, &head);
            assert_code(restore(&lun, fd, true, error), CSV_E_DAMAGED);
            vm[128 + 128 + 3] = 'x';
            seal_again(vm, CSV_KIND_VM, &super, address, &head);
        }
    g_assert_cmpmem(before, lun.size, lun.data, lun.size);
    g_assert_cmpint(csv_block_check(bytes, CSV_KIND_SUPER, NULL, 0, &head), ==, CSV_BLOCK_OK);
    bytes[128 + feature] = 1;
    seal_again(bytes, CSV_KIND_SUPER, &super, 0, &head);
    assert_code(restore(&lun, fd, true, error), CSV_E_FUTURE);
    assert_code(csv_restore_dev(lun_dev(&lun), endless, true, error), CSV_E_NO_VOLUME);
    g_assert_cmpmem(before, lun.size, lun.data, lun.size);
    close(endless);
    close(fd);
    lun_clear(&lun);
}

/* What is on the LUN is of a later version, whose rules nobody here knows: refused, by force too.
 * One whose superblock claims billions of nodes had as many leases looked for. */
static void
test_later_target(void)
{
    const size_t nodes = offsetof(struct csv_disk_super, max_nodes);
    const size_t feature = offsetof(struct csv_disk_super, feature_incompat);
    g_autofree uint8_t *before = NULL;
    struct csv_volume *volume;
    struct csv_super super;
    struct csv_head head;
    struct lun lun;
    int fd;

    scenario_base(&lun, NULL);
    fd = backup_of(&lun);
    assert_ok(lun_open(&lun, CSV_OPEN_READ_ONLY, &volume, error));
    super = volume->super;
    csv_close(volume);
    g_assert_cmpint(csv_block_check(lun.data, CSV_KIND_SUPER, NULL, 0, &head), ==, CSV_BLOCK_OK);
    memset(lun.data + 128 + nodes, 0xff, 4);
    lun.data[128 + feature + 3] = 0x80;
    seal_again(lun.data, CSV_KIND_SUPER, &super, 0, &head);
    before = g_memdup2(lun.data, lun.size);
    assert_code(restore(&lun, fd, true, error), CSV_E_FUTURE);
    assert_code(restore(&lun, fd, false, error), CSV_E_FUTURE);
    g_assert_cmpmem(before, lun.size, lun.data, lun.size);
    before[offsetof(struct csv_disk_header, version)] ^= 0x40;
    lun.data[offsetof(struct csv_disk_header, version)] ^= 0x40;
    assert_code(restore(&lun, fd, true, error), CSV_E_FUTURE);
    g_assert_cmpmem(before, lun.size, lun.data, lun.size);
    memset(lun.data, 0, 4096); /* as csvtool(8) says */
    assert_ok(restore(&lun, fd, false, error));
    close(fd);
    lun_clear(&lun);
}

/* The machine dies at each write of a restore: the LUN is no volume then, or the restored one. */
static void
test_cut_short(void)
{
    static const enum csv_fault_kind kinds[] = {CSV_FAULT_ERROR, CSV_FAULT_LANDED_ERROR,
                                                CSV_FAULT_TORN_ERROR, CSV_FAULT_TORN_TAIL};
    g_autofree char *state = NULL;
    unsigned none = 0, whole = 0;
    struct lun lun;
    int fd;

    scenario_base(&lun, NULL);
    state = describe_lun(&lun);
    fd = backup_of(&lun);
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        bool has_struck = true;
        for (unsigned at = 1; has_struck; at++) {
            struct csv_volume *volume;
            int result;
            lun.fault = (struct csv_fault){
                .kind = kinds[k], .at = at, .torn_bytes = 512, .then_dead = true};
            result = restore(&lun, fd, true, NULL);
            has_struck = lun.fault.count >= at;
            lun.fault = (struct csv_fault){0};
            g_assert_true(has_struck == (result != 0));
            if (lun_open(&lun, 0, &volume, NULL) == 0) {
                g_autofree char *after = NULL;
                csv_close(volume);
                after = describe_lun(&lun);
                g_assert_cmpstr(after, ==, state);
                whole++;
            } else {
                none++;
            }
            assert_ok(restore(&lun, fd, true, error));
        }
    }
    g_assert_cmpuint(none, >, 0);
    g_assert_cmpuint(whole, >, 0);
    g_test_message("%u none, %u whole", none, whole);
    close(fd);
    lun_clear(&lun);
}

/* The first superblock was blank, a restore dies at each write, and then somebody has it repaired
 * by force: nothing half written is called a volume. */
static void
test_cut_short_repaired(void)
{
    static const enum csv_fault_kind kinds[] = {CSV_FAULT_ERROR, CSV_FAULT_LANDED_ERROR,
                                                CSV_FAULT_TORN_ERROR, CSV_FAULT_TORN_TAIL};
    g_autofree char *restored = NULL, *later = NULL;
    g_autofree uint8_t *before = NULL;
    struct csv_volume *volume;
    unsigned none = 0, whole = 0;
    struct lun lun;
    int fd;

    scenario_base(&lun, NULL);
    restored = describe_lun(&lun);
    fd = backup_of(&lun);
    assert_ok(lun_open(&lun, 0, &volume, error));
    assert_ok(csv_image_rename(volume, &first_epoch, "one", "uno", error));
    csv_close(volume);
    later = describe_lun(&lun);
    memset(lun.data, 0, CSV_SUPER_BLOCK);
    before = g_memdup2(lun.data, lun.size);
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        bool has_struck = true;
        for (unsigned at = 1; has_struck; at++) {
            g_autofree char *after = NULL;
            memcpy(lun.data, before, lun.size);
            lun.fault = (struct csv_fault){
                .kind = kinds[k], .at = at, .torn_bytes = 512, .then_dead = true};
            (void)restore(&lun, fd, false, NULL);
            has_struck = lun.fault.count >= at;
            lun.fault = (struct csv_fault){0};
            if (csv_repair_dev(lun_dev(&lun), true, NULL, NULL, NULL, NULL) != 0) {
                none++;
                continue;
            }
            after = describe_lun(&lun);
            if (!g_str_equal(after, later))
                g_assert_cmpstr(after, ==, restored);
            whole++;
        }
    }
    g_assert_cmpuint(none, >, 0);
    g_assert_cmpuint(whole, >, 0);
    close(fd);
    lun_clear(&lun);
}

/* The backup of a volume that was smaller goes back to its LUN, which has grown with the volume
 * since, and whose first superblock is lost: at the end of the LUN nothing is left of the larger
 * one, from which a broken first superblock would be mended. */
static void
test_smaller(void)
{
    g_autofree char *before = NULL, *after = NULL;
    struct csv_volume *volume;
    uint64_t small;
    struct lun lun;
    int fd;

    scenario_base(&lun, NULL);
    before = describe_lun(&lun);
    fd = backup_of(&lun);
    small = lun.size;
    lun.data = g_realloc(lun.data, small + 5 * MIB);
    memset(lun.data + small, 0, 5 * MIB);
    lun.size += 5 * MIB;
    assert_ok(lun_open(&lun, 0, &volume, error));
    assert_ok(csv_volume_grow(volume, &first_epoch, NULL, error));
    csv_close(volume);
    memset(lun.data, 0, CSV_SUPER_BLOCK);
    assert_ok(restore(&lun, fd, false, error));
    lun.data[300] ^= 1;
    assert_ok(csv_repair_dev(lun_dev(&lun), false, NULL, NULL, NULL, error));
    assert_ok(lun_open(&lun, CSV_OPEN_READ_ONLY, &volume, error));
    g_assert_cmpuint(volume->super.size_bytes, ==, small);
    after = describe(volume);
    g_assert_cmpstr(after, ==, before);
    csv_close(volume);
    close(fd);
    lun_clear(&lun);
}

/* What cannot be in it is not left out silently. */
static void
test_damaged_volume(void)
{
    struct csv_volume *volume;
    struct lun lun;
    uint8_t *slot;
    int fd = memfd_create("backup", MFD_CLOEXEC);

    scenario_base(&lun, NULL);
    assert_ok(lun_open(&lun, CSV_OPEN_READ_ONLY, &volume, error));
    slot = lun.data + csv_slot_address(&volume->super, CSV_KIND_IMAGE, 0, 0);
    slot[200] ^= 1;
    assert_ok(csv_backup(volume, fd, error));
    slot[200 + CSV_IMAGE_BLOCK] ^= 1;
    assert_code(csv_backup(volume, fd, error), CSV_E_DAMAGED);
    csv_close(volume);
    close(fd);
    lun_clear(&lun);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/csv/backup/round-trip", test_round_trip);
    g_test_add_func("/csv/backup/bad-backups", test_bad_backups);
    g_test_add_func("/csv/backup/well-sealed", test_well_sealed);
    g_test_add_func("/csv/backup/later-target", test_later_target);
    g_test_add_func("/csv/backup/cut-short", test_cut_short);
    g_test_add_func("/csv/backup/cut-short-repaired", test_cut_short_repaired);
    g_test_add_func("/csv/backup/smaller", test_smaller);
    g_test_add_func("/csv/backup/damaged-volume", test_damaged_volume);
    return g_test_run();
}
