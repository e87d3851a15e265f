/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* csv-test.h - a small volume in memory for the tests of libcsv. */
#pragma once

#include <glib.h>
#include <string.h>
#include <unistd.h>

#include "crc32c.h"
#include "csv.h"
#include "dev.h"
#include "volume.h"

#define MIB (1ull << 20)

/* A LUN in memory. It outlives the handles on it. */
struct lun {
    uint8_t *data;
    uint64_t size;
    uint32_t sector;
    struct csv_fault fault;
};

static inline void
lun_init(struct lun *lun, uint64_t mib, uint32_t sector)
{
    *lun = (struct lun){.data = g_malloc0(mib * MIB), .size = mib * MIB, .sector = sector};
}

static inline void
lun_clear(struct lun *lun)
{
    g_free(lun->data);
}

static inline struct csv_dev *
lun_dev(struct lun *lun)
{
    struct csv_dev *dev = NULL;

    g_assert_cmpint(csv_dev_memory(lun->data, lun->size, lun->sector, &lun->fault, &dev), ==, 0);
    return dev;
}

static inline int
lun_format(struct lun *lun, const struct csv_format_options *options, struct csv_error *error)
{
    return csv_format_dev(lun_dev(lun), options, NULL, error);
}

static inline int
lun_open(struct lun *lun, unsigned flags, struct csv_volume **volume, struct csv_error *error)
{
    return csv_open_dev(lun_dev(lun), flags, volume, error);
}

#define assert_ok(call)                                                                     \
    G_STMT_START                                                                            \
    {                                                                                       \
        struct csv_error error_ = {0}, *error = &error_;                                    \
        int result_ = (call);                                                               \
        if (result_)                                                                        \
            g_error("%s:%d: %s: %s: %s", __FILE__, __LINE__, #call, csv_code_name(result_), \
                    error_.text);                                                           \
        (void)error;                                                                        \
    }                                                                                       \
    G_STMT_END

/* The call must give this code, and a line of text with it. */
#define assert_code(call, wanted)                                           \
    G_STMT_START                                                            \
    {                                                                       \
        struct csv_error error_ = {0}, *error = &error_;                    \
        int result_ = (call);                                               \
        g_assert_cmpstr(csv_code_name(result_), ==, csv_code_name(wanted)); \
        g_assert_cmpint(error_.code, ==, result_);                          \
        g_assert_cmpuint(strlen(error_.text), >, 5);                        \
        g_assert_null(strchr(error_.text, '\n'));                           \
        (void)error;                                                        \
    }                                                                       \
    G_STMT_END

static inline struct csv_vm
test_vm(const char *name, unsigned number)
{
    struct csv_vm vm = {.memory_bytes = 512 * MIB, .vcpus = 2, .priority = 100};

    g_strlcpy(vm.name, name, sizeof(vm.name));
    g_snprintf(vm.uuid, sizeof(vm.uuid), "%08x-1111-4222-8333-444444444444", number);
    vm.definition = (char *)"<domain><name>x</name></domain>";
    return vm;
}

static inline void
print_finding(const struct csv_finding *finding, void *data)
{
    if (finding->is_error || data)
        g_test_message("%s: %s", finding->code, finding->text);
}

static inline size_t
check_errors(struct csv_volume *volume)
{
    size_t errors = 0;

    assert_ok(csv_check(volume, print_finding, NULL, &errors, error));
    return errors;
}

/* A volume in a new file of 40 MiB. What sanlock's library writes goes there past libcsv's devices.
 */
static inline void
make_file_volume(const struct csv_format_options *options, char **path, int *fd,
                 struct csv_volume **volume)
{
    *path = g_build_filename(g_get_tmp_dir(), "csv-test-XXXXXX", NULL);
    *fd = g_mkstemp(*path);
    g_assert_cmpint(ftruncate(*fd, 40 * (off_t)MIB), ==, 0);
    assert_ok(csv_format(*path, options, NULL, error));
    assert_ok(csv_open(*path, 0, volume, error));
}

static inline void
drop_file_volume(char *path, int fd, struct csv_volume *volume)
{
    csv_close(volume);
    close(fd);
    g_assert_cmpint(unlink(path), ==, 0);
    g_free(path);
}

/* As sanlock leaves a lease, of a volume in the file fd with sectors of 512 bytes, that was taken
 * lver times, last by that host, which has it still unless timestamp is 0. */
static inline void
take_lease(int fd, const struct csv_lease *lease, const struct csv_lease_owner *was,
           uint64_t timestamp)
{
    const uint64_t values[] = {was->last_host_id, was->host_generation, was->lver};
    uint8_t leader[512];
    uint32_t sum;

    g_assert_cmpint(pread(fd, leader, sizeof(leader), (off_t)lease->offset_bytes), ==,
                    sizeof(leader));
    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        uint64_t value = GUINT64_TO_LE(values[i]);

        memcpy(leader + 32 + i * sizeof(value), &value, sizeof(value));
    }
    timestamp = GUINT64_TO_LE(timestamp);
    memcpy(leader + 152, &timestamp, sizeof(timestamp));
    sum = GUINT32_TO_LE(csv_crc32c_raw(~1u, leader, 168));
    memcpy(leader + 168, &sum, sizeof(sum));
    g_assert_cmpint(pwrite(fd, leader, sizeof(leader), (off_t)lease->offset_bytes), ==,
                    sizeof(leader));
}

/* What that host's ballot says of the owner lver, as sanlock leaves it there; not sound: its
 * checksum is another one. */
static inline void
write_ballot(int fd, const struct csv_lease *lease, uint32_t host_id, uint64_t lver, bool is_sound)
{
    const uint64_t values[] = {host_id, host_id, host_id, 1, 0, lver};
    uint8_t sector[512] = {0};
    uint32_t sum;

    for (size_t i = 0; i < G_N_ELEMENTS(values); i++) {
        uint64_t value = GUINT64_TO_LE(values[i]);

        memcpy(sector + i * sizeof(value), &value, sizeof(value));
    }
    sum = GUINT32_TO_LE(csv_crc32c_raw(~1u, sector, sizeof(values)) ^ !is_sound);
    memcpy(sector + sizeof(values), &sum, sizeof(sum));
    g_assert_cmpint(pwrite(fd, sector, sizeof(sector),
                           (off_t)(lease->offset_bytes + (1 + host_id) * sizeof(sector))),
                    ==, sizeof(sector));
}
