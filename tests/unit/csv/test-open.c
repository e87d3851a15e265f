/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-open.c - formatting and opening: what is a volume, and why not. */

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "catalog.h"
#include "crc32c.h"
#include "csv-test.h"

static const struct csv_format_options plain = {.name = "vol1"};
static const struct csv_format_options forced = {.name = "vol2", .force = true};

static void
test_format(void)
{
    struct csv_volume *volume;
    const struct csv_info *info;
    struct lun lun;

    lun_init(&lun, 64, 4096);
    assert_ok(lun_format(&lun, &plain, error));
    assert_ok(lun_open(&lun, 0, &volume, error));
    info = csv_volume_info(volume);
    g_assert_cmpstr(info->name, ==, "vol1");
    g_assert_cmpuint(info->sector_bytes, ==, 4096);
    g_assert_cmpuint(info->io_timeout_s, ==, 10);
    g_assert_cmpuint(info->max_nodes, ==, 64);
    g_assert_cmpuint(info->size_bytes, ==, 64 * MIB);
    g_assert_cmpuint(info->data_bytes % info->extent_bytes, ==, 0);
    g_assert_cmpuint(check_errors(volume), ==, 0);
    csv_close(volume);

    assert_code(lun_format(&lun, &plain, error), CSV_ALREADY_FORMATTED);
    assert_ok(lun_format(&lun, &forced, error));
    assert_ok(lun_open(&lun, 0, &volume, error));
    g_assert_cmpstr(csv_volume_info(volume)->name, ==, "vol2");
    csv_close(volume);
    lun_clear(&lun);
}

static void
test_options(void)
{
    struct lun lun;
    const struct {
        struct csv_format_options options;
        int code;
    } rows[] = {
        {{.name = NULL}, CSV_BAD_NAME},
        {{.name = "a/b"}, CSV_BAD_NAME},
        {{.name = "a", .max_nodes = 251}, CSV_BAD_VALUE},
        {{.name = "a", .max_vms = 4097}, CSV_BAD_VALUE},
        {{.name = "a", .max_images = 16385}, CSV_BAD_VALUE},
        {{.name = "a", .io_timeout_s = 601}, CSV_BAD_VALUE},
        {{.name = "a", .extent_bytes = 3 * MIB}, CSV_BAD_VALUE},
        {{.name = "a", .extent_bytes = 2048 * MIB}, CSV_BAD_VALUE},
        {{.name = "a", .max_vms = 100}, CSV_TOO_SMALL},
        {{.name = "a", .extent_bytes = 64 * MIB}, CSV_TOO_SMALL},
    };

    lun_init(&lun, 64, 512);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        assert_code(lun_format(&lun, &rows[i].options, error), rows[i].code);
    lun.sector = 1024;
    assert_code(lun_format(&lun, &plain, error), CSV_E_SECTOR);
    lun.sector = 512;
    lun.size = 8 * MIB;
    assert_code(lun_format(&lun, &plain, error), CSV_TOO_SMALL);
    lun.size = 4096;
    assert_code(lun_format(&lun, &plain, error), CSV_TOO_SMALL);
    lun_clear(&lun);
}

static void
test_foreign_content_is_kept(void)
{
    struct csv_volume *volume;
    struct lun lun;

    lun_init(&lun, 64, 512);
    lun.data[MIB - 1] = 1; /* the last byte that is looked at */
    assert_code(lun_format(&lun, &plain, error), CSV_ALREADY_FORMATTED);
    g_assert_cmpuint(lun.data[MIB - 1], ==, 1);
    assert_ok(lun_format(&lun, &forced, error));
    assert_ok(lun_open(&lun, 0, &volume, error));
    csv_close(volume);
    lun_clear(&lun);
}

/* Changes a byte of a superblock and seals it again, if asked to. */
static void
edit_super(struct lun *lun, uint64_t address, size_t offset, uint8_t value, bool seal)
{
    uint8_t *block = lun->data + address;
    struct csv_disk_header header;
    struct csv_head head = {.generation = 1, .is_used = true};

    block[offset] = value;
    if (!seal)
        return;
    memcpy(&header, block, sizeof(header));
    head.payload_bytes = sizeof(struct csv_disk_super);
    csv_block_seal(block, CSV_KIND_SUPER, header.volume_uuid, address, &head);
}

