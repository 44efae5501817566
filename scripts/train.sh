#!/usr/bin/env bash
# Starts the trainer on MPI ranks: what `make train` does after it has built.
#
# usage: scripts/train.sh TRAINER [ARGUMENT...]
#
# Read from the environment: CONFIG (the recipe), RANKS (how many) and NAME (the run folder's name;
# by default the recipe's with date and time, so that every call makes a run of its own).
set -euo pipefail

trainer=$1
shift
config=${CONFIG:-configs/regnetx32_fashion_mnist_quick.toml}
ranks=${RANKS:-2}
name=${NAME:-$(basename "$config" .toml)-$(date +%Y%m%d-%H%M%S)}

if [[ ! -r $config ]]; then
    echo "train: no recipe $config; there are: $(echo configs/*.toml configs/imagenet/*/*.toml)" >&2
    exit 2
fi

# The folder of imagenette is named as for the tests, unless the user names one.
if [[ $(basename "$config") =~ ^imagenette(_regularised)?\.toml$ && -n ${REGATTA_TEST_IMAGENETTE-} ]]; then
    export REGATTA__DATA__FOLDER=${REGATTA__DATA__FOLDER-$REGATTA_TEST_IMAGENETTE}
fi

# Open MPI 4 looks for ssh or rsh even to start ranks on this machine alone. Slurm has a way of its own.
named=${OMPI_MCA_plm-}${OMPI_MCA_plm_rsh_agent-}${OMPI_MCA_orte_rsh_agent-}${SLURM_JOB_ID-}
if [[ -z $named && -z $(type -P ssh rsh) && $(mpirun --version) == *"(Open MPI) 4."* ]]; then
    export OMPI_MCA_plm=isolated
fi

set -x
exec mpirun -n "$ranks" "$trainer" --config "$config" --name "$name" "$@"
