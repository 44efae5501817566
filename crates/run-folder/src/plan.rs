//! `plan.json`: the prediction of `launcher plan` for a run, as far as reports compare the run with it.

use std::io;

use serde::Deserialize;

use crate::error::StorageError;
use crate::folder::RunFolder;
use crate::regular::read_regular;
use crate::schema::Schema;

/// What was predicted for a run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PlannedRun {
    /// Version of the format.
    #[serde(rename = "schema")]
    pub _schema: Schema<1>,
    /// The sizes of the training images, in the order of training.
    pub sizes: Vec<PlannedSize>,
    /// The prediction by number of ranks.
    pub rows: Vec<PlannedRow>,
}

/// Consecutive epochs whose images have one size.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PlannedSize {
    /// Number of the epochs.
    pub epochs: u64,
}

/// The prediction for a number of ranks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PlannedRow {
    /// Number of ranks, each with a GPU.
    pub gpus: usize,
    /// Training images per second on all ranks, for each of the sizes.
    pub images_per_second_by_size: Vec<f64>,
}

impl PlannedRun {
    /// Reads the plan of a run, if there is one.
    ///
    /// # Errors
    /// If the file cannot be read or has another format.
    pub fn read(folder: &RunFolder) -> Result<Option<Self>, StorageError> {
        let path = folder.plan();
        let bytes = match read_regular(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            outcome => outcome.map_err(StorageError::io("read", &path))?,
        };
        let plan = serde_json::from_slice(&bytes).map_err(|error| StorageError::Content {
            path,
            found: format!("not what `launcher plan --save` writes: {error}"),
        })?;
        Ok(Some(plan))
    }

    /// Returns the training images per second that are predicted for a number of ranks in an epoch, counted from 1; none if there is
    /// no prediction for that number of ranks. Epochs beyond the planned ones are taken to have the last size.
    pub fn images_per_second(&self, ranks: usize, epoch: u64) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.gpus == ranks)?;
        let mut last_epoch = 0;
        let ends = self.sizes.iter().map(|size| {
            last_epoch += size.epochs;
            last_epoch
        });
        let size = ends.into_iter().position(|last| epoch <= last);
        row.images_per_second_by_size.get(size.unwrap_or(self.sizes.len().saturating_sub(1))).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_ranks_and_of_the_size_in_the_epoch() {
        let json = r#"{"schema": 1, "parameters": 7, "sizes": [{"px": 128, "epochs": 2}, {"px": 224, "epochs": 1}],
            "rows": [{"gpus": 1, "images_per_second_by_size": [30.0, 10.0]}, {"gpus": 3, "images_per_second_by_size": [80.0, 28.0]}]}"#;
        let plan: PlannedRun = serde_json::from_str(json).unwrap();
        let rates = [(1, 1), (1, 2), (3, 3), (3, 4), (2, 1)]
            .map(|(ranks, epoch)| plan.images_per_second(ranks, epoch));
        assert_eq!(rates, [Some(30.0), Some(30.0), Some(28.0), Some(28.0), None]);
    }
}
