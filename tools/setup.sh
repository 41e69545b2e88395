#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that fovea needs and that are missing. Where none is missing it does nothing.
set -euo pipefail

program=(g++ cmake ninja-build ca-certificates libfmt-dev nlohmann-json3-dev libeigen3-dev libtomlplusplus-dev libcli11-dev
  zlib1g-dev libssl-dev)
checks=(python3 clang-format libgtest-dev)

usage() {
  cat <<END
usage: tools/setup.sh [--check]
Installs what fovea needs to be built and run (Debian 12, Ubuntu 24.04), as root or through sudo.
  --check   also what ./check needs
Exit codes: 0 nothing is missing any more, 2 packages are missing and cannot be installed from here, else that of apt-get.
END
}

wanted=("${program[@]}")
for option in "$@"; do
  case $option in
    --check) wanted+=("${checks[@]}") ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup: unknown option \`$option\`" >&2; usage >&2; exit 2 ;;
  esac
done

if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
  echo "setup: this system has no apt, so nothing is installed here. Needed, by their names in Debian: ${wanted[*]}" >&2
  for tool in c++ cmake ninja; do
    command -v "$tool" >/dev/null || { echo "setup: \`$tool\` is not on the PATH" >&2; exit 2; }
  done
  exit 0
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)
missing=()
for package in "${wanted[@]}"; do
  grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

install=(apt-get install -y --no-install-recommends "${missing[@]}")
if [ "$(id -u)" -eq 0 ]; then
  as_root=(env)
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
  as_root=(sudo env)
else
  cat >&2 <<END
setup: missing packages: ${missing[*]}
setup: they cannot be installed from here: this user is neither root nor able to use sudo. An administrator must run:

  apt-get update && ${install[*]}

END
  exit 2
fi

echo "setup: installing ${missing[*]}"
"${as_root[@]}" apt-get update -q
"${as_root[@]}" DEBIAN_FRONTEND=noninteractive "${install[@]}" -q
