#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A durable batch job: sbatch job.sh COMMAND... When its node fails, or it is preempted, Slurm queues it again under the same job id, and
# it goes on where it stopped, on whichever node. PERDURE_STORE comes from the environment of sbatch.
#SBATCH --job-name=durable
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --time=24:00:00
#SBATCH --ntasks=1
set -euo pipefail

: "${PERDURE_STORE:?set it to the URL of the store before sbatch}"
# The node's own disk: what it loses, the store has.
export PERDURE_DIR="${TMPDIR:-/tmp}/perdure-$USER"
mkdir -p "$PERDURE_DIR"

status=0
srun perdure run --id "slurm-$SLURM_JOB_ID" --min-replicas 1 --lease 30s -- "$@" || status=$?
# 125: the machine or the store, which may be better elsewhere and later. 120 and 121 want a person.
if [ "$status" = 125 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
