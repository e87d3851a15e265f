/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* volume-format.h - formatting a volume, with all that can be refused before. */
#pragma once

#include "rpc/api-types.h"

/* Refused where a volume or anything else is on the device, unless forced; and in any case where
 * some node has it attached, or may have VMs on it. Blocks for some seconds. */
gboolean mig_format(const MigFormatVolumeRequest *request, GError **error);
