//! What `--debug` looks at: the first layer or gradient that is not finite.

use anyhow::{Result, bail};
use regatta_model::Mode;
use tch::Tensor;

use crate::failure::Diverged;
use crate::replica::Replica;

/// Checks every layer's output and every gradient, or nothing at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inspector {
    /// Set by `--debug`.
    pub(crate) enabled: bool,
}

impl Inspector {
    /// Runs the network once more over the micro-batch, looking at every layer; names the first that made a value that is
    /// not finite. The statistics that this pass leaves are overwritten by the pass that counts.
    pub(crate) fn check_forward(self, replica: &Replica, images_nchw: &Tensor) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        if !all_finite(images_nchw) {
            bail!(Diverged("the input images hold values that are not finite".into()));
        }
        let mut first = None;
        _ = tch::no_grad(|| {
            replica.model.forward_observed(images_nchw, Mode::Training, &mut |layer, output| {
                if first.is_none() && !all_finite(output) {
                    first = Some(layer.to_owned());
                }
            })
        });
        match first {
            Some(layer) => bail!(Diverged(format!("{layer} is the first layer whose output is not finite"))),
            None => Ok(()),
        }
    }

    /// Names the gradients that are not finite, the one that backward made first in front.
    pub(crate) fn check_gradients(self, replica: &Replica) -> Result<()> {
        if !self.enabled {
            return Ok(());
        }
        let named = replica.specs.iter().zip(&replica.gradients.views).rev();
        match named.into_iter().find(|(_, gradient)| !all_finite(gradient)) {
            Some((spec, _)) => {
                bail!(Diverged(format!(
                    "the gradient of {} is the first in backward that is not finite",
                    spec.name
                )))
            }
            None => Ok(()),
        }
    }
}

fn all_finite(tensor: &Tensor) -> bool {
    tensor.isfinite().all().int64_value(&[]) != 0
}
