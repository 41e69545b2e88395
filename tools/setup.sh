#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that fovea needs and that are missing, and a CUDA compiler where one is asked for.
# Where nothing is missing it does nothing.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

program=(g++ cmake ninja-build pkg-config ca-certificates libfmt-dev nlohmann-json3-dev libeigen3-dev libhwy-dev
  libtomlplusplus-dev libcli11-dev zlib1g-dev libssl-dev)
checks=(python3 clang-format libgtest-dev)
# NVIDIA's wheels on PyPI: compiler, headers and the static runtime of CUDA 13.0, which every driver from 580 on can run.
cuda_packages=(python3 python3-pip)
cuda_wheels=(nvidia-cuda-nvcc==13.0.* nvidia-cuda-crt==13.0.* nvidia-nvvm==13.0.* nvidia-cuda-runtime==13.0.* nvidia-cuda-cccl==13.0.*)
cuda_folder=$root/.cuda

usage() {
  cat <<END
usage: tools/setup.sh [--check] [--cuda]
Installs what fovea needs to be built and run (Debian 12, Ubuntu 24.04), as root or through sudo.
  --check   also what ./check needs
  --cuda    also, where there is no nvcc, the CUDA compiler: NVIDIA's Python wheels, into .cuda/ (270 MB), where CMake finds it
Exit codes: 0 nothing is missing any more, 2 packages are missing and cannot be installed from here, else that of apt-get or pip.
END
}

# In the order in which CMake looks for it (fovea/backend/cuda/CMakeLists.txt).
has_nvcc() {
  command -v nvcc >/dev/null && return
  local folder
  for folder in "${CUDA_HOME-}" "${CUDA_PATH-}" /usr/local/cuda /opt/cuda "$cuda_folder/nvidia/cu13"; do
    [ -n "$folder" ] && [ -x "$folder/bin/nvcc" ] && return
  done
  [ -n "${CUDACXX-}" ]
}

wanted=("${program[@]}") cuda=no
for option in "$@"; do
  case $option in
    --check) wanted+=("${checks[@]}") ;;
    --cuda) cuda=$(has_nvcc && echo no || echo wanted) ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup: unknown option \`$option\`" >&2; usage >&2; exit 2 ;;
  esac
done

[ "$cuda" = no ] || python3 -m pip --version >/dev/null 2>&1 || wanted+=("${cuda_packages[@]}")

install_packages() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "setup: this system has no apt, so nothing is installed here. Needed, by their names in Debian: ${wanted[*]}" >&2
    for tool in c++ cmake ninja; do
      command -v "$tool" >/dev/null || { echo "setup: \`$tool\` is not on the PATH" >&2; exit 2; }
    done
    return 0
  fi

  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)
  missing=()
  for package in "${wanted[@]}"; do
    grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0

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
}

# Into a folder beside it first, so that a download that breaks off leaves nothing that looks whole.
install_cuda() {
  echo "setup: fetching the CUDA compiler into $cuda_folder: ${cuda_wheels[*]}"
  rm -rf "$cuda_folder.tmp"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --target "$cuda_folder.tmp" "${cuda_wheels[@]}"
  ln -s lib "$cuda_folder.tmp/nvidia/cu13/lib64"  # where nvcc looks for its runtime
  rm -rf "$cuda_folder"
  mv "$cuda_folder.tmp" "$cuda_folder"
}

install_packages
[ "$cuda" = no ] || install_cuda
