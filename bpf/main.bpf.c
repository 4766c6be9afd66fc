#include <scx/common.bpf.h>
#include "intf.h"
char _license[] SEC("license") = "GPL";
UEI_DEFINE(uei);
void BPF_STRUCT_OPS(gamer_exit, struct scx_exit_info *ei) { UEI_RECORD(uei, ei); }
SCX_OPS_DEFINE(gamer_ops, .exit = (void *)gamer_exit, .timeout_ms = 5000U, .name = "gamer");