static void
test_not_a_volume(void)
{
    const size_t incompat = 128 + offsetof(struct csv_disk_super, feature_incompat);
    const size_t ro_compat = 128 + offsetof(struct csv_disk_super, feature_ro_compat);
    const size_t compat = 128 + offsetof(struct csv_disk_super, feature_compat);
    struct csv_volume *volume = NULL;
    struct lun lun;
    uint8_t *good;

    lun_init(&lun, 64, 512);
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_NO_VOLUME); /* blank */
    assert_ok(lun_format(&lun, &plain, error));
    good = g_memdup2(lun.data, lun.size);

    for (size_t i = 0; i < lun.size; i++) /* garbage all over */
        lun.data[i] = (uint8_t)(i * 2654435761u >> 13);
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_NO_VOLUME);

    memcpy(lun.data, good, lun.size); /* something else in front, the copy at the end intact */
    memset(lun.data, 0x55, 8192);
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_DAMAGED);

    memcpy(lun.data, good, lun.size); /* blank in front: a format cut short */
    memset(lun.data, 0, 4096);
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_NO_VOLUME);

    memcpy(lun.data, good, lun.size); /* formatted by the future */
    edit_super(&lun, 0, offsetof(struct csv_disk_header, version), 2, false);
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_FUTURE);

    memcpy(lun.data, good, lun.size);
    edit_super(&lun, 0, incompat, 2, true);
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_FUTURE);
    assert_code(lun_open(&lun, CSV_OPEN_READ_ONLY, &volume, error), CSV_E_FUTURE);

    memcpy(lun.data, good, lun.size);
    edit_super(&lun, 0, ro_compat, 1, true);
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_FUTURE);
    assert_ok(lun_open(&lun, CSV_OPEN_READ_ONLY, &volume, error));
    csv_close(volume);

    memcpy(lun.data, good, lun.size);
    edit_super(&lun, 0, compat, 1, true);
    assert_ok(lun_open(&lun, 0, &volume, error));
    csv_close(volume);

    memcpy(lun.data, good, lun.size);
    lun.sector = 4096;
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_SECTOR);
    lun.sector = 512;
    lun.size -= MIB;
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_TRUNCATED);
    lun.size = 4096;
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_NO_VOLUME);
    g_free(good);
    lun_clear(&lun);
}

static void
test_superblock_copies(void)
{
    struct csv_volume *volume;
    struct lun lun;

    lun_init(&lun, 64, 512);
    assert_ok(lun_format(&lun, &plain, error));
    edit_super(&lun, 0, 200, 0xff, false); /* the first is rotten: the second serves */
    assert_ok(lun_open(&lun, 0, &volume, error));
    g_assert_cmpuint(check_errors(volume), ==, 1);
    csv_close(volume);
    edit_super(&lun, 63 * MIB, 200, 0xff, false);
    assert_code(lun_open(&lun, 0, &volume, error), CSV_E_DAMAGED);
    lun_clear(&lun);
}

static void
test_larger_lun(void)
{
    struct csv_volume *volume;
    struct lun lun;

    lun_init(&lun, 96, 512);
    lun.size = 64 * MIB;
    assert_ok(lun_format(&lun, &plain, error));
    lun.size = 96 * MIB;
    assert_ok(lun_open(&lun, 0, &volume, error));
    g_assert_cmpuint(csv_volume_info(volume)->device_bytes, ==, 96 * MIB);
    g_assert_cmpuint(csv_volume_info(volume)->size_bytes, ==, 64 * MIB);
    g_assert_cmpuint(check_errors(volume), ==, 0);
    csv_close(volume);
    lun_clear(&lun);
}

