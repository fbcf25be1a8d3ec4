#!/usr/bin/env bash
# Run a command with a display of its own (Xvfb), so that it neither needs nor disturbs the one in use.
set -euo pipefail

if command -v xvfb-run >/dev/null && command -v xauth >/dev/null; then
    unset WAYLAND_DISPLAY
    export QT_QPA_PLATFORM=xcb LIBGL_ALWAYS_SOFTWARE=1
    exec xvfb-run --auto-servernum --server-args="-screen 0 1600x1200x24 +extension GLX" "$@"
fi
if [[ $(uname) == Linux && -z ${DISPLAY:-}${WAYLAND_DISPLAY:-} ]]; then
    echo "No display and no xvfb-run: what draws will fail. scripts/system_libraries.sh says what to install." >&2
fi
exec "$@"
