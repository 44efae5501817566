"""The acceptance run on GPUs, of which scripts/gpu_acceptance.py is the command: what it checks (plan), how it starts programs
(jobs), the checks themselves, and the rows that they leave (report). Only the standard library is imported at the top of a
module, so that the plan can be read and tested where there is no PyTorch."""
