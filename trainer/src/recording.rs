//! Records steps as CUDA graphs: the host launches two graphs instead of a thousand kernels.
//!
//! One graph is forward and backward of a micro-batch, on fixed tensors for its images and targets; the other is the update.
//! Both use the replica's flat buffers, whose addresses never change, so an eager step may come between two replays: the
//! epoch's last one, which is shorter.

use anyhow::Result;
use regatta_comm::World;
use regatta_settings::Recipe;
use regatta_torch_ext::CudaGraph;
use tch::{Device, Tensor};

use crate::step::Update;

/// Eager steps before the first recording, in which libraries load their kernels and cuDNN chooses its algorithms.
const WARM_UP: usize = 3;

/// Decides when steps are recorded, and holds the recorded graphs.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    /// Remaining eager steps; none if steps are never recorded.
    warm_up: Option<usize>,
    /// Height and width of the images of the steps, in pixels.
    resolution_px: u32,
    micro_batch: Option<RecordedMicroBatch>,
    update: Option<RecordedUpdate>,
}

/// Forward and backward on fixed input tensors.
#[derive(Debug)]
struct RecordedMicroBatch {
    graph: CudaGraph,
    images_nchw: Tensor,
    /// Labels, or probabilities if the recipe mixes images.
    targets: Tensor,
}

/// The update, and the tensors that receive what it found in the gradients.
#[derive(Debug)]
struct RecordedUpdate {
    graph: CudaGraph,
    found: Update,
}

impl Recorder {
    /// Enables recording on a GPU if the recipe allows it and all steps launch the same work: a recording cannot hold
    /// all-reduces, which hooks start during backward, or the changing seed of dropout.
    pub(crate) fn new(recipe: &Recipe, device: Device, world: &World) -> Self {
        let records = recipe.train.cuda_graph
            && device != Device::Cpu
            && !world.sums_over_ranks()
            && recipe.network().dropout == 0.0;
        Self { warm_up: records.then_some(WARM_UP), ..Self::default() }
    }

    /// Starts a step on images of `resolution_px` pixels in height and width; returns whether it is replayed. `is_full` means a
    /// full global batch in full micro-batches. Another size begins with the warm-up again: a recording holds one shape. Sizes
    /// change between epochs, where the outcomes of all steps have been read, so that no dropped graph is still running.
    pub(crate) fn begin_step(&mut self, is_full: bool, resolution_px: u32) -> bool {
        if resolution_px != self.resolution_px {
            let warm_up = self.warm_up.map(|_| WARM_UP);
            *self = Self { warm_up, resolution_px, ..Self::default() };
        }
        match &mut self.warm_up {
            Some(0) => is_full,
            Some(left) => {
                *left -= usize::from(is_full);
                false
            }
            None => false,
        }
    }

    /// Replays forward and backward on these images and targets. The first call records `forward_backward`.
    ///
    /// # Errors
    /// The error of `forward_backward`, and device errors.
    pub(crate) fn micro_batch(
        &mut self,
        images_nchw: &Tensor,
        targets: &Tensor,
        forward_backward: impl FnOnce(&Tensor, &Tensor) -> Result<()>,
    ) -> Result<()> {
        if self.micro_batch.is_none() {
            // Copies keep the memory format.
            let (images_nchw, targets) = (images_nchw.copy(), targets.copy());
            let (graph, ()) = CudaGraph::record(|| forward_backward(&images_nchw, &targets))?;
            self.micro_batch = Some(RecordedMicroBatch { graph, images_nchw, targets });
        }
        let recorded = self.micro_batch.as_mut().expect("it was recorded above");
        recorded.images_nchw.copy_(images_nchw);
        recorded.targets.copy_(targets);
        Ok(recorded.graph.replay()?)
    }

    /// Replays the update. The first call records `update`. Returns its result on the device, which the next call overwrites.
    ///
    /// # Errors
    /// The error of `update`, and device errors.
    pub(crate) fn update(&mut self, update: impl FnOnce() -> Result<Update>) -> Result<Update> {
        if self.update.is_none() {
            let (graph, found) = CudaGraph::record(update)?;
            self.update = Some(RecordedUpdate { graph, found });
        }
        let recorded = self.update.as_ref().expect("it was recorded above");
        recorded.graph.replay()?;
        let Update { found_inf, grad_norm } = &recorded.found;
        Ok(Update { found_inf: found_inf.shallow_clone(), grad_norm: grad_norm.shallow_clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(recorder: &mut Recorder, steps: [(bool, u32); 6]) -> [bool; 6] {
        steps.map(|(is_full, px)| recorder.begin_step(is_full, px))
    }

    #[test]
    fn full_steps_are_replayed_after_the_warm_up() {
        let steps = [true, true, false, true, false, true].map(|is_full| (is_full, 96));
        let mut recorder = Recorder { warm_up: Some(WARM_UP), ..Recorder::default() };
        assert_eq!(replayed(&mut recorder, steps), [false, false, false, false, false, true]);
        assert_eq!(replayed(&mut recorder, steps), [true, true, false, true, false, true]);
        let mut never = Recorder::default();
        assert_eq!([replayed(&mut never, steps), replayed(&mut never, steps)], [[false; 6]; 2]);
    }

    #[test]
    fn another_size_warms_up_again() {
        let mut recorder = Recorder { warm_up: Some(WARM_UP), ..Recorder::default() };
        let steps = [96, 96, 96, 96, 128, 128].map(|px| (true, px));
        assert_eq!(replayed(&mut recorder, steps), [false, false, false, true, false, false]);
        let steps = [128, 128, 96, 96, 96, 96].map(|px| (true, px));
        assert_eq!(replayed(&mut recorder, steps), [false, true, false, false, false, true]);
        let mut never = Recorder::default();
        assert_eq!(replayed(&mut never, steps), [false; 6]);
    }
}
