/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copies.h - qemu-img writing into an image: covered by sanlock's watchdog, as QEMU is. */
#pragma once

#include "daemon.h"
#include "drivers/qemu-img.h"

/*
 * A copy holds no lease: sanlock would give the lockspace of a volume up whose path has stalled,
 * with nothing left to wait for, and feed the watchdog on. The others would call the host dead,
 * give the image's space away, and the copy would go on into it when the path is back. So the
 * lockspace is in use for as long as a copy writes, and a copy is killed when sanlock gives the
 * lockspace up. One that does not go, because its I/O hangs, keeps the watchdog from being fed. (On
 * NFS it goes, and what the kernel sends later lands in a file that is nobody else's, ever.)
 */

/* mig_qemu_img_copy() into an image, of this volume, that nobody else uses. */
gboolean mig_copies_into_image(MigDaemon *daemon, const char *volume, const char *from,
                               const char *from_format, const char *device, MigCopyKind kind,
                               const MigCopyHooks *hooks, GError **error);
/* The daemon stops: ends the copies that write to images, and waits for that for a moment. */
void mig_copies_end_all(void);
