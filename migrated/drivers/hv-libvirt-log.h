/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* hv-libvirt-log.h - what libvirt writes into a VM's log when its QEMU begins and ends. */
#pragma once

#include <glib.h>

/* Its last MIG_LIBVIRT_LOG_END bytes; NULL: it cannot be read. Blocks. g_free(). */
#define MIG_LIBVIRT_LOG_END (64 * 1024)
char *mig_libvirt_log_read_end(const char *path);

/* text: the end of such a log. Was the last thing in it that its guest had powered it off? Not so
 * where QEMU died, was ended or moved away, or runs again. What the guest or QEMU writes there is
 * no line of libvirt's: those begin with a time. */
gboolean mig_libvirt_log_is_shut_down(const char *text);
