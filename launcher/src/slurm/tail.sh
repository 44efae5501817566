asked= job=
trap 'asked=yes; [[ -z $job ]] || kill -USR2 "$job"' USR2 # every rank finishes its step, one checkpoint is saved, all exit 75
trap : TERM                              # Slurm tells the ranks too: let them end first
if [[ -n $asked ]]; then command=(bash -c "exit 75"); fi # nothing is begun that would be stopped at once
"${command[@]}" &
job=$!
if [[ -n $asked ]]; then sleep 1 && kill -USR2 "$job" 2>/dev/null; fi # asked in this very moment: bash's child would miss it
while kill -0 "$job" 2>/dev/null; do wait "$job"; done # a signal ends `wait`, not the job
wait "$job"
code=$?

# Once more, from the checkpoint, if the run was stopped (75), or ended otherwise when it was asked to stop: Slurm told
# this shell, or only the ranks and mpirun's daemons (PreemptTime). Not if it is done (0), nor where it would not help
# (2 usage or recipe, 3 data, 5 diverged). What runs no more was cancelled, or Slurm requeues it by itself.
me=${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}
record=$(scontrol show job "$me")
if [[ $record == *" PreemptTime=2"* ]]; then asked=yes; fi
if [[ $record =~ JobState=(RUNNING|SIGNALING) && ($code == 75 || (-n $asked && $code != [0235])) ]]; then
    scontrol requeue "$me"
fi
exit "$code"
