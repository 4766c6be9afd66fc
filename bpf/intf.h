#ifndef __INTF_H
#define __INTF_H
enum consts { GR_MAX_CPUS = 1024 };
#endif
