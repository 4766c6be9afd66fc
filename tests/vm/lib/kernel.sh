# shellcheck shell=bash
# Which kernel: a name, a version or a file becomes an image and its modules. Sourced by run.
#
# Debian kernels are unpacked into the cache, never installed: $CACHE_DIR/kernels/lib/modules/VERSION
# holds the modules, `vmlinuz` and the kernel's `config`. What is there is used again without asking the network.

readonly KERNELS_ROOT=$CACHE_DIR/kernels
readonly FETCH_MB=700 # package lists, a package and what is in it
readonly BY_HAND="give a kernel by hand with VM_KERNEL=/path/to/vmlinuz"

# Sets KERNEL_IMAGE, KERNEL_VERSION, MODULES_DIR.
find_kernel() { # NAME|VERSION|PATH
  case $1 in
    main) find_debian_kernel "${VM_MAIN_VERSION:-7.3.*}" ;;
    lts) find_debian_kernel "${VM_LTS_VERSION:-6.18.*}" ;;
    oldest) find_debian_kernel "${VM_OLDEST_VERSION:-6.16.*}" ;;         # src/kernel/ready.rs names it, too
    broken-btf) find_debian_kernel "${VM_BROKEN_BTF_VERSION:-7.2.12}" ;; # refuses every sched_ext program
    no-scx) find_debian_kernel "${VM_NO_SCX_VERSION:-6.12.*}" ;;         # built without sched_ext
    */*) use_kernel_file "$1" ;;
    [0-9]*) find_debian_kernel "$1" ;;
    *) refuse "no kernel named '$1': main, lts, oldest, broken-btf, no-scx, a version or a path to a vmlinuz" ;;
  esac
}

use_kernel_file() { # PATH
  KERNEL_IMAGE=$(realpath -m "$1")
  [[ -f $KERNEL_IMAGE && -r $KERNEL_IMAGE ]] || refuse "cannot read the kernel $1"
  KERNEL_VERSION=$(read_kernel_version "$KERNEL_IMAGE") || refuse "$1 is not a Linux kernel (bzImage)"
  MODULES_DIR=${VM_MODULES:-$(dirname "$KERNEL_IMAGE")}
  [[ -e $MODULES_DIR/modules.dep ]] || MODULES_DIR=/lib/modules/$KERNEL_VERSION
  [[ -e $MODULES_DIR/modules.dep && $MODULES_DIR == */lib/modules/"$KERNEL_VERSION" ]] ||
    refuse "no modules for $1: set VM_MODULES to its lib/modules/$KERNEL_VERSION (with modules.dep)"
}

# The x86 boot header: "HdrS" at 0x202, at 0x20e where the version string is, counted from 0x200.
read_kernel_version() { # PATH
  local offset
  [[ $(read_bytes "$1" 0x202 4) == HdrS ]] || return
  offset=$(od -An -tu2 -j 0x20e -N 2 "$1")
  read_bytes "$1" $((offset + 0x200)) 64 | cut -d ' ' -f 1
}

read_bytes() { # PATH OFFSET COUNT
  dd if="$1" bs=1 skip=$(($2)) count="$3" status=none | tr '\0' '\n' | head -n 1
}

find_debian_kernel() { # VERSION_PATTERN
  if ! pick_cached_kernel "$1"; then
    fetch_kernel "$1"
    pick_cached_kernel "$1" || refuse "the fetched kernel $1 is incomplete: remove $KERNELS_ROOT"
  fi
  KERNEL_IMAGE=$MODULES_DIR/vmlinuz KERNEL_VERSION=$(basename "$MODULES_DIR")
}

pick_cached_kernel() { # VERSION_PATTERN
  MODULES_DIR=$(compgen -G "$KERNELS_ROOT/lib/modules/$1+*/vmlinuz" | sort -V | tail -n 1)
  MODULES_DIR=${MODULES_DIR%/vmlinuz}
  [[ $MODULES_DIR ]]
}

# Two runs at once fetch one after the other; the second finds the first one's kernel.
fetch_kernel() { # VERSION_PATTERN
  local lock free_mb
  { mkdir -p "$KERNELS_ROOT/lib/modules" && : >>"$KERNELS_ROOT/lock"; } 2>/dev/null ||
    refuse "cannot write the cache $KERNELS_ROOT: set XDG_CACHE_HOME or $BY_HAND"
  free_mb=$(df --output=avail --block-size=1M "$KERNELS_ROOT" | tail -n 1 | tr -d ' ')
  ((free_mb >= FETCH_MB)) ||
    refuse "the cache $KERNELS_ROOT has $free_mb MB left and a kernel needs $FETCH_MB: set XDG_CACHE_HOME or $BY_HAND"
  exec {lock}>"$KERNELS_ROOT/lock"
  flock "$lock"
  pick_cached_kernel "$1" || fetch_locked_kernel "$1"
  exec {lock}>&-
}

fetch_locked_kernel() { # VERSION_PATTERN
  local version new=$KERNELS_ROOT/new
  is_debian || refuse "cannot fetch the package linux-image-$1 (not Debian here): $BY_HAND"
  open_apt_view kernels < <(mirror_of_suites trixie trixie-backports) ||
    refuse "cannot fetch the package linux-image-$1 (no network? $CACHE_DIR/apt/kernels/log): $BY_HAND"
  version=$(newest_kernel "$1")
  [[ $version ]] || refuse "there is no package linux-image-$1+deb*-amd64: $BY_HAND"
  echo "vm: fetching the kernel $version (once)" >&2
  # shellcheck disable=SC2064 # the name as it is now
  trap "rm -rf '$new'" EXIT
  rm -rf "$new" && mkdir "$new"
  unpack_kernel "$version" "$new" >"$CACHE_DIR/apt/kernels/log" 2>&1 ||
    refuse "cannot fetch the package linux-image-$version ($CACHE_DIR/apt/kernels/log): $BY_HAND"
  mv "$new/lib/modules/$version" "$KERNELS_ROOT/lib/modules/"
  rm -rf "$new"
  trap - EXIT
}

newest_kernel() { # VERSION_PATTERN
  local pattern=${1//./\\.}
  in_apt_view kernels apt-cache pkgnames linux-image- |
    sed -nE "s/^linux-image-(${pattern//\*/[0-9.]*}\+deb[0-9]+-amd64)$/\1/p" | sort -V | tail -n 1
}

# Debian 7.x splits what linux-image was: the image itself, the modules, and the lists depmod reads.
unpack_kernel() { # VERSION DIRECTORY
  local package file packages=("linux-image-$1")
  if in_apt_view kernels apt-cache show "linux-binary-$1" "linux-modules-$1" >/dev/null 2>&1; then
    packages=("linux-base-$1" "linux-binary-$1" "linux-modules-$1")
  fi
  (cd "$2" && in_apt_view kernels apt-get -qq download "${packages[@]}") || return
  for package in "$2"/*.deb; do
    dpkg-deb -x "$package" "$2" && rm "$package" || return
  done
  [[ -d $2/lib ]] || mv "$2/usr/lib" "$2/lib" || return
  for file in vmlinuz config; do
    [[ ! -e $2/boot/$file-$1 ]] || mv "$2/boot/$file-$1" "$2/lib/modules/$1/$file" || return
  done
  depmod -b "$2" "$1"
}
