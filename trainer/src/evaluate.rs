//! Exact evaluation: every validation image counts once, and correct predictions are reduced as integers.

use anyhow::Result;
use regatta_comm::World;
use regatta_model::{Mode, Model};
use tch::{Device, Kind, Tensor};

use crate::feed::Feed;
use crate::loss::summed_loss;
use crate::replica::Replica;

/// Number of most probable classes that count and are reported.
pub(crate) const BEST: usize = 5;

/// Result over the whole validation set, equal on all ranks; accuracies are fractions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Evaluation {
    /// Mean cross-entropy, without label smoothing.
    pub(crate) loss: f64,
    /// Fraction of images whose label has the largest logit.
    pub(crate) top1: f64,
    /// Fraction of images whose label is among the five largest logits.
    pub(crate) top5: f64,
    /// Number of images that could not be read and were replaced.
    pub(crate) bad_images: u64,
}

/// Evaluates `model` (the replica's own weights, or others over its statistics) on the batches of the feed's current segment,
/// which hold `images` images on all ranks together. The batches are the same at any world size; each goes to one rank. Returns
/// `None` if `stop` returned true on some rank. A collective.
///
/// # Errors
/// Images that cannot be read, and failed collectives.
pub(crate) fn evaluate(
    replica: &Replica,
    model: &Model,
    feed: &mut Feed,
    images: usize,
    world: &World,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let logits = |images_nchw: &Tensor| replica.logits(model, images_nchw, Mode::Evaluation);
    evaluate_logits(&logits, &mut |_| (), replica.device(), (feed, images), world, stop)
}

/// An evaluated batch, on the device.
pub(crate) struct EvaluatedBatch<'a> {
    /// Logits `[n, classes]`.
    pub(crate) logits_nk: &'a Tensor,
    /// The classes with the [`BEST`] largest logits (all if there are fewer) in descending order: `[n, BEST]`, of integers.
    pub(crate) best: &'a Tensor,
    /// Labels `[n]`.
    pub(crate) labels: &'a Tensor,
}

/// Like [`evaluate`], of what `logits` returns for the images `[n, c, h, w]` of a batch: logits `[n, classes]` on `device`. Hands
/// each of this rank's batches, in the order of the images, to `each`. A collective.
///
/// # Errors
/// Those of [`evaluate`] and of `logits`.
pub(crate) fn evaluate_logits(
    logits: &dyn Fn(&Tensor) -> Result<Tensor>,
    each: &mut dyn FnMut(EvaluatedBatch),
    device: Device,
    (feed, images): (&mut Feed, usize),
    world: &World,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Evaluation>> {
    let _no_grad = tch::no_grad_guard();
    // Loss, and hits among the largest 1 and 5, summed on the device so that the host does not wait between batches.
    let mut loss_sum = Tensor::zeros([1], (Kind::Double, device));
    let mut hits_sum = Tensor::zeros([2], (Kind::Int64, device));
    let mut stopped = 0;
    while let Some((images_nchw, labels)) = feed.next()? {
        if stop() {
            stopped = 1;
            break;
        }
        feed.prefetch();
        let logits_nk = logits(&images_nchw)?;
        let best = best_classes(&logits_nk);
        _ = loss_sum.g_add_(&summed_loss(&logits_nk, &labels, 0.0).to_kind(Kind::Double));
        _ = hits_sum.g_add_(&hits(&best, &labels));
        each(EvaluatedBatch { logits_nk: &logits_nk, best: &best, labels: &labels });
    }
    let mut loss = loss_sum.to_device(Device::Cpu);
    let mut counts =
        [hits_sum.int64_value(&[0]), hits_sum.int64_value(&[1]), stopped, feed.take_replaced() as i64];
    world.all_reduce(&mut loss)?;
    world.all_reduce_counts(&mut counts);
    let share = |count: i64| count as f64 / images as f64;
    Ok((counts[2] == 0).then(|| Evaluation {
        loss: loss.double_value(&[0]) / images as f64,
        top1: share(counts[0]),
        top5: share(counts[1]),
        bad_images: counts[3] as u64,
    }))
}

/// Counts the images whose label is the first and is any of their `best` classes: two integers on the device.
fn hits(best: &Tensor, labels: &Tensor) -> Tensor {
    let hit = best.eq_tensor(&labels.unsqueeze(1));
    let count = |columns: i64| hit.narrow(1, 0, columns).sum(Kind::Int64);
    Tensor::stack(&[count(1), count(best.size()[1])], 0)
}

/// Returns the classes with the [`BEST`] largest logits, as in [`EvaluatedBatch::best`].
pub(crate) fn best_classes(logits_nk: &Tensor) -> Tensor {
    logits_nk.topk(logits_nk.size()[1].min(BEST as i64), 1, true, true).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_counted_at_one_and_at_five() {
        let hits = |logits: &Tensor, labels: &Tensor| {
            Vec::<i64>::try_from(hits(&best_classes(logits), labels)).unwrap()
        };
        let logits = Tensor::from_slice2(&[[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]; 3]);
        let labels = Tensor::from_slice(&[0i64, 4, 5]);
        assert_eq!(hits(&logits, &labels), [1, 2]);
        let two_classes = Tensor::from_slice2(&[[0.1, 0.2]]);
        assert_eq!(hits(&two_classes, &Tensor::from_slice(&[0i64])), [0, 1]);
    }
}