static void
test_read_only(void)
{
    const struct csv_epoch epoch = {1, 1, 1, ""};
    struct csv_vm vm = test_vm("web", 1);
    struct csv_node node = {.host_id = 1, .name = "a"};
    struct csv_volume *volume;
    struct lun lun;

    lun_init(&lun, 64, 512);
    assert_ok(lun_format(&lun, &plain, error));
    assert_ok(lun_open(&lun, CSV_OPEN_READ_ONLY, &volume, error));
    assert_code(csv_vm_create(volume, &epoch, &vm, error), CSV_E_READ_ONLY);
    assert_code(csv_image_create(volume, &epoch, "a", MIB, 0, NULL, error), CSV_E_READ_ONLY);
    assert_code(csv_node_write(volume, &node, error), CSV_E_READ_ONLY);
    assert_code(csv_node_clear(volume, 1, error), CSV_E_READ_ONLY);
    csv_close(volume);
    lun_clear(&lun);
}

/* The same over a real file, sanlock's areas included. */
/* A host lease as sanlock's daemon writes it: owner, generation, timestamp, checksum. */
static void
write_host_lease(int fd, const struct csv_info *info, guint32 host_id, guint64 generation)
{
    const guint64 values[] = {GUINT64_TO_LE((guint64)host_id), GUINT64_TO_LE(generation)};
    const guint64 timestamp = GUINT64_TO_LE(1234);
    const off_t offset = (off_t)(MIB + (host_id - 1) * info->sector_bytes);
    guint8 record[176];
    guint32 crc;

    g_assert_cmpint(pread(fd, record, sizeof(record), offset), ==, sizeof(record));
    memcpy(record + 32, values, sizeof(values));
    memcpy(record + 152, &timestamp, sizeof(timestamp));
    crc = GUINT32_TO_LE(csv_crc32c_raw(~1u, record, 168));
    memcpy(record + 168, &crc, sizeof(crc));
    g_assert_cmpint(pwrite(fd, record, sizeof(record), offset), ==, sizeof(record));
}

/* Freeing a dead host's lease: that start of it only, and not one byte of its neighbours. */
static void
test_host_lease(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    g_autofree guint8 *before = g_malloc(MIB), *after = g_malloc(MIB);
    struct csv_host_lease lease = {0};
    struct csv_volume *volume;
    struct csv_info info;

    g_assert_cmpint(ftruncate(fd, 256 * (off_t)MIB), ==, 0);
    assert_ok(csv_format(path, &plain, &info, error));
    for (guint32 i = 1; i <= 3; i++)
        write_host_lease(fd, &info, i, 6 + i);
    assert_ok(csv_open(path, 0, &volume, error));
    g_assert_cmpint(pread(fd, before, MIB, MIB), ==, MIB);
    assert_ok(csv_lockspace_read(volume, 2, &lease, error));
    g_assert_cmpuint(lease.host_generation, ==, 8);
    g_assert_false(lease.is_free);
    assert_code(csv_lockspace_read(volume, 4, &lease, error), CSV_NOT_FOUND);
    assert_code(csv_lockspace_release(volume, 2, 7, error), CSV_NOT_FOUND);
    assert_code(csv_lockspace_release(volume, 2, 9, error), CSV_NOT_FOUND);
    assert_code(csv_lockspace_release(volume, 4, 0, error), CSV_NOT_FOUND);
    assert_code(csv_lockspace_release(volume, 0, 8, error), CSV_BAD_VALUE);
    assert_code(csv_lockspace_release(volume, 251, 8, error), CSV_BAD_VALUE);
    g_assert_cmpint(pread(fd, after, MIB, MIB), ==, MIB);
    g_assert_cmpmem(before, MIB, after, MIB); /* nothing refused has written anything */

    assert_ok(csv_lockspace_release(volume, 2, 8, error));
    assert_ok(csv_lockspace_release(volume, 2, 8, error)); /* again: is free already */
    assert_ok(csv_lockspace_read(volume, 2, &lease, error));
    g_assert_true(lease.is_free);
    g_assert_cmpint(pread(fd, after, MIB, MIB), ==, MIB);
    g_assert_cmpmem(before, 512, after, 512);
    g_assert_cmpmem(before + 1024, MIB - 1024, after + 1024, MIB - 1024);
    g_assert_cmpmem(before + 512, 152, after + 512, 152); /* its generation stays */

    after[512 + 60] ^= 1; /* rot */
    g_assert_cmpint(pwrite(fd, after, 1024, MIB), ==, 1024);
    assert_code(csv_lockspace_release(volume, 2, 8, error), CSV_E_DAMAGED);
    csv_close(volume);
    close(fd);
    g_unlink(path);
}

