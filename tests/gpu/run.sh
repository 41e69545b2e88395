#!/usr/bin/env bash
# What needs a GPU: every test of the backends `cuda` and, where cuDNN is, `cudnn`, the sanitizers over the kernels of the first, and five
# runs of one command.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)

usage() {
  cat <<END
usage: tests/gpu/run.sh [--build DIR] [--log FILE] [--no-sanitizers]
Runs after a build with the CUDA module and the tests; needs one NVIDIA GPU, and compute-sanitizer unless told otherwise.
  --build DIR       where it was built (default: build)
  --log FILE        what is kept (default: results/gpu_tests.txt)
Exit codes: 0 all passed, 1 something failed or was skipped, 2 usage.
END
}

build=$root/build log=$root/results/gpu_tests.txt sanitizers=(memcheck racecheck initcheck synccheck)
while [ $# -gt 0 ]; do
  case $1 in
    --build) build=$(cd "${2:?--build needs a folder}" && pwd) && shift ;;
    --log) log=${2:?--log needs a file} && shift ;;
    --no-sanitizers) sanitizers=() ;;
    -h | --help) usage; exit 0 ;;
    *) echo "run.sh: unknown option \`$1\`" >&2; usage >&2; exit 2 ;;
  esac
  shift
done

cd "$root" || exit 2  # the tests read models/ and tests/golden/
export FOVEA_REQUIRE_GPU=1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0
summary=()

# stage NAME COMMAND...: passes if the command does and no test was skipped or missing.
stage() {
  local name=$1 start=$SECONDS verdict=passed
  shift
  "$@" >"$scratch/out" 2>&1 || verdict=FAILED
  grep -qE '\[  SKIPPED \]|^\[==========\] (0 tests|Running 0 tests)' "$scratch/out" && verdict="FAILED (skipped or no tests)"
  if [ "$verdict" != passed ]; then
    failures=$((failures + 1))
    echo "==== $name: $verdict"
    grep -nE '\[  FAILED  \]|: Failure|[Ee]rror' "$scratch/out" | head -n 20
    grep -vE '^\[( RUN      |       OK |----------)\]' "$scratch/out" | tail -n 60
  fi
  local counted
  counted=$(grep -oE '\[   counts \] .*|\[  PASSED  \] [0-9]+ tests?|ERROR SUMMARY: .*|RACECHECK SUMMARY: .*' "$scratch/out" | sed -E 's/^\[ *counts *\] //; s/^\[ *PASSED *\] //' |
    awk '/^[0-9]+ cases$/ {cases += $1; next} {line = line (line == "" ? "" : "; ") $0} END {print (cases > 0 ? cases " cases; " : "") line}')
  summary+=("$(printf '%-44s %-8s %4d s  %s' "$name" "$verdict" $((SECONDS - start)) "$counted")")
}

# same_bits BACKEND PRECISION: what the first run chose by measuring holds for the others.
same_bits() {
  local backend=$1 tuning=() && shift
  for i in 1 2 3 4 5; do
    "$build/fovea" train --quiet --backend "$backend" --precision "$1" --data synthetic:28x28x1:10:4096:256 --model lenet5 \
      --out "$scratch/$backend-$1-run$i" "${tuning[@]}" || return 1
    [ ! -e "$scratch/$backend-$1-run1/tuning.json" ] || tuning=(--tuning "$scratch/$backend-$1-run1/tuning.json")
    find "$scratch/$backend-$1-run$i" -name '*.safetensors' -exec sha256sum {} + | cut -d' ' -f1 | sort >"$scratch/bits$i"
    [ -s "$scratch/bits$i" ] || { echo "run $i left no weights"; return 1; }
    cmp "$scratch/bits1" "$scratch/bits$i" || return 1
  done
}

# in_shards NAME FILTER: a test program in several processes, which share the GPU; the first failure is the result.
in_shards() {
  local count=8 failed=0 pids=()
  for ((i = 0; i < count; ++i)); do
    GTEST_TOTAL_SHARDS=$count GTEST_SHARD_INDEX=$i "$build/$1" --gtest_filter="$2" >"$scratch/shard$i" 2>&1 &
    pids+=($!)
  done
  for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
  cat "$scratch"/shard?
  return $failed
}

