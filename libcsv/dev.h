/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* dev.h - the port to storage: what a volume asks of the thing it lives on. */
#pragma once

/*
 * Two implementations: dev-file.c (direct I/O on a block device or a regular file) and
 * dev-memory.c (memory, with a fault to inject). Nothing above this line knows which one it has,
 * but for sanlock's areas and image devices, which need a path.
 *
 * Every callback returns 0 or a negative errno. Offsets, sizes and buffers are multiples of 4096
 * bytes; a read or write is complete or it failed (and a failed write may have landed, wholly or
 * in part, in any order of its sectors).
 */

#include "csv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CSV_DEV_ALIGN 4096u

struct csv_dev;

/* A range to read piece by piece; all three are multiples of 4096. */
struct csv_range {
    uint64_t offset, bytes;
    size_t piece_bytes;
};
/* Gets one piece after the other, each once; what is in it may be changed. Not 0: no more. */
typedef int (*csv_dev_piece)(void *piece, size_t bytes, void *data);

struct csv_dev_ops {
    int (*read)(struct csv_dev *dev, uint64_t offset, void *buffer, size_t bytes);
    /* Reads a long range in order, with several pieces under way at once. -EAGAIN: not now, nothing
     * was done. NULL: cannot. See csv_dev_stream(). */
    int (*stream)(struct csv_dev *dev, const struct csv_range *range, csv_dev_piece visit,
                  void *data);
    int (*write)(struct csv_dev *dev, uint64_t offset, const void *buffer, size_t bytes);
    /* What was written before is durable after. */
    int (*flush)(struct csv_dev *dev);
    /* Reads as zero after; falls back to writing zeroes. */
    int (*zero)(struct csv_dev *dev, uint64_t offset, uint64_t bytes);
    /* A hint: contents are undefined after. -EOPNOTSUPP where the device has no such thing. */
    int (*discard)(struct csv_dev *dev, uint64_t offset, uint64_t bytes);
    /* Updates size_bytes: a LUN may have grown. NULL: it does not. */
    int (*measure)(struct csv_dev *dev);
    void (*close)(struct csv_dev *dev);
};

struct csv_dev {
    const struct csv_dev_ops *ops;
    uint64_t size_bytes;
    uint32_t sector_bytes; /* logical: 512 or 4096 */
    bool is_read_only;
    bool is_block;    /* a block device, not a regular file */
    const char *path; /* NULL: memory; sanlock and image devices are out of reach */
    int fd;           /* -1: memory */
    /* A directory: path is its catalogue's, and images are files beside it. */
    bool is_directory;
    const char *directory; /* as given to open */
    int directory_fd;      /* where is_directory */
    bool is_local;         /* by its mount; of one that may be written */
};

#define CSV_CATALOGUE_FILE "catalogue"

/* Opens a block device, a regular file or a directory's catalogue with O_DIRECT. A regular file has
 * no sectors of its own: file_sector_bytes says how many bytes it shall count as, 0 means 512. */
int
csv_dev_open(const char *path, bool read_only, uint32_t file_sector_bytes, struct csv_dev **dev);
/* As it, of a directory too that has no catalogue yet: it gets an empty one, *is_new then. */
int csv_dev_open_or_make(const char *path, struct csv_dev **dev, bool *is_new);
/* Takes the catalogue away that csv_dev_open_or_make() made. */
void csv_dev_unmake(const char *directory);
/* Says why one of the two failed, and returns a code: otherwise, where it is none of their own. */
int csv_dev_fail(const char *path, int result, int otherwise, struct csv_error *error);
/* Makes a regular file that long; what is new is there and zero. */
int csv_dev_resize(struct csv_dev *dev, uint64_t bytes);

/* What may go wrong with the one write (or zeroing, or flush) that is number `at`, from 1. */
enum csv_fault_kind {
    CSV_FAULT_NONE,
    CSV_FAULT_ERROR,        /* nothing lands, error */
    CSV_FAULT_LOST,         /* nothing lands, success */
    CSV_FAULT_LANDED_ERROR, /* all lands, error */
    CSV_FAULT_TORN_ERROR,   /* the first torn_bytes land, error */
    CSV_FAULT_TORN,         /* the first torn_bytes land, success */
    CSV_FAULT_TORN_TAIL,    /* all but the first torn_bytes land, error */
};

struct csv_fault {
    enum csv_fault_kind kind;
    uint64_t at;
    uint64_t torn_bytes; /* a sector is the least that hardware tears; here any byte is */
    bool then_dead;      /* everything after it fails too: the machine is gone */
    uint64_t count;      /* writes seen so far */
};

/* A device over the caller's memory, which outlives it. fault may be NULL; it stays the caller's.
 */
int csv_dev_memory(void *data, uint64_t size_bytes, uint32_t sector_bytes, struct csv_fault *fault,
                   struct csv_dev **dev);

/* Reads a range and shows it to visit, the fastest way that the device has. 0 also where visit
 * wanted no more. */
int
csv_dev_stream(struct csv_dev *dev, const struct csv_range *range, csv_dev_piece visit, void *data);

void csv_dev_close(struct csv_dev *dev);

/* All of it at an offset of an open file, in pieces of 1 MiB; else a negative errno, -EIO where
 * there is no more. What was transferred until then stays. */
int csv_fd_read(int fd, uint64_t offset, void *buffer, size_t bytes);
int csv_fd_write(int fd, uint64_t offset, const void *buffer, size_t bytes);

/* A zeroed buffer fit for direct I/O; free() it. NULL: no memory. */
void *csv_dev_buffer(size_t bytes);

/* The same with anything in it, for what is only read into: to touch megabytes first costs more
 * than to read them. */
void *csv_dev_space(size_t bytes);
