#!/bin/sh
# Install what pip cannot, or print the line that does.
# usage: system_packages.sh [rendering] [validator]
set -eu

missing=""

has_library() {
    ldconfig -p 2>/dev/null | grep -q "$1" || find /usr/lib /lib -maxdepth 3 -name "$1*" 2>/dev/null | grep -q .
}

for want in "$@"; do
    case "$want" in
    rendering)
        # Without Mesa's software driver VTK ends the process instead of raising an error.
        has_library libEGL.so.1 || missing="$missing libegl1"
        find /usr/lib -name "swrast_dri.so" -o -name "libgallium*.so" 2>/dev/null | grep -q . || missing="$missing libgl1-mesa-dri"
        # Pictures with Chinese names need a font that has them.
        find /usr/share/fonts /usr/local/share/fonts -iname "*wqy*" -o -iname "*NotoSansCJK*" -o -iname "*NotoSansSC*" 2>/dev/null |
            grep -q . || missing="$missing fonts-wqy-microhei"
        ;;
    validator)
        command -v node >/dev/null 2>&1 || missing="$missing nodejs"
        command -v npm >/dev/null 2>&1 || missing="$missing npm"
        ;;
    *)
        echo "system_packages.sh: unknown group $want" >&2
        exit 2
        ;;
    esac
done

[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Please install what these Debian packages hold:$missing" >&2
    exit 0
fi
if [ "$(id -u)" -eq 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
    echo "Please run once:  sudo apt-get install --no-install-recommends$missing" >&2
fi
