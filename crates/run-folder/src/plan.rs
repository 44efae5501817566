//! `plan.json`: the prediction of `launcher plan` for a run, as far as reports compare the run with it.

use serde::Deserialize;

use crate::error::StorageError;
use crate::folder::RunFolder;
use crate::regular::read_if_exists;
use crate::schema::Schema;

/// More than any cluster trains.
const MOST_IMAGES_PER_SECOND: f64 = 1e12;

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
        let Some(bytes) = read_if_exists(&path)? else { return Ok(None) };
        let plan = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
        match plan.and_then(Self::checked) {
            Ok(plan) => Ok(Some(plan)),
            Err(problem) => {
                let found = format!("not what `launcher plan --save` writes: {problem}");
                Err(StorageError::Content { path, found })
            }
        }
    }

    fn checked(self) -> Result<Self, String> {
        for row in &self.rows {
            let rates = &row.images_per_second_by_size;
            if rates.is_empty() || rates.len() != self.sizes.len() {
                let counts = (rates.len(), self.sizes.len());
                return Err(format!("{} ranks have {} rates for {} sizes", row.gpus, counts.0, counts.1));
            }
            if let Some(rate) = rates.iter().find(|rate| !(**rate > 0.0 && **rate < MOST_IMAGES_PER_SECOND)) {
                return Err(format!("{rate} is no number of images per second"));
            }
        }
        Ok(self)
    }

    /// Returns the training images per second that are predicted for a number of ranks in an epoch, counted from 1; none if there is
    /// no prediction for that number of ranks. Epochs beyond the planned ones are taken to have the last size.
    pub fn images_per_second(&self, ranks: usize, epoch: u64) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.gpus == ranks)?;
        let mut last_epoch: u64 = 0;
        let ends = self.sizes.iter().map(|size| {
            last_epoch = size.epochs.saturating_add(last_epoch);
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
    fn rates_depend_on_ranks_and_image_size() {
        let json = r#"{"schema": 1, "parameters": 7, "sizes": [{"px": 128, "epochs": 2}, {"px": 224, "epochs": 1}],
            "rows": [{"gpus": 1, "images_per_second_by_size": [30.0, 10.0]}, {"gpus": 3, "images_per_second_by_size": [80.0, 28.0]}]}"#;
        let plan: PlannedRun = serde_json::from_str(json).unwrap();
        let rates = [(1, 1), (1, 2), (3, 3), (3, 4), (2, 1)]
            .map(|(ranks, epoch)| plan.images_per_second(ranks, epoch));
        assert_eq!(rates, [Some(30.0), Some(30.0), Some(28.0), Some(28.0), None]);
    }

    #[test]
    fn impossible_rates_are_rejected() {
        let checked = |sizes: &str, rates: &str| {
            let json = format!(
                r#"{{"schema": 1, "sizes": [{sizes}], "rows": [{{"gpus": 2, "images_per_second_by_size": [{rates}]}}]}}"#
            );
            serde_json::from_str::<PlannedRun>(&json).unwrap().checked().map(|plan| plan.rows.len())
        };
        let size = r#"{"epochs": 18446744073709551615}"#;
        assert_eq!(checked(&format!("{size}, {size}"), "1.5, 2.5"), Ok(1));
        assert_eq!(checked("", "1.5"), Err("2 ranks have 1 rates for 0 sizes".to_owned()));
        assert_eq!(checked(size, "1.5, 2.5"), Err("2 ranks have 2 rates for 1 sizes".to_owned()));
        for rate in ["-5000", "0", "1e308"] {
            assert!(
                checked(size, rate).unwrap_err().ends_with(" is no number of images per second"),
                "{rate}"
            );
        }
    }
}
