# shellcheck shell=bash
# The initial ramdisk: busybox, the modules that reach the host's files, the job. Sourced by run.

# Transport of the host's files and of the command's output, and the layer above the files.
readonly BOOT_MODULES=(virtio_pci virtio_console 9pnet_virtio 9p overlay)

# Writes DIRECTORY/initramfs; DIRECTORY/job goes into it.
build_initramfs() { # DIRECTORY
  local root=$1/root
  mkdir -p "$root"/{bin,proc,sys,dev,host,layer,root,modules} &&
    cp "$(command -v busybox)" "$root/bin/busybox" &&
    cp "$VM_DIR"/boot/{init,pid1,systemd} "$1/job" "$root/" &&
    unpack_modules "$root/modules" || return
  (cd "$root" && find . | cpio -o -H newc --quiet) >"$1/initramfs"
}

# In the order they have to be inserted, named 11.ko, 12.ko, ...
unpack_modules() { # DIRECTORY
  local kind path index=10
  while read -r kind path _; do
    [[ $kind == insmod ]] || continue # "builtin": nothing to do
    ((index += 1))
    decompress "$path" >"$1/$index.ko" || return
  done < <(list_modules | awk '!seen[$0]++')
}

list_modules() {
  local module
  for module in "${BOOT_MODULES[@]}"; do
    modprobe --show-depends -C /dev/null -d "${MODULES_DIR%/lib/modules/*}/" -S "$KERNEL_VERSION" "$module"
  done
}

decompress() { # PATH
  case $1 in
    *.xz) xz -dc "$1" ;;
    *.zst) zstd -qdc "$1" ;;
    *.gz) gzip -dc "$1" ;;
    *) cat "$1" ;;
  esac
}
