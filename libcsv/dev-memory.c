/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dev-memory.c - a device in memory that can be told to fail. */

/*
 * The faulty disk of the tests: the Nth write is refused, forgotten or torn, and the rest of the
 * library cannot tell. Writes, zeroings and flushes count alike, so that counting up N until a run
 * passes without a fault has tried every point at which a machine can die.
 */

#include "dev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct memory_dev {
    struct csv_dev dev;
    uint8_t *data;
    struct csv_fault *fault;
};

static bool
is_outside(const struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    return offset > dev->size_bytes || bytes > dev->size_bytes - offset;
}

static int
memory_read(struct csv_dev *dev, uint64_t offset, void *buffer, size_t bytes)
{
    struct memory_dev *memory = (struct memory_dev *)dev;

    if (is_outside(dev, offset, bytes))
        return -EIO;
    memcpy(buffer, memory->data + offset, bytes);
    return 0;
}

/* from NULL: zeroes */
static void
land(struct memory_dev *memory, uint64_t offset, const uint8_t *from, uint64_t bytes)
{
    if (from)
        memcpy(memory->data + offset, from, bytes);
    else
        memset(memory->data + offset, 0, bytes);
}

static int
change(struct memory_dev *memory, uint64_t offset, const uint8_t *from, uint64_t bytes)
{
    struct csv_fault *fault = memory->fault;
    uint64_t torn;

    if (is_outside(&memory->dev, offset, bytes))
        return -ENOSPC;
    if (!fault || ++fault->count < fault->at || fault->kind == CSV_FAULT_NONE ||
        (fault->count > fault->at && !fault->then_dead)) {
        land(memory, offset, from, bytes);
        return 0;
    }
    if (fault->count > fault->at)
        return -EIO;
    torn = fault->torn_bytes;
    if (torn > bytes)
        torn = bytes;
    switch (fault->kind) {
    case CSV_FAULT_LOST:
        return 0;
    case CSV_FAULT_LANDED_ERROR:
        land(memory, offset, from, bytes);
        return -EIO;
    case CSV_FAULT_TORN_ERROR:
        land(memory, offset, from, torn);
        return -EIO;
    case CSV_FAULT_TORN:
        land(memory, offset, from, torn);
        return 0;
    case CSV_FAULT_TORN_TAIL:
        land(memory, offset + torn, from ? from + torn : NULL, bytes - torn);
        return -EIO;
    case CSV_FAULT_NONE:
    case CSV_FAULT_ERROR:
        break;
    }
    return -EIO;
}

static int
memory_write(struct csv_dev *dev, uint64_t offset, const void *buffer, size_t bytes)
{
    return change((struct memory_dev *)dev, offset, buffer, bytes);
}

static int
memory_flush(struct csv_dev *dev)
{
    return change((struct memory_dev *)dev, 0, NULL, 0);
}

static int
memory_zero(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    return change((struct memory_dev *)dev, offset, NULL, bytes);
}

static int
memory_discard(struct csv_dev *dev, uint64_t offset, uint64_t bytes)
{
    struct memory_dev *memory = (struct memory_dev *)dev;

    if (is_outside(dev, offset, bytes))
        return -EIO;
    memset(memory->data + offset, 0xd1, bytes); /* undefined means anything but zero */
    return 0;
}

static void
memory_close(struct csv_dev *dev)
{
    free(dev);
}

static const struct csv_dev_ops memory_ops = {
    .read = memory_read,
    .write = memory_write,
    .flush = memory_flush,
    .zero = memory_zero,
    .discard = memory_discard,
    .close = memory_close,
};

int
csv_dev_memory(void *data, uint64_t size_bytes, uint32_t sector_bytes, struct csv_fault *fault,
               struct csv_dev **dev)
{
    struct memory_dev *memory = calloc(1, sizeof(*memory));

    if (!memory)
        return -ENOMEM;
    memory->dev.ops = &memory_ops;
    memory->dev.size_bytes = size_bytes;
    memory->dev.sector_bytes = sector_bytes;
    memory->dev.fd = -1;
    memory->data = data;
    memory->fault = fault;
    *dev = &memory->dev;
    return 0;
}
