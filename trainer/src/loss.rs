//! The loss that training minimises and the correct answers, summed over the images of a micro-batch.
//!
//! Targets are labels `[n]` or, where images are mixed, probabilities `[n, classes]`, as PyTorch's `cross_entropy` takes them.

use regatta_settings::{Loss, TrainSettings};
use tch::{Kind, Reduction, Tensor};

/// Returns the recipe's loss of these logits, summed over images.
pub(crate) fn summed_training_loss(logits_nk: &Tensor, targets: &Tensor, train: &TrainSettings) -> Tensor {
    match train.loss {
        Loss::CrossEntropy => summed_loss(logits_nk, targets, train.label_smoothing),
        Loss::Bce => summed_binary_cross_entropy(logits_nk, targets, train),
    }
}

/// Returns the cross-entropy summed over the images of `logits_nk`; a fraction `smoothing` of each target is spread evenly.
pub(crate) fn summed_loss(logits_nk: &Tensor, labels: &Tensor, smoothing: f64) -> Tensor {
    logits_nk.cross_entropy_loss(labels, None::<Tensor>, Reduction::Sum, -100, smoothing)
}

/// Returns timm's `BinaryCrossEntropy`, summed over images instead of averaged. Over an image's classes it is the mean or, with
/// `bce_sum_classes`, the sum (as in Composer). Mixed targets are smoothed as in timm's `Mixup`.
fn summed_binary_cross_entropy(logits_nk: &Tensor, targets: &Tensor, train: &TrainSettings) -> Tensor {
    let (classes, kind) = (logits_nk.size()[1], logits_nk.kind());
    let smoothing = train.label_smoothing;
    let smoothed = probabilities(targets, classes, kind) * (1.0 - smoothing) + smoothing / classes as f64;
    let targets = match train.bce_target_threshold {
        Some(threshold) => smoothed.gt(threshold).to_kind(kind),
        None => smoothed,
    };
    let sum =
        logits_nk.binary_cross_entropy_with_logits(&targets, None::<Tensor>, None::<Tensor>, Reduction::Sum);
    if train.bce_sum_classes { sum } else { sum / classes as f64 }
}

/// Returns the targets as probabilities `[n, classes]`. Unlike PyTorch's `one_hot` it does not wait for the device.
pub(crate) fn probabilities(targets: &Tensor, classes: i64, kind: Kind) -> Tensor {
    if targets.dim() == 2 {
        return targets.to_kind(kind);
    }
    let every_class = Tensor::arange(classes, (targets.kind(), targets.device()));
    targets.unsqueeze(1).eq_tensor(&every_class).to_kind(kind)
}

/// Returns the number of images whose largest logit is that of their label, in float64. The label of a mixed image is the one
/// with the larger share.
pub(crate) fn hits(logits_nk: &Tensor, targets: &Tensor) -> Tensor {
    let labels = if targets.dim() == 2 { targets.argmax(1, false) } else { targets.shallow_clone() };
    logits_nk.detach().argmax(1, false).eq_tensor(&labels).sum(Kind::Double)
}
