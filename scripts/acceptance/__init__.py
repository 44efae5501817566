"""The acceptance run on GPUs, started by scripts/gpu_acceptance.py: the list of checks (plan), starting programs (jobs), the checks
themselves, and their results (report). Only the standard library is imported at the top of a
module, so that the plan can be read and tested where there is no PyTorch."""