/* Who is there keeps a restore away, by force too: its VMs go on writing to their disks. */
static void
test_restore_alive(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    int fd = g_mkstemp(path), backup = memfd_create("backup", MFD_CLOEXEC);
    g_autofree guint8 *before = g_malloc(8 * MIB), *after = g_malloc(8 * MIB);
    struct csv_volume *volume;
    struct csv_info info;

    g_assert_cmpint(ftruncate(fd, 256 * (off_t)MIB), ==, 0);
    assert_ok(csv_format(path, &plain, &info, error));
    assert_ok(csv_open(path, 0, &volume, error));
    assert_ok(csv_backup(volume, backup, error));
    write_host_lease(fd, &info, 2, 8);
    g_assert_cmpint(pread(fd, before, 8 * MIB, 0), ==, 8 * MIB);
    lseek(backup, 0, SEEK_SET);
    assert_code(csv_restore(path, backup, true, error), CSV_BUSY);
    g_assert_cmpint(pread(fd, after, 8 * MIB, 0), ==, 8 * MIB);
    g_assert_cmpmem(before, 8 * MIB, after, 8 * MIB);
    assert_ok(csv_lockspace_release(volume, 2, 8, error));
    csv_close(volume);
    lseek(backup, 0, SEEK_SET);
    assert_code(csv_restore(path, backup, false, error), CSV_ALREADY_FORMATTED);
    lseek(backup, 0, SEEK_SET);
    assert_ok(csv_restore(path, backup, true, error));
    close(backup);
    close(fd);
    g_unlink(path);
}

static void
flip_byte(int fd, off_t at)
{
    guint8 byte;

    g_assert_cmpint(pread(fd, &byte, 1, at), ==, 1);
    byte ^= 1;
    g_assert_cmpint(pwrite(fd, &byte, 1, at), ==, 1);
}

/* A repair asks who is there before its first write, where the first superblock is broken, too. */
static void
test_repair_alive(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    g_autofree guint8 *before = g_malloc(256 * MIB), *after = g_malloc(256 * MIB);
    struct csv_volume *volume;
    struct csv_info info;
    size_t count = 0;

    g_assert_cmpint(ftruncate(fd, 256 * (off_t)MIB), ==, 0);
    assert_ok(csv_format(path, &plain, &info, error));
    write_host_lease(fd, &info, 2, 8);
    flip_byte(fd, 300);
    g_assert_cmpint(pread(fd, before, 256 * MIB, 0), ==, 256 * MIB);
    assert_code(csv_repair(path, false, NULL, NULL, NULL, error), CSV_BUSY);
    g_assert_cmpint(pread(fd, after, 256 * MIB, 0), ==, 256 * MIB);
    g_assert_cmpmem(before, 256 * MIB, after, 256 * MIB);
    assert_ok(csv_open(path, 0, &volume, error));
    assert_ok(csv_lockspace_release(volume, 2, 8, error));
    csv_close(volume);
    assert_ok(csv_repair(path, false, NULL, NULL, &count, error));
    g_assert_cmpuint(count, ==, 1);
    close(fd);
    g_unlink(path);
}

/* A volume that this version may not write, or not on this LUN, is not repaired: its superblocks
 * would lose what nobody here understands. */
