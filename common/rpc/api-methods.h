/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* api-methods.h - every method of both interfaces with its messages and flags: the one list. */
#pragma once

#include "rpc/api-types.h"
#include "rpc/server.h"

/*
 * The .varlink texts are compared with this list by a test, and a table of handlers can be made of
 * it, so that neither forgets a method.
 *
 * X(method, request, reply, flags)
 */

/* clang-format off */
#define MIG_API_METHODS(X) \
    X(GetStatus, Empty, StatusReply, MIG_RPC_METHOD_READ) \
    X(ListNodes, Empty, ListNodesReply, MIG_RPC_METHOD_READ) \
    X(GetNode, NameRequest, NodeReply, MIG_RPC_METHOD_READ) \
    X(RemoveNode, NameRequest, Empty, 0) \
    X(PardonNode, NameRequest, Empty, 0) \
    X(RotateKey, Empty, RotateKeyReply, 0) \
    X(CreateCluster, CreateClusterRequest, ClusterReply, MIG_RPC_METHOD_ROOT) \
    X(JoinCluster, JoinClusterRequest, ClusterReply, MIG_RPC_METHOD_ROOT) \
    X(LeaveCluster, Empty, Empty, MIG_RPC_METHOD_ROOT) \
    X(FormatVolume, FormatVolumeRequest, VolumeReply, MIG_RPC_METHOD_ROOT) \
    X(AttachVolume, AttachVolumeRequest, VolumeReply, MIG_RPC_METHOD_ROOT) \
    X(DetachVolume, NameRequest, Empty, 0) \
    X(ListVolumes, Empty, ListVolumesReply, MIG_RPC_METHOD_READ) \
    X(GetVolume, NameRequest, VolumeReply, MIG_RPC_METHOD_READ) \
    X(SetCoordinator, CoordinatorRequest, VolumeReply, 0) \
    X(CreateImage, CreateImageRequest, ImageReply, 0) \
    X(ImportImage, ImportImageRequest, ImageReply, MIG_RPC_METHOD_MORE | MIG_RPC_METHOD_ROOT) \
    X(ExportImage, ExportImageRequest, ImageReply, MIG_RPC_METHOD_MORE | MIG_RPC_METHOD_ROOT) \
    X(ListImages, ListImagesRequest, ListImagesReply, MIG_RPC_METHOD_READ) \
    X(DeleteImage, ImageRequest, Empty, 0) \
    X(RenameImage, RenameImageRequest, Empty, 0) \
    X(GrowImage, CreateImageRequest, ImageReply, 0) \
    X(CloneImage, RenameImageRequest, ImageReply, MIG_RPC_METHOD_MORE) \
    X(GrowVolume, NameRequest, VolumeReply, 0) \
    X(BackupVolume, BackupVolumeRequest, Empty, MIG_RPC_METHOD_ROOT) \
    X(PlanSpace, PlanSpaceRequest, ListImagesReply, MIG_RPC_METHOD_READ) \
    X(DefineVm, DefineVmRequest, VmReply, 0) \
    X(AdoptVm, AdoptVmRequest, AdoptVmReply, MIG_RPC_METHOD_MORE | MIG_RPC_METHOD_ROOT) \
    X(StartVm, StartVmRequest, VmReply, 0) \
    X(StopVm, StopVmRequest, VmReply, 0) \
    X(ListVms, Empty, ListVmsReply, MIG_RPC_METHOD_READ) \
    X(GetVm, NameRequest, VmReply, MIG_RPC_METHOD_READ) \
    X(UndefineVm, UndefineVmRequest, Empty, 0) \
    X(SetVm, SetVmRequest, VmReply, 0) \
    X(ListEvents, ListEventsRequest, ListEventsReply, MIG_RPC_METHOD_READ) \
    X(GetTimeouts, Empty, TimeoutsReply, MIG_RPC_METHOD_READ) \
    X(PlanNodeDown, NameRequest, PlanReply, MIG_RPC_METHOD_READ) \
    X(DrainNode, DrainNodeRequest, DrainNodeReply, 0) \
    X(UndrainNode, NameRequest, Empty, 0) \
    X(CheckVm, CheckVmRequest, CheckVmReply, MIG_RPC_METHOD_READ) \
    X(GetCpuBaseline, Empty, CpuBaselineReply, MIG_RPC_METHOD_READ) \
    X(MoveVm, MoveVmRequest, JobReply, MIG_RPC_METHOD_MORE) \
    X(ListJobs, Empty, ListJobsReply, MIG_RPC_METHOD_READ) \
    X(GetJobStats, Empty, JobStatsReply, MIG_RPC_METHOD_READ) \
    X(GetJob, JobRequest, JobReply, MIG_RPC_METHOD_READ) \
    X(WatchJob, JobRequest, JobReply, MIG_RPC_METHOD_MORE | MIG_RPC_METHOD_READ) \
    X(CancelJob, JobRequest, JobReply, 0) \
    X(SetJob, SetJobRequest, JobReply, 0) \
    X(ResumeJob, JobRequest, JobReply, 0) \
    X(HookDomain, HookDomainRequest, Empty, MIG_RPC_METHOD_ROOT)

