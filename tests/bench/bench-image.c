/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench-image.c - activates an image as the daemon would, for contenders that move without it. */
/*
 * Prints the device's path and stays, since a loop device lives no longer than its last user. Ends
 * with its parent, which may be outside of its pid namespace. Given a size it makes the image
 * first, and prints where on the LUN it starts, too.
 */
#include "csv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    struct csv_volume *volume;
    struct csv_image image;
    struct csv_error error;
    const struct csv_epoch epoch = {1, 1, 1, ""};
    char path[CSV_PATH_MAX];

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (argc != 3 && argc != 4) {
        fputs("usage: bench-image DEVICE IMAGE [BYTES]\n", stderr);
        return 2;
    }
    if (csv_open(argv[1], 0, &volume, &error) ||
        (argc == 4 && csv_image_create(volume, &epoch, argv[2], strtoull(argv[3], NULL, 10),
                                       CSV_CREATE_ONE_PIECE, NULL, &error)) ||
        csv_image_find(volume, argv[2], &image, &error) ||
        csv_device_activate(volume, &image, true, path, &error)) {
        fprintf(stderr, "bench-image: %s\n", error.text);
        return 1;
    }
    if (argc == 4)
        printf("%s %llu\n", path, (unsigned long long)image.extents[0].offset_bytes);
    else
        puts(path);
    fflush(stdout);
    for (;;)
        pause();
}
