asked='' job=''
trap 'asked=yes; [[ -z $job ]] || kill -USR2 "$job"' USR2 # the ranks finish the step, save a checkpoint and exit with 75
trap : TERM                              # Slurm signals the ranks too: let them exit first
if [[ -n $asked ]]; then command=(bash -c "exit 75"); fi # do not start what would be stopped at once
"${command[@]}" &
job=$!
if [[ -n $asked ]]; then sleep 1 && kill -USR2 "$job" 2>/dev/null; fi # requested during the start: bash's child would miss it
while kill -0 "$job" 2>/dev/null; do wait "$job"; done # a signal ends `wait`, not the job
wait "$job"
code=$?

# Requeue the job, to continue from the checkpoint, if the run was stopped (75), or exited otherwise after a request to stop. Slurm
# signals this shell, or only the ranks and mpirun's daemons (then PreemptTime is set). Do not requeue it if it is done (0), or where
# that would not help (2 usage or recipe, 3 data, 5 diverged). A job that no longer runs was cancelled, or Slurm requeues it itself.
me=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
record=$(scontrol show job "$me")
if [[ $record == *" PreemptTime=2"* ]]; then asked=yes; fi
if [[ $record =~ JobState=(RUNNING|SIGNALING) && ($code == 75 || (-n $asked && $code != [0235])) ]]; then
    scontrol requeue "$me"
fi
exit "$code"