#define MIG_PEER_METHODS(X) \
    X(GetCpu, Empty, PeerCpuReply, MIG_RPC_METHOD_READ) \
    X(GetFacts, PeerFactsRequest, PeerFactsReply, MIG_RPC_METHOD_READ) \
    X(CheckVm, CheckVmRequest, CheckVmReply, MIG_RPC_METHOD_READ) \
    X(Prepare, PeerPrepareRequest, PeerPrepareReply, 0) \
    X(Finish, PeerFinishRequest, PeerFinishReply, 0) \
    X(GetDomain, PeerDomainRequest, PeerDomainReply, MIG_RPC_METHOD_READ) \
    X(Reserve, PeerReserveRequest, PeerReserveReply, 0) \
    X(Release, JobRequest, Empty, 0) \
    X(Wake, JobRequest, Empty, 0) \
    X(Share, PeerShareRequest, Empty, 0) \
    X(FollowMove, PeerFollowRequest, JobReply, 0) \
    X(StartVm, StartVmRequest, VmReply, 0) \
    X(StopVm, StopVmRequest, VmReply, 0) \
    X(RecoverVm, NameRequest, VmReply, 0) \
    X(AskRestart, PeerRestartRequest, Empty, 0) \
    X(GrowImage, CreateImageRequest, ImageReply, 0) \
    X(ListEvents, ListEventsRequest, ListEventsReply, MIG_RPC_METHOD_READ) \
    X(MoveVm, MoveVmRequest, JobReply, MIG_RPC_METHOD_MORE) \
    X(ListJobs, Empty, ListJobsReply, MIG_RPC_METHOD_READ) \
    X(GetJob, JobRequest, JobReply, MIG_RPC_METHOD_READ) \
    X(WatchJob, JobRequest, JobReply, MIG_RPC_METHOD_MORE | MIG_RPC_METHOD_READ) \
    X(CancelJob, JobRequest, JobReply, 0) \
    X(SetJob, SetJobRequest, JobReply, 0) \
    X(ResumeJob, JobRequest, JobReply, 0) \
    X(DrainNode, DrainNodeRequest, DrainNodeReply, 0) \
    X(UndrainNode, NameRequest, Empty, 0) \
    X(PardonNode, NameRequest, Empty, 0) \
    X(Change, PeerChangeRequest, PeerChangeReply, 0) \
    X(TakeCoordinator, NameRequest, Empty, 0) \
    X(GiveCoordinator, CoordinatorRequest, Empty, 0) \
    X(OpenLibvirt, Empty, Empty, MIG_RPC_METHOD_UPGRADE)
/* clang-format on */
