# shellcheck shell=bash
# A directory in which wine has played before: its first start takes seconds here and a minute in an emulated machine.
# Sourced by ring; needs tools/apt.sh.

WINE_PREFIX=$CACHE_DIR/wine-$(dpkg-query -W -f '${Version}' libwine 2>/dev/null || echo unknown)

# Makes it, unless it is there. A guest writes to a layer of its own above it.
prepare_wine() {
  [[ -e $WINE_PREFIX/system.reg ]] || make_prefix || echo "vm ring: wine has made no prefix, so wine:: will fail" >&2
}

make_prefix() {
  rm -rf "$WINE_PREFIX.new"
  mkdir -p "$WINE_PREFIX.new"
  # Nobody is asked for a browser engine or .NET.
  WINEPREFIX=$WINE_PREFIX.new WINEDEBUG=-all WINEDLLOVERRIDES='mscoree=;mshtml=' DISPLAY='' \
    timeout 300 /usr/lib/wine/wine64 wineboot --init >/dev/null 2>&1 || return
  WINEPREFIX=$WINE_PREFIX.new timeout 60 /usr/lib/wine/wineserver64 --wait || return
  mv "$WINE_PREFIX.new" "$WINE_PREFIX"
}
