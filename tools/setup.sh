#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that fovea needs and that are missing, and CUDA where it is asked for.
# Where nothing is missing it does nothing.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

program=(g++ cmake ninja-build pkg-config ca-certificates libfmt-dev nlohmann-json3-dev libeigen3-dev libhwy-dev
  libtomlplusplus-dev libcli11-dev zlib1g-dev libssl-dev)
optional=(libdnnl-dev) # for the backend onednn; what else there is does not depend on it
checks=(python3 clang-format libgtest-dev)
report=(python3 chromium fonts-dejavu-core)
tsan=(clang libclang-rt-dev llvm) # the last one gives the reports their names and lines
# NVIDIA's wheels on PyPI, the only place that names their versions. Every driver from 580 on can run CUDA 13.0.
cuda_series=13.0
compiler_wheels=("nvidia-"{cuda-nvcc,cuda-crt,cuda-runtime,cuda-cccl,nvvm}"==$cuda_series.*")
library_wheels=("nvidia-cublas==$cuda_series.*" "nvidia-cuda-nvrtc==$cuda_series.*" "nvidia-cudnn-cu13==9.19.*" "nvidia-nccl-cu13==2.28.*")
frontend_wheels=("nvidia-cudnn-frontend==1.32.*") # its headers
cuda_folder=$root/.cuda
tensorboard_wheels=("tensorboard==2.21.*" "absl-py==2.*" "numpy==2.*" "protobuf==7.*") # those of its packages that reading takes

usage() {
  cat <<END
usage: tools/setup.sh [--check] [--report] [--tsan] [--cuda] [--cuda-libraries] [--cudnn-frontend]
Installs what fovea needs to be built and run (Debian 12, Ubuntu 24.04), as root or through sudo.
  --check            also what ./check needs
  --report           also what ./check --report needs: Debian's chromium (122 MB to fetch), unless there is one on the PATH or in CHROMIUM,
                     and TensorBoard, into .tensorboard/ (25 MB)
  --tsan             also what ./check --tsan needs
  --cuda             also, where there is no nvcc, the CUDA compiler with its headers and static runtime: NVIDIA's Python
                     wheels, into .cuda/compiler/ (105 MB to fetch), where CMake finds it
  --cuda-libraries   also cuBLAS, cuDNN and NCCL in the same way, into .cuda/libraries/ (1.3 GB to fetch); the backend cudnn needs
                     the first two when it is built, for their headers, and when it runs
  --cudnn-frontend   also, where there are nvcc and the headers of cuDNN, the headers of cudnn-frontend, into .cuda/frontend/
                     (12 MB to fetch), with which the backend cudnn is built
Exit codes: 0 nothing is missing any more, 2 something is missing and cannot be installed from here, else that of apt-get or pip.
END
}

# In the order in which CMake looks for it (fovea/backend/cuda/CMakeLists.txt).
has_nvcc() {
  [ -z "${CUDACXX-}" ] || return 0
  local folder
  for folder in "${CUDA_HOME-}" "${CUDA_PATH-}"; do
    [ -z "$folder" ] || [ ! -x "$folder/bin/nvcc" ] || return 0
  done
  command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ] || [ -x /opt/cuda/bin/nvcc ]
}

# In the order in which CMake looks for it (fovea/backend/cudnn/CMakeLists.txt).
has_cudnn_headers() {
  local folder
  for folder in /usr/local/include /usr/local/cuda/include /usr/include "$cuda_folder/libraries/nvidia/cudnn/include"; do
    [ ! -e "$folder/cudnn_version.h" ] || return 0
  done
  return 1
}

has_chromium() {
  local name
  for name in ${CHROMIUM:-chromium chromium-browser google-chrome google-chrome-stable}; do
    ! command -v "$name" >/dev/null || return 0
  done
  return 1
}

folder_of() { if [ "$1" = tensorboard ]; then echo "$root/.tensorboard"; else echo "$cuda_folder/$1"; fi; }

# Whether the folder of PART holds what was fetched from these wheels: has_wheels PART WHEEL...
has_wheels() { [ "$(cat "$(folder_of "$1")/wheels.txt" 2>/dev/null)" = "${*:2}" ]; }

wanted=("${program[@]}") parts=() wants_frontend=no
for option in "$@"; do
  case $option in
    --check) wanted+=("${checks[@]}") ;;
    --report)
      has_chromium || wanted+=("${report[@]}")
      has_wheels tensorboard "${tensorboard_wheels[@]}" || parts+=(tensorboard) ;;
    --tsan) wanted+=("${tsan[@]}") ;;
    --cuda) has_nvcc || has_wheels compiler "${compiler_wheels[@]}" || parts+=(compiler) ;;
    --cuda-libraries) has_wheels libraries "${library_wheels[@]}" || parts+=(libraries) ;;
    --cudnn-frontend) wants_frontend=yes ;;
    -h | --help) usage; exit 0 ;;
    *) echo "setup: unknown option \`$option\`" >&2; usage >&2; exit 2 ;;
  esac
