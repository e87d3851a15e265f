/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-types.c - the decoding tables of all messages, and the embedded interface texts. */

#include "rpc/api-types.h"

#define T ApiNode
#include "rpc/api-table.h"
#define T ApiVolume
#include "rpc/api-table.h"
#define T ApiImage
#include "rpc/api-table.h"
#define T ApiVm
#include "rpc/api-table.h"
#define T ApiCheck
#include "rpc/api-table.h"
#define T ApiPhase
#include "rpc/api-table.h"
#define T ApiMoment
#include "rpc/api-table.h"
#define T ApiRange
#include "rpc/api-table.h"
#define T ApiForecast
#include "rpc/api-table.h"
#define T ApiMisses
#include "rpc/api-table.h"
#define T ApiJob
#include "rpc/api-table.h"
#define T ApiEvent
#include "rpc/api-table.h"
#define T ApiTime
#include "rpc/api-table.h"
#define T ApiPlan
#include "rpc/api-table.h"
#define T ApiDrainStep
#include "rpc/api-table.h"
#define T ApiVerdict
#include "rpc/api-table.h"
#define T Empty
#include "rpc/api-table.h"
#define T NameRequest
#include "rpc/api-table.h"
#define T ErrorReply
#include "rpc/api-table.h"
#define T StatusReply
#include "rpc/api-table.h"
#define T ListNodesReply
#include "rpc/api-table.h"
#define T NodeReply
#include "rpc/api-table.h"
#define T CreateClusterRequest
#include "rpc/api-table.h"
#define T JoinClusterRequest
#include "rpc/api-table.h"
#define T RotateKeyReply
#include "rpc/api-table.h"
#define T ClusterReply
#include "rpc/api-table.h"
#define T FormatVolumeRequest
#include "rpc/api-table.h"
#define T AttachVolumeRequest
#include "rpc/api-table.h"
#define T VolumeReply
#include "rpc/api-table.h"
#define T ListVolumesReply
#include "rpc/api-table.h"
#define T ImageRequest
#include "rpc/api-table.h"
#define T CreateImageRequest
#include "rpc/api-table.h"
#define T ImportImageRequest
#include "rpc/api-table.h"
#define T ExportImageRequest
#include "rpc/api-table.h"
#define T RenameImageRequest
#include "rpc/api-table.h"
#define T BackupVolumeRequest
#include "rpc/api-table.h"
#define T PlanSpaceRequest
#include "rpc/api-table.h"
#define T ListImagesRequest
#include "rpc/api-table.h"
#define T ListImagesReply
#include "rpc/api-table.h"
#define T ImageReply
#include "rpc/api-table.h"
#define T DefineVmRequest
#include "rpc/api-table.h"
#define T StartVmRequest
#include "rpc/api-table.h"
#define T StopVmRequest
#include "rpc/api-table.h"
#define T UndefineVmRequest
#include "rpc/api-table.h"
#define T ListVmsReply
#include "rpc/api-table.h"
#define T VmReply
#include "rpc/api-table.h"
#define T SetVmRequest
#include "rpc/api-table.h"
#define T AdoptVmRequest
#include "rpc/api-table.h"
#define T AdoptVmReply
#include "rpc/api-table.h"
#define T ListEventsRequest
#include "rpc/api-table.h"
#define T ListEventsReply
#include "rpc/api-table.h"
#define T TimeoutsReply
#include "rpc/api-table.h"
#define T PlanReply
#include "rpc/api-table.h"
#define T DrainNodeRequest
#include "rpc/api-table.h"
#define T DrainNodeReply
#include "rpc/api-table.h"
#define T CheckVmRequest
#include "rpc/api-table.h"
#define T CheckVmReply
#include "rpc/api-table.h"
#define T CpuBaselineReply
#include "rpc/api-table.h"
#define T PeerCpuReply
#include "rpc/api-table.h"
#define T MoveVmRequest
#include "rpc/api-table.h"
#define T JobReply
#include "rpc/api-table.h"
#define T ListJobsReply
#include "rpc/api-table.h"
#define T JobStatsReply
#include "rpc/api-table.h"
#define T JobRequest
#include "rpc/api-table.h"
#define T SetJobRequest
#include "rpc/api-table.h"
#define T HookDomainRequest
#include "rpc/api-table.h"
#define T PeerPrepareRequest
#include "rpc/api-table.h"
#define T PeerPrepareReply
#include "rpc/api-table.h"
#define T PeerFinishRequest
#include "rpc/api-table.h"
#define T PeerRestartRequest
#include "rpc/api-table.h"
#define T PeerDomainRequest
#include "rpc/api-table.h"
#define T PeerFinishReply
#include "rpc/api-table.h"
#define T PeerDomainReply
#include "rpc/api-table.h"
#define T PeerReserveRequest
#include "rpc/api-table.h"
#define T PeerReserveReply
#include "rpc/api-table.h"
#define T PeerLink
#include "rpc/api-table.h"
#define T PeerChangeRequest
#include "rpc/api-table.h"
#define T PeerChangeReply
#include "rpc/api-table.h"
#define T CoordinatorRequest
#include "rpc/api-table.h"
#define T PeerFollowRequest
#include "rpc/api-table.h"
#define T PeerShareRequest
#include "rpc/api-table.h"
#define T PeerFactsRequest
#include "rpc/api-table.h"
#define T PeerFactsReply
#include "rpc/api-table.h"

/* A message that is in the list but not above does not compile here. */
#define TABLE_COUNT(kind, member, flags, element_type) +1
#define DEFINE_TYPE(T)                                                \
    const MigType mig_type_##T = {#T, sizeof(Mig##T), mig_fields_##T, \
                                  0 MIG_FIELDS_##T(TABLE_COUNT)};
MIG_API_TYPES(DEFINE_TYPE)

const char *const mig_api_varlink =
#include "io.migrated.varlink.inc"
    ;

const char *const mig_peer_varlink =
#include "io.migrated.Peer.varlink.inc"
    ;
