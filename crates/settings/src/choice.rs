//! The enums of a recipe, one for each key that takes one of several words.

pub use regatta_anynet::Init;
use regatta_data::DatasetName;
pub use regatta_data::{ChannelOrder, ErasedValue, Filter, JpegMode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares an enum whose variants are written in a recipe as their names in snake case.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_meta])* $variant),+ }
    };
}

/// Source of the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceName {
    /// Image files in a folder for each class.
    ImageFolder,
    /// Image files and labels in tar archives (WebDataset).
    TarShards,
    /// Images generated from a seed, a pattern for each class with added noise.
    Synthetic,
    /// The files of a known data set.
    #[serde(untagged)]
    Files(DatasetName),
}

choice!(
    /// How the images of tar archives are ordered in an epoch.
    Shuffle {
        /// A permutation of all images.
        Global,
        /// A permutation of the archives, and of the images within windows of archives.
        Shards,
    }
);

choice!(
    /// How the size of the training images changes between the entries of its list.
    ResolutionCourse {
        /// An entry's size holds until the next one.
        Steps,
        /// Interpolated by epochs.
        Linear,
    }
);

choice!(
    /// What happens when an image cannot be decoded.
    OnBadImage {
        /// The run ends.
        Error,
        /// Another image takes its place.
        Skip,
    }
);

choice!(
    /// Policy of automatic augmentation.
    AutoAugment {
        /// No automatic augmentation.
        None,
        /// A few random operations of one magnitude (Cubuk et al. 2019).
        RandAugment,
        /// One random operation of a random magnitude (Mueller and Hutter 2021), from the wide space.
        TrivialAugmentWide,
    }
);

choice!(
    /// The device to train on.
    Device {
        /// CUDA if a CUDA device is available, otherwise the CPU.
        Auto,
        /// The CPU.
        Cpu,
        /// A CUDA device; an error if there is none.
        Cuda,
    }
);

choice!(
    /// The element type of the forward and backward pass.
    Precision {
        /// bf16 on a GPU, and on a CPU with native bf16 if a measurement finds it sufficiently faster; otherwise fp32.
        Auto,
        /// 32-bit floats throughout.
        Fp32,
        /// Autocast to bfloat16; parameters and gradients stay fp32.
        Bf16,
        /// Autocast to IEEE half precision, with a loss scale; parameters and gradients stay fp32.
        Fp16,
        /// 64-bit floats throughout: the reference precision.
        Fp64,
    }
);

choice!(
    /// The layout of images and convolution weights in memory.
    MemoryFormat {
        /// The faster layout for this network on this machine: timed at the run's first start, kept on resume.
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
        /// Stochastic gradient descent, optionally with momentum or Nesterov momentum.
        Sgd,
        /// Adam with decoupled weight decay.
        #[serde(rename = "adamw")]
        AdamW,
    }
);

choice!(
    /// The training loss.
    Loss {
        /// Cross-entropy over the softmax of the logits.
        CrossEntropy,
        /// Binary cross-entropy of every class over the sigmoid of its logit.
        Bce,
    }
);

choice!(
    /// Shape of the learning-rate schedule after the warm-up.
    ScheduleName {
        /// Constant at `optim.lr`.
        Constant,
        /// Multiplied by `gamma` at each milestone.
        Step,
        /// Half a cosine from `optim.lr` down to `final_lr_fraction` of it.
        Cosine,
        /// A straight line from `optim.lr` down to `final_lr_fraction` of it.
        Linear,
    }
);

choice!(
    /// How the moving average of the weights begins.
    EmaWarmup {
        /// At the initial weights, with the full decay from the first step on.
        None,
        /// As a copy of the weights until the learning rate's warm-up is over, as in torchvision and pycls.
        Copy,
        /// With a decay that rises to the full one: (1 + n) / (10 + n) after n updates, as in TensorFlow.
        Ramp,
    }
);

choice!(
    /// Library for collectives between ranks.
    Backend {
        /// NCCL if every rank has its own GPU, MPI on CPUs.
        Auto,
        /// None: exactly one rank.
        Single,
        /// MPI, on host memory.
        Mpi,
        /// NCCL, one GPU per rank.
        Nccl,
    }
);

choice!(
    /// Rounding of gradients before the all-reduce.
    GradientCompression {
        /// No rounding.
        None,
        /// Rounded to bfloat16.
        Bf16,
    }
);

choice!(
    /// The signal that makes a rank save a checkpoint and stop.
    PreemptionSignal {
        /// SIGUSR1.
        Usr1,
        /// SIGUSR2.
        Usr2,
    }
);

impl PreemptionSignal {
    /// Returns the signal's name without `SIG`, as shells and batch systems write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usr1 => "USR1",
            Self::Usr2 => "USR2",
        }
    }
}

choice!(
    /// Format of log lines.
    LogFormat {
        /// Text for people.
        Text,
        /// One JSON object per line.
        Json,
    }
);
