/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* late-dev.c - what late-dev.h says. */
#include "late-dev.h"

#include <errno.h>

#define LUN_MIB 20

struct lun late_lun;
struct late_stuck late_stuck;

void
late_init(void)
{
    lun_init(&late_lun, LUN_MIB, 512);
    late_stuck.size = 0;
}

void
late_land(void)
{
    memcpy(late_lun.data + late_stuck.offset, late_stuck.bytes, late_stuck.size);
    late_stuck.size = 0;
}

static void
step(struct csv_dev *dev)
{
    struct late_dev *one = (struct late_dev *)dev;

    if (++one->steps == one->at)
        one->happen();
}

static int
late_read(struct csv_dev *dev, uint64_t offset, void *buffer, size_t bytes)
{
    step(dev);
    memcpy(buffer, late_lun.data + offset, bytes);
    return 0;
}

static int
late_write(struct csv_dev *dev, uint64_t offset, const void *buffer, size_t bytes)
{
    step(dev);
    if (((struct late_dev *)dev)->is_stuck) {
        g_assert_cmpuint(bytes, <=, sizeof(late_stuck.bytes));
        memcpy(late_stuck.bytes, buffer, bytes);
        late_stuck.offset = offset;
        late_stuck.size = bytes;
        return -EIO; /* for its host it goes on later; here it has ended, and lands all the same */
    }
    memcpy(late_lun.data + offset, buffer, bytes);
    return 0;
}

static int
late_flush(struct csv_dev *dev)
{
    step(dev);
    return 0;
}

static int
late_zero(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    step(dev);
    memset(late_lun.data + offset, 0, bytes);
    return 0;
}

static int
late_discard(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    return 0;
}

static void
late_close(struct csv_dev *dev)
{
    g_free(dev);
}

static const struct csv_dev_ops late_ops = {.read = late_read,
                                            .write = late_write,
                                            .flush = late_flush,
                                            .zero = late_zero,
                                            .discard = late_discard,
                                            .close = late_close};

struct late_dev *
late_open(struct csv_volume **volume)
{
    struct late_dev *one = g_new0(struct late_dev, 1);

    one->dev = (struct csv_dev){
        .ops = &late_ops, .size_bytes = late_lun.size, .sector_bytes = late_lun.sector, .fd = -1};
    assert_ok(csv_open_dev(&one->dev, 0, volume, error));
    one->steps = 0;
    return one;
}
