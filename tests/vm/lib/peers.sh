# shellcheck shell=bash
# Programs of scx's own from the Rust registry, built once into the cache, where benches/peers.rs has them as well.
# Sourced; needs tools/apt.sh.

readonly LOADER_VERSION=1.1.3 BPFLAND_VERSION=1.1.4

# Sets LOADER. What it does takes no time, so that optimising it would be time lost.
prepare_loader() {
  # shellcheck disable=SC2034 # for who sources this
  LOADER=$CACHE_DIR/peers/scx_loader-$LOADER_VERSION/bin/scx_loader
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 install_peer scx_loader "$LOADER_VERSION" ||
    echo "scx_loader $LOADER_VERSION could not be built, so rivals:: will fail" >&2
}

# Sets BPFLAND.
prepare_bpfland() {
  # shellcheck disable=SC2034 # for who sources this
  BPFLAND=$CACHE_DIR/peers/scx_bpfland-$BPFLAND_VERSION/bin/scx_bpfland
  install_peer scx_bpfland "$BPFLAND_VERSION"
}

install_peer() { # NAME VERSION
  local directory=$CACHE_DIR/peers/$1-$2
  [[ ! -x $directory/bin/$1 ]] || return 0
  echo "building $1 $2 (once)" >&2
  BPF_CLANG=${BPF_CLANG:-$PWD/tools/clang} cargo install --locked --quiet --version "$2" --root "$directory" "$1"
}
