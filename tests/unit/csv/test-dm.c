/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* test-dm.c - a mapped device that goes, and is another one by then, before it could be opened. */

/* A device-mapper of one device, in place of the library's: what has a number now had another name
 * a moment ago, which no kernel can be made to do on demand. What the devices are is of no matter
 * here but for their numbers, which are /dev/null's and /dev/zero's. */

#include <fcntl.h>
#include <libdevmapper.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "csv-test.h"
#include "device.h"

#define NULL_MINOR 3
#define ZERO_MINOR 5

struct dm_task {
    int type;
    char uuid[129];
    uint64_t start, length; /* one target is enough */
    char params[64];
};

static struct {
    bool is_there;
    struct dm_task made; /* by the task that made it */
    uint32_t minor;
    unsigned made_count, vanishing; /* it goes before so many are opened */
} device;

int
dm_driver_version(char *version, size_t size)
{
    g_strlcpy(version, "4", size);
    return 1;
}

void
dm_log_with_errno_init(dm_log_with_errno_fn function)
{
    (void)function;
}

struct dm_task *
dm_task_create(int type)
{
    struct dm_task *task = g_new0(struct dm_task, 1);

    task->type = type;
    return task;
}

void
dm_task_destroy(struct dm_task *task)
{
    g_free(task);
}

int
dm_task_set_uuid(struct dm_task *task, const char *uuid)
{
    g_strlcpy(task->uuid, uuid, sizeof(task->uuid));
    return 1;
}

int
dm_task_set_name(struct dm_task *task, const char *name)
{
    (void)task;
    (void)name;
    return 1;
}

int
dm_task_set_ro(struct dm_task *task)
{
    (void)task;
    return 1;
}

int
dm_task_set_cookie(struct dm_task *task, uint32_t *cookie, uint16_t flags)
{
    (void)task;
    (void)cookie;
    (void)flags;
    return 1;
}

int
dm_udev_wait(uint32_t cookie)
{
    (void)cookie;
    return 1;
}

int
dm_task_add_target(struct dm_task *task, uint64_t start, uint64_t length, const char *type,
                   const char *params)
{
    g_assert_cmpstr(type, ==, "linear");
    task->start = start;
    task->length = length;
    g_strlcpy(task->params, params, sizeof(task->params));
    return 1;
}

int
dm_task_run(struct dm_task *task)
{
    if (task->type != DM_DEVICE_CREATE)
        return 1;
    device.is_there = true;
    device.made = *task;
    device.minor = device.made_count++ % 2 ? ZERO_MINOR : NULL_MINOR;
    return 1;
}

int
dm_task_get_info(struct dm_task *task, struct dm_info *info)
{
    memset(info, 0, sizeof(*info));
    info->exists = device.is_there && strcmp(task->uuid, device.made.uuid) == 0;
    info->major = 1;
    info->minor = device.minor;
    return 1;
}

void *
dm_get_next_target(struct dm_task *task, void *next, uint64_t *start, uint64_t *length, char **type,
                   char **params)
{
    (void)task;
    (void)next;
    *start = device.made.start;
    *length = device.made.length;
    *type = (char *)"linear";
    *params = device.made.params;
    return NULL;
}

int
access(const char *path, int mode)
{
    return strcmp(path, "/dev/mapper/control") == 0 ? 0 : faccessat(AT_FDCWD, path, mode, 0);
}

int
open(const char *path, int flags, ...)
{
    va_list list;
    mode_t mode;

    va_start(list, flags);
    mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(list, mode_t) : 0;
    va_end(list);
    if (!g_str_has_prefix(path, "/dev/dm-"))
        return openat(AT_FDCWD, path, flags, mode);
    if (device.vanishing) {
        device.vanishing--;
        device.is_there = false;
    }
    return openat(AT_FDCWD, atoi(path + 8) == NULL_MINOR ? "/dev/null" : "/dev/zero", flags);
}

/* ---- the tests ---- */

static int
activate(unsigned vanishing, struct csv_node_device *made)
{
    const struct csv_format_options options = {
        .name = "vol1", .max_vms = 4, .max_images = 8, .extent_bytes = MIB};
    const struct csv_epoch epoch = {1, 1, 1, ""};
    struct csv_volume *volume;
    struct csv_image image;
    struct lun lun;
    int result;

    memset(&device, 0, sizeof(device));
    device.vanishing = vanishing;
    lun_init(&lun, 64, 512);
    assert_ok(lun_format(&lun, &options, error));
    assert_ok(lun_open(&lun, 0, &volume, error));
    assert_ok(csv_image_create(volume, &epoch, "disk", MIB, 0, &image, error));
    result = csv_dm_activate(volume, &image, true, made, NULL);
    csv_close(volume);
    lun_clear(&lun);
    return result;
}

static dev_t
number_of(int fd)
{
    struct stat st;

    g_assert_cmpint(fstat(fd, &st), ==, 0);
    return st.st_rdev;
}

static void
test_stays(void)
{
    struct csv_node_device made;

    g_assert_cmpint(activate(0, &made), ==, CSV_OK);
    g_assert_cmpstr(made.path, ==, "/dev/dm-3");
    g_assert_true(made.is_writable);
    g_assert_cmpuint(number_of(made.fd), ==, makedev(1, NULL_MINOR));
    close(made.fd);
}

/* What has its number is another device by then: it is made anew, and that one left alone. */
static void
test_goes(void)
{
    struct csv_node_device made;

    g_assert_cmpint(activate(1, &made), ==, CSV_OK);
    g_assert_cmpstr(made.path, ==, "/dev/dm-5");
    g_assert_cmpuint(number_of(made.fd), ==, makedev(1, ZERO_MINOR));
    close(made.fd);
}

static void
test_goes_always(void)
{
    struct csv_node_device made;
    int before = dup(0);

    close(before);
    g_assert_cmpint(activate(100, &made), ==, CSV_E_SYS);
    g_assert_cmpint(dup(0), ==, before); /* none is left open */
    close(before);
}

int
main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/csv/dm/stays", test_stays);
    g_test_add_func("/csv/dm/goes", test_goes);
    g_test_add_func("/csv/dm/goes-always", test_goes_always);
    return g_test_run();
}
