/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench-image.c - activates an image as the daemon would, for contenders that move without it. */
/*
 * Prints the device's path and stays, since a loop device lives no longer than its last user. Ends
 * with its parent, which may be outside of its pid namespace.
 */
#include "csv.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
    struct csv_volume *volume;
    struct csv_image image;
    struct csv_error error;
    char path[CSV_PATH_MAX];

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (argc != 3) {
        fputs("usage: bench-image DEVICE IMAGE\n", stderr);
        return 2;
    }
    if (csv_open(argv[1], 0, &volume, &error) || csv_image_find(volume, argv[2], &image, &error) ||
        csv_device_activate(volume, &image, true, path, &error)) {
        fprintf(stderr, "bench-image: %s\n", error.text);
        return 1;
    }
    puts(path);
    fflush(stdout);
    for (;;)
        pause();
}
