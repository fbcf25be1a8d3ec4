#!/usr/bin/env bash
# Bring the system libraries that Qt, OpenGL and a display without a screen need; where that is not possible, say how.
set -euo pipefail

packages=(
    fonts-dejavu-core libdbus-1-3 libegl1 libfontconfig1 libgl1 libgl1-mesa-dri libglib2.0-0 libgssapi-krb5-2
    libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-randr0 libxcb-render-util0 libxcb-shape0
    libxcb-xfixes0 libxcb-xinerama0 libxkbcommon-x11-0 xauth xvfb
)

is_installed() {
    # Since 2024 some packages carry the suffix t64.
    local states
    states=$(dpkg-query --show --showformat '${db:Status-Status}\n' "$1" "$1t64" 2>/dev/null) || true
    grep -q '^installed$' <<<"$states"
}

[[ $(uname) == Linux ]] || exit 0
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    command -v xvfb-run >/dev/null && exit 0
    echo "Qt needs OpenGL, EGL, XCB and Xvfb from the system. They are called, on Fedora for instance:" >&2
    echo "  sudo dnf install xorg-x11-server-Xvfb xauth mesa-dri-drivers mesa-libEGL libxkbcommon-x11 \\" >&2
    echo "    xcb-util-cursor xcb-util-image xcb-util-keysyms xcb-util-renderutil xcb-util-wm" >&2
    exit 0
fi

missing=()
for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
done
[[ ${#missing[@]} -gt 0 ]] || exit 0

if [[ $(id -u) -eq 0 ]]; then
    echo "Installing system libraries: ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq && apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null; then
        exit 0
    fi
    echo "That failed. Going on without; to try again, run:" >&2
else
    echo "System libraries are missing. Going on without; to install them, run:" >&2
fi
echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