done

if [ $wants_frontend = yes ] && ! has_wheels frontend "${frontend_wheels[@]}"; then
  case " ${parts[*]-} " in
    *" libraries "*) parts+=(frontend) ;;
    *) ! has_cudnn_headers || ! { has_nvcc || [ -d "$cuda_folder/compiler" ]; } || parts+=(frontend) ;;
  esac
fi

has_pip() { python3 -m pip --version >/dev/null 2>&1; }
[ ${#parts[@]} -eq 0 ] || has_pip || wanted+=(python3 python3-pip)

install_packages() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    echo "setup: this system has no apt, so nothing is installed here. Needed, by their names in Debian: ${wanted[*]}" >&2
    for tool in c++ cmake ninja; do
      command -v "$tool" >/dev/null || { echo "setup: \`$tool\` is not on the PATH" >&2; exit 2; }
    done
    return 0
  fi

  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${wanted[@]}" "${optional[@]}" 2>/dev/null || true)
  missing=() extra=()
  for package in "${wanted[@]}"; do
    grep -qxF "installed $package" <<<"$installed" || missing+=("$package")
  done
  for package in "${optional[@]}"; do
    grep -qxF "installed $package" <<<"$installed" || extra+=("$package")
  done
  [ $((${#missing[@]} + ${#extra[@]})) -gt 0 ] || return 0

  install=(apt-get install -y --no-install-recommends "${missing[@]}")
  if [ "$(id -u)" -eq 0 ]; then
    as_root=(env)
  elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }; }; then
    as_root=(sudo env)
  elif [ ${#missing[@]} -eq 0 ]; then
    echo "setup: without ${extra[*]}, which an administrator can install, fovea lacks a backend; all else works" >&2
    return 0
  else
    cat >&2 <<END
setup: missing packages: ${missing[*]}
setup: they cannot be installed from here: this user is neither root nor able to use sudo. An administrator must run:

  apt-get update && ${install[*]}

END
    exit 2
  fi

  echo "setup: installing ${missing[*]-} ${extra[*]-}"
  "${as_root[@]}" apt-get update -q
  [ ${#missing[@]} -eq 0 ] || "${as_root[@]}" DEBIAN_FRONTEND=noninteractive "${install[@]}" -q
  [ ${#extra[@]} -eq 0 ] || "${as_root[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${extra[@]}" -q ||
    echo "setup: without ${extra[*]} fovea is built without the backend onednn; all else works" >&2
}

# Into a folder beside it first, so that a download that breaks off leaves nothing that looks whole: fetch PART WHEEL...
fetch() {
  local folder code=0
  folder=$(folder_of "$1")
  shift
  echo "setup: fetching into $folder: $*"
  rm -rf "$folder.tmp"
  python3 -m pip install --quiet --disable-pip-version-check --root-user-action ignore --no-deps \
    --only-binary :all: --target "$folder.tmp" "$@" || code=$?
  if [ $code -ne 0 ]; then
    echo "setup: pip could not fetch them; its words stand above" >&2
    [ "${folder##*/}" != compiler ] || echo "setup: a CUDA toolkit of your own will do: put its nvcc on the PATH" >&2
    exit $code
  fi
  [ ! -d "$folder.tmp/nvidia/cu13" ] || ln -s lib "$folder.tmp/nvidia/cu13/lib64" # where nvcc looks for its runtime
  echo "$*" >"$folder.tmp/wheels.txt"
  rm -rf "$folder" "$folder.tmp/cudnn" # the latter is 90 MB of Python
  mv "$folder.tmp" "$folder"
}

install_packages
[ ${#parts[@]} -gt 0 ] || exit 0
has_pip || { echo "setup: \`python3 -m pip\` does not work, which fetches ${parts[*]}" >&2; exit 2; }
mkdir -p "$cuda_folder"
for part in "${parts[@]}"; do
  case $part in
    tensorboard) fetch tensorboard "${tensorboard_wheels[@]}" ;;
    compiler) fetch compiler "${compiler_wheels[@]}" ;;
    libraries) fetch libraries "${library_wheels[@]}" ;;
    frontend) (fetch frontend "${frontend_wheels[@]}") || echo "setup: without them fovea is built without the backend cudnn" >&2 ;;
  esac
done