# sanitize TOOL: over the table of operators, and over the claims, whose kernels the table does not have. Its last line is the exit code.
sanitize() {
  local failed=0
  compute-sanitizer --tool "$1" --error-exitcode 1 "$build/backend_tests" --gtest_filter="$reduced" || failed=1
  compute-sanitizer --tool "$1" --error-exitcode 1 "$build/plan_tests" --gtest_filter='*NormClaims.GiveTheResults*' || failed=1
  compute-sanitizer --tool "$1" --error-exitcode 1 "$build/train_tests" --gtest_filter='*SmallNet.GivesTheSameBits/0:*SmallNet.GivesTheSameBits/2' || failed=1
  echo "$failed"
}
report() { cat "$1" && [ "$(tail -n 1 "$1")" = 0 ]; }

# The table for every operator; those without random shapes also on random data.
reduced='*ExactnessTest*/cuda_*:*NonFiniteTest*/cuda:*RecordingTest*/cuda'
for operator in softmax binary score update gradient_norm dropout activation batch_norm add concat shortcut bias; do
  reduced+=":*OperatorTest*/cuda_$operator*:*OperatorTest*/cuda_bf16_$operator*:*OperatorTest*/cuda_fp16_$operator*"
done
reduced+=':*LossScaleTest*/cuda'

[ -x "$build/backend_tests" ] || { echo "run.sh: there is no backend_tests in $build; build first" >&2; exit 2; }
stage "doctor" "$build/fovea" doctor
backends=(cuda)
if "$build/fovea" doctor --backends | grep -qx cudnn; then backends+=(cudnn); else summary+=("the backend cudnn is absent here: nothing of it was tested"); fi
stage "backend: table and random shapes" in_shards backend_tests '*cuda*:CudaBackend*:OpCases*'
stage "study: claims, part by part" "$build/study_tests" --gtest_filter='Diff.Finds*'
stage "plan: nothing falls back to the reference" "$build/plan_tests" --gtest_filter='Compile.NoStepOfAShippedNetwork*'
stage "plan: claims and their parts" "$build/plan_tests" --gtest_filter='*NormClaims*:*Conv2dClaims*'
stage "train: golden losses, spread, claims" "$build/train_tests" --gtest_filter='*WholeStep*cuda*:Backends.*:*SmallNet*'
stage "train: NaN and infinity" "$build/train_tests" --gtest_filter='*NonFiniteValues*cuda*'
stage "train: precisions" "$build/train_tests" --gtest_filter='*PrecisionTest*cuda*'
for backend in "${backends[@]}"; do
  if [ "$backend" = cudnn ]; then
    stage "cudnn: choices, table and random shapes" in_shards backend_tests '*cudnn*:*CudnnBackend*'
    stage "cudnn: golden losses, spread, claims" "$build/train_tests" --gtest_filter='*WholeStep*cudnn*:*NonFiniteValues*cudnn*:*PrecisionTest*cudnn*'
  fi
  for precision in fp32 tf32 bf16 fp16; do
    stage "$backend: five runs in $precision, the same bits" same_bits "$backend" "$precision"
    for model in lenet5 resnet20; do
      stage "$backend: $model in $precision beside the reference" "$build/fovea" diff "$model" reference "$backend" --precision "$precision" --batch 2
    done
  done
done
# The sanitizers take turns on the GPU by themselves.
for tool in "${sanitizers[@]}"; do
  sanitize "$tool" >"$scratch/$tool" 2>&1 &
done
wait
for tool in "${sanitizers[@]}"; do
  stage "compute-sanitizer $tool" report "$scratch/$tool"
done

mkdir -p "$(dirname "$log")"
{
  echo "tests/gpu/run.sh, $(date -u +%F), $("$build/fovea" doctor | head -n 1)"
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
  printf '%s\n' "${summary[@]}"
  echo "$failures of ${#summary[@]} failed"
} | tee "$log"
[ "$failures" -eq 0 ]