static void
test_repair_fits(void)
{
    static const struct {
        size_t field;
        uint32_t sector;
        int code;
    } rows[] = {
        {offsetof(struct csv_disk_super, feature_ro_compat), 512, CSV_E_FUTURE},
        {offsetof(struct csv_disk_super, feature_incompat), 512, CSV_E_FUTURE},
        {offsetof(struct csv_disk_super, name), 4096, CSV_E_SECTOR},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        for (int broken = 0; broken < 2; broken++) {
            g_autofree uint8_t *before = NULL;
            struct csv_volume *volume;
            uint64_t places[2] = {0};
            struct lun lun;

            lun_init(&lun, 64, 512);
            assert_ok(lun_format(&lun, &plain, error));
            assert_ok(lun_open(&lun, 0, &volume, error));
            places[1] = volume->super.tail_offset;
            csv_close(volume);
            for (int copy = 0; copy < 2; copy++)
                edit_super(&lun, places[copy], 128 + rows[i].field, 'x', true);
            edit_super(&lun, places[broken], 300, 1, false);
            lun.sector = rows[i].sector;
            before = g_memdup2(lun.data, lun.size);
            for (int force = 0; force < 2; force++)
                assert_code(csv_repair_dev(lun_dev(&lun), force, NULL, NULL, NULL, error),
                            rows[i].code);
            g_assert_cmpmem(before, lun.size, lun.data, lun.size);
            lun_clear(&lun);
        }
}

static void
test_file(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    struct csv_volume *volume;
    struct csv_lease_owner owner;
    struct csv_lease lease;
    struct csv_info info;

    g_assert_cmpint(fd, >=, 0);
    assert_code(csv_open(path, 0, &volume, error), CSV_E_NO_VOLUME); /* empty */
    g_assert_cmpint(ftruncate(fd, 256 * (off_t)MIB), ==, 0);
    assert_ok(csv_format(path, &plain, &info, error));
    g_assert_cmpstr(info.path, ==, path);
    assert_ok(csv_open(path, 0, &volume, error));
    g_assert_cmpuint(check_errors(volume), ==, 0);
    assert_ok(csv_lease_read(volume, CSV_LEASE_COORDINATOR, 0, &owner, error));
    g_assert_cmpstr(owner.resource, ==, ".coordinator");
    g_assert_cmpuint(owner.host_id, ==, 0);
    assert_ok(csv_lease_read(volume, CSV_LEASE_REGISTRY, 0, &owner, error));
    g_assert_cmpstr(owner.resource, ==, ".registry");
    assert_code(csv_lease_read(volume, CSV_LEASE_VM, 0, &owner, error), CSV_NOT_FOUND);
    assert_code(csv_lease_read(volume, CSV_LEASE_VM, info.max_vms, &owner, error), CSV_BAD_VALUE);
    assert_ok(csv_lease_locate(volume, CSV_LEASE_VM, 1, &lease, error));
    g_assert_cmpuint(lease.offset_bytes, ==, 5 * MIB);
    g_assert_cmpuint(lease.align_bytes, ==, MIB);
    g_assert_cmpstr(lease.lockspace, ==, "vol1");
    csv_close(volume);
    g_assert_cmpint(ftruncate(fd, 255 * (off_t)MIB), ==, 0);
    assert_code(csv_open(path, 0, &volume, error), CSV_E_TRUNCATED);
    close(fd);
    g_unlink(path);
    assert_code(csv_open(path, 0, &volume, error), CSV_E_SYS);
    assert_code(csv_open("/dev/null", 0, &volume, error), CSV_E_NO_VOLUME);
}

/* A lease record with any byte changed is not believed. */
static void
test_leader_is_checked(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    int fd = g_mkstemp(path);
    struct csv_volume *volume;
    struct csv_lease_owner owner;
    uint8_t byte = 0xff;

    g_assert_cmpint(ftruncate(fd, 256 * (off_t)MIB), ==, 0);
    assert_ok(csv_format(path, &plain, NULL, error));
    assert_ok(csv_open(path, 0, &volume, error));
    /* each byte under the checksum */
    for (off_t i = 0; i < 172; i++) {
        uint8_t old;
        g_assert_cmpint(pread(fd, &old, 1, 2 * (off_t)MIB + i), ==, 1);
        byte = (uint8_t)~old;
        g_assert_cmpint(pwrite(fd, &byte, 1, 2 * (off_t)MIB + i), ==, 1);
        g_assert_cmpint(fdatasync(fd), ==, 0);
        assert_code(csv_lease_read(volume, CSV_LEASE_COORDINATOR, 0, &owner, error), CSV_E_DAMAGED);
        g_assert_cmpint(pwrite(fd, &old, 1, 2 * (off_t)MIB + i), ==, 1);
        g_assert_cmpint(fdatasync(fd), ==, 0);
    }
    assert_ok(csv_lease_read(volume, CSV_LEASE_COORDINATOR, 0, &owner, error));
    csv_close(volume);
    close(fd);
    g_unlink(path);
}

struct mend {
    int fd;
    unsigned waits, at; /* times; at which the damage is mended, 0: never */
    unsigned spoils;    /* so many times something else is wrong */
    GString *found;
};

static void
look_away(void *data)
{
    struct mend *mend = data;

    mend->waits++;
    if (mend->waits <= mend->spoils) /* the first superblock and the second one take turns */
        flip_byte(mend->fd, 255 * (off_t)MIB + 300);
    if (mend->waits <= mend->spoils || mend->waits == mend->at)
        flip_byte(mend->fd, 300);
}

static void
tell(const struct csv_finding *finding, void *data)
{
    struct mend *mend = data;

    g_string_append_printf(mend->found, "%s%s;", finding->is_error ? "!" : "", finding->code);
}

/* Where somebody may be changing it, one look is no proof; where nobody is, it is. */
static void
test_check_alive(void)
{
    static const struct {
        bool is_alive;
        unsigned spoils, mended_at, waits;
        const char *found;
        size_t errors;
    } cases[] = {
        {false, 0, 0, 0, "!superblock-copy;", 1},
        {true, 0, 0, 1, "!superblock-copy;", 1}, /* the same again: it is damage */
        {true, 0, 1, 1, "", 0},
        {true, 1, 0, 2, "!superblock-copy;", 1}, /* new in the second look, and stays */
        {true, 4, 0, 5, "!superblock-copy;", 1}, /* in the last but one */
        {true, 5, 0, 5, "!volume-changes;", 1},
        {true, 2, 3, 3, "", 0}, /* mended after others */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
        struct mend mend = {g_mkstemp(path), 0, cases[i].mended_at, cases[i].spoils,
                            g_string_new(NULL)};
        struct csv_volume *volume;
        struct csv_info info;
        size_t errors = 99;

        g_test_message("%zu", i);
        g_assert_cmpint(ftruncate(mend.fd, 256 * (off_t)MIB), ==, 0);
        assert_ok(csv_format(path, &plain, &info, error));
        if (cases[i].is_alive)
            write_host_lease(mend.fd, &info, 2, 8);
        assert_ok(csv_open(path, CSV_OPEN_READ_ONLY, &volume, error));
        flip_byte(mend.fd, 300);
        assert_ok(csv_check_live(volume, tell, &mend, &errors, look_away, &mend, error));
        g_assert_cmpstr(mend.found->str, ==, cases[i].found);
        g_assert_cmpuint(errors, ==, cases[i].errors);
        g_assert_cmpuint(mend.waits, ==, cases[i].waits);
        csv_close(volume);
        close(mend.fd);
        g_unlink(path);
        g_string_free(mend.found, TRUE);
    }
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/csv/open/format", test_format);
    g_test_add_func("/csv/open/options", test_options);
    g_test_add_func("/csv/open/foreign-content-is-kept", test_foreign_content_is_kept);
    g_test_add_func("/csv/open/not-a-volume", test_not_a_volume);
    g_test_add_func("/csv/open/superblock-copies", test_superblock_copies);
    g_test_add_func("/csv/open/larger-lun", test_larger_lun);
    g_test_add_func("/csv/open/read-only", test_read_only);
    g_test_add_func("/csv/open/file", test_file);
    g_test_add_func("/open/host-lease", test_host_lease);
    g_test_add_func("/csv/open/restore-alive", test_restore_alive);
    g_test_add_func("/csv/open/repair-alive", test_repair_alive);
    g_test_add_func("/csv/open/check-alive", test_check_alive);
    g_test_add_func("/csv/open/repair-fits", test_repair_fits);
    g_test_add_func("/csv/open/leader-is-checked", test_leader_is_checked);
    return g_test_run();
}
