//! The words a recipe chooses from, one enum per key.

pub use regatta_anynet::Init;
use regatta_data::DatasetName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares an enum that is spelled in a recipe as its variants' names in snake case.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }
    };
}

/// Where the images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceName {
    /// Images made up from a seed, a pattern for each class under noise.
    Synthetic,
    /// The files of a known data set.
    #[serde(untagged)]
    Files(DatasetName),
}

choice!(
    /// The device that computes.
    Device {
        /// CUDA where there is a device, else the CPU.
        Auto,
        /// The CPU.
        Cpu,
        /// A CUDA device; an error where there is none.
        Cuda,
    }
);

choice!(
    /// The element type of the forward and backward pass.
    Precision {
        /// bf16 on a GPU, and on CPUs that compute in it where a look finds it worth its digits; else fp32.
        Auto,
        /// 32-bit floats throughout.
        Fp32,
        /// Autocast to bfloat16; parameters and gradients stay fp32.
        Bf16,
        /// Autocast to IEEE half precision, with a loss scale; parameters and gradients stay fp32.
        Fp16,
        /// 64-bit floats throughout: the reference to compare with.
        Fp64,
    }
);

choice!(
    /// The layout of images and convolution weights in memory.
    MemoryFormat {
        /// What is faster for this network on this machine: timed at the run's first start, kept on resume.
        Auto,
        /// NHWC in memory.
        ChannelsLast,
        /// NCHW in memory.
        Contiguous,
    }
);

choice!(
    /// The update rule.
    OptimizerName {
        /// Stochastic gradient descent, with momentum and Nesterov on request.
        Sgd,
        /// Adam with decoupled weight decay.
        #[serde(rename = "adamw")]
        AdamW,
    }
);

choice!(
    /// The course of the learning rate after the warm-up.
    ScheduleName {
        /// Stays at `optim.lr`.
        Constant,
        /// Is multiplied by `gamma` at each milestone.
        Step,
        /// Half a cosine from `optim.lr` down to `final_lr_fraction` of it.
        Cosine,
    }
);

choice!(
    /// What carries tensors between ranks.
    Backend {
        /// What fits the world that was started.
        Auto,
        /// Nothing: a world of one rank.
        Single,
        /// MPI, on host memory.
        Mpi,
        /// NCCL, one GPU a rank.
        Nccl,
    }
);

choice!(
    /// What gradients are rounded to before they are summed over ranks.
    GradientCompression {
        /// They are summed as they are.
        None,
        /// Rounded to bfloat16.
        Bf16,
    }
);

choice!(
    /// The signal that asks a rank to stop with a checkpoint.
    PreemptionSignal {
        /// SIGUSR1.
        Usr1,
        /// SIGUSR2.
        Usr2,
    }
);

impl PreemptionSignal {
    /// Its name without `SIG`, as shells and batch systems write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
        }
    }
}

choice!(
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text,
        /// One JSON object a line.
        Json,
    }
);
