/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What does sched_ext itself cost?
 *
 * How: a scheduler that decides nothing. It has a name and records why it ended; each callback that it
 * leaves out is the kernel's own: wake-ups go to an idle CPU, all others wait in one queue for all CPUs.
 *
 * Limits: the floor of cost, not of waits: nobody goes before anybody.
 */
#include <scx/common.bpf.h>

char _license[] SEC("license") = "GPL";

UEI_DEFINE(uei);

void BPF_STRUCT_OPS(empty_exit, struct scx_exit_info *ei)
{
	UEI_RECORD(uei, ei);
}

SCX_OPS_DEFINE(empty_ops,
	.exit	= (void *)empty_exit,
	.name	= "empty");
