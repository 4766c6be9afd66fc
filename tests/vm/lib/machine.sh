# shellcheck shell=bash disable=SC2054 # QEMU's words have commas
# The virtual machine itself: QEMU's words, and whether KVM is any good here. Sourced by run.

# Sets QEMU, the command without its channels.
choose_accelerator() {
  local accel=${VM_ACCEL:-}
  command -v qemu-system-x86_64 >/dev/null || refuse "qemu-system-x86_64 is missing: run 'make deps'"
  [[ ! ${VM_ICOUNT:-} ]] || accel=icount
  [[ $accel ]] || accel=$(probe_accelerator)
  QEMU=(qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -machine q35 -vga "${VM_DISPLAY:+std}")
  [[ ${VM_DISPLAY:-} ]] || QEMU[-1]=none
  choose_processors "$accel"
  case $accel in
    kvm) QEMU+=(-accel kvm -cpu host) ;;
    # With a thread for each CPU, QEMU 10.0.2 now and then executes a breakpoint that the kernel has taken
    # out again while it attaches a scheduler ("Oops: int3" in __schedule). Frame times need those threads
    # (VM_TCG_THREAD=multi); tests do not.
    tcg) QEMU+=(-accel "tcg,thread=${VM_TCG_THREAD:-single}" -cpu max) ;;
    # The guest's clock is its count of instructions, 1 ns each: the same again on a busy machine. Several CPUs
    # share the clock and take turns, so that each looks slow but never stops.
    icount) QEMU+=(-accel tcg,thread=single -icount shift=0,sleep=off -cpu max) ;;
    *) refuse "VM_ACCEL is kvm or tcg, not '$accel'" ;;
  esac
  read -ra extra <<<"${VM_QEMU_EXTRA:-}"
  QEMU+=("${extra[@]}")
}

# Adds the processors and the memory.
choose_processors() { # ACCELERATOR
  local cpus=2
  [[ $1 != icount ]] || cpus=1
  case ${VM_MACHINE:-} in
    '') QEMU+=(-smp "${VM_CPUS:-$cpus}" -m "${VM_MEMORY:-4G}") ;;
    # Two nodes of two cores with two threads each, as a server or a large desktop has them.
    many) QEMU+=(-smp 8,sockets=2,cores=2,threads=2 -m 4G
      -object memory-backend-ram,id=near,size=2G -numa node,nodeid=0,cpus=0-3,memdev=near
      -object memory-backend-ram,id=far,size=2G -numa node,nodeid=1,cpus=4-7,memdev=far) ;;
    *) refuse "VM_MACHINE is many or nothing, not '$VM_MACHINE'" ;;
  esac
}

# /dev/kvm may open and still not boot a kernel, so a guest has to. Remembered until the host reboots.
probe_accelerator() {
  local remembered=$CACHE_DIR/accelerator boot_id accel=tcg
  boot_id=$(</proc/sys/kernel/random/boot_id)
  if [[ -r $remembered && $(<"$remembered") == "$boot_id "* ]]; then
    cut -d ' ' -f 2 "$remembered"
    return
  fi
  if [[ -w /dev/kvm ]] && VM_ACCEL=kvm "$VM_DIR/run" --kernel "$KERNEL" --timeout 5 -- true >/dev/null 2>&1; then
    accel=kvm
  fi
  echo "$boot_id $accel" >"$remembered.$$" && mv "$remembered.$$" "$remembered"
  echo "$accel"
}

# What the machine boots, the host's files, and where its output goes: the open descriptors.
add_channels() {
  # nokaslr, tsc=reliable: under emulation the tsc is found unstable after 20 s and the slow hpet
  # is read instead. panic=-1 with -no-reboot: a panic ends QEMU at once.
  QEMU+=(-kernel "$KERNEL_IMAGE" -initrd "/dev/fd/$INITRAMFS_FD"
    -append "console=ttyS0 quiet loglevel=4 nokaslr tsc=reliable panic=-1 oops=panic"
    -chardev "file,id=log,path=/dev/fd/$LOG_FD,append=on" -serial chardev:log
    -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap)
  add_device 1 virtio-9p-pci,fsdev=host,mount_tag=host
  add_device 2 virtio-serial-pci
  if [[ $SHELL_MODE ]]; then
    QEMU+=(-chardev stdio,id=terminal,signal=off -device virtconsole,chardev=terminal)
  fi
  add_port stdout "$OUT_FD"
  add_port stderr "$ERR_FD"
  add_port status "$STATUS_FD"
}

# On a port of its own a device can keep its state while the guest is suspended. Others are reset, and the driver of
# 9p does not start one anew.
add_device() { # NUMBER DEVICE
  QEMU+=(-device "pcie-root-port,id=port$1,chassis=$1" -device "$2,bus=port$1,x-pcie-pm-no-soft-reset=on")
}

add_port() { # NAME FD
  QEMU+=(-chardev "file,id=$1,path=/dev/fd/$2,append=on" -device "virtserialport,chardev=$1,name=$1")
}
