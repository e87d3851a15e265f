/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* definition-disks.h - what libvirt has to be told of disks: are images devices or files here? */
#pragma once

#include <glib.h>

/* A definition says /dev/csv/VOLUME/IMAGE whatever kind of volume that is; libvirt and QEMU have to
 * know whether a device or a file lies behind it. Returns the definition with the type that each
 * disk's image has on this host now; one that is not active stays as it is. A file that is QEMU's
 * already is marked to be left so. g_free(). Any thread.
 */
char *mig_definition_fit_disks(const char *xml, GError **error);
/* The <disk> that a running one is copied to: an image that is active here. g_free(). */
char *mig_definition_copy_disk(const char *device);
/* Is an image of it a file, as libvirt sees it? */
gboolean mig_definition_has_files(const char *xml);
