//! The GPUs of this host, as NVIDIA's driver lists them.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use regatta_settings::Device;

use crate::failure::Usage;

/// Where the driver lists GPUs: one folder for each, named by its PCI address.
const DRIVER: &str = "/proc/driver/nvidia/gpus";

/// The value of `--gpus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GpuSelection {
    /// All GPUs of the host; having none is not an error.
    All,
    /// Ranks compute on CPUs.
    None,
    /// These GPUs, by number.
    List(Vec<usize>),
}

impl FromStr for GpuSelection {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected all, none or numbers such as 0,1,3, not {text}");
        match text {
            "all" => return Ok(Self::All),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let mut numbers: Vec<usize> =
            text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() == count {
            Ok(Self::List(numbers))
        } else {
            Err(format!("{text} names a GPU twice"))
        }
    }
}

/// Number of GPUs that the driver lists; 0 without a driver.
pub(crate) fn present() -> usize {
    count_in(Path::new(DRIVER))
}

fn count_in(driver: &Path) -> usize {
    fs::read_dir(driver).map_or(0, |entries| entries.flatten().count())
}

/// Returns the GPUs that ranks on `device` use, as names for `CUDA_VISIBLE_DEVICES`. `present` is the number of GPUs, `visible` the
/// current value of that variable; numbers in `selection` index the visible GPUs, as CUDA does.
///
/// # Errors
/// If a selected GPU does not exist, or GPUs are selected for ranks on CPUs.
pub(crate) fn choose(
    selection: &GpuSelection,
    device: Device,
    present: usize,
    visible: Option<&str>,
) -> Result<Vec<String>, Usage> {
    let there: Vec<String> = match visible {
        // Narrowed by a scheduler or by hand; names other than numbers (UUIDs) are passed on to the driver.
        Some(visible) => {
            let names = visible.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.take(present).map(str::to_owned).collect()
        }
        None => (0..present).map(|number| number.to_string()).collect(),
    };
    match (selection, device) {
        (GpuSelection::List(_), Device::Cpu) => Err(Usage(
            "--gpus names GPUs, but the recipe's train.device is \"cpu\": leave one of them out".into(),
        )),
        (GpuSelection::None, _) | (_, Device::Cpu) => Ok(Vec::new()),
        (GpuSelection::All, _) => Ok(there),
        (GpuSelection::List(numbers), _) => {
            let named = |&number: &usize| there.get(number).cloned().ok_or(number);
            numbers.iter().map(named).collect::<Result<_, _>>().map_err(|missing| {
                let left = match visible {
                    Some(visible) => format!("CUDA_VISIBLE_DEVICES={visible} leaves {}", there.len()),
                    None => format!("the driver lists {present}"),
                };
                Usage(format!("--gpus: there is no GPU {missing}: {left} on this host"))
            })
        }
    }
}

/// Joins numbers with commas, as in `CUDA_VISIBLE_DEVICES`.
pub(crate) fn joined(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_parsed() {
        assert_eq!("all".parse(), Ok(GpuSelection::All));
        assert_eq!("3,1".parse(), Ok(GpuSelection::List(vec![1, 3])));
        assert_eq!("1,1".parse::<GpuSelection>(), Err("1,1 names a GPU twice".into()));
        assert_eq!(
            "one".parse::<GpuSelection>(),
            Err("expected all, none or numbers such as 0,1,3, not one".into())
        );
    }

    #[test]
    fn the_driver_and_the_scheduler_limit_the_selection() {
        let chosen = |selection: &str, present, visible| {
            let chosen = choose(&selection.parse().unwrap(), Device::Auto, present, visible);
            chosen.map(|names| names.join(" ")).unwrap_or_else(|error| error.to_string())
        };
        assert_eq!(chosen("all", 4, None), "0 1 2 3");
        assert_eq!(chosen("all", 4, Some("2,3")), "2 3");
        assert_eq!(chosen("all", 4, Some("")), "");
        assert_eq!(chosen("none", 4, None), "");
        assert_eq!(chosen("1,3", 4, None), "1 3");
        assert_eq!(chosen("0,1", 4, Some("2,3")), "2 3");
        assert_eq!(chosen("1", 4, Some("GPU-a, GPU-b")), "GPU-b");
        assert_eq!(chosen("0,4", 4, None), "--gpus: there is no GPU 4: the driver lists 4 on this host");
        assert_eq!(
            chosen("2", 4, Some("2,3")),
            "--gpus: there is no GPU 2: CUDA_VISIBLE_DEVICES=2,3 leaves 2 on this host"
        );
    }

    #[test]
    fn ranks_on_cpus_use_none() {
        assert_eq!(choose(&GpuSelection::All, Device::Cpu, 4, Some("2,3")).unwrap(), [""; 0]);
        assert_eq!(choose(&GpuSelection::All, Device::Cuda, 2, None).unwrap(), ["0", "1"]);
        assert_eq!(
            choose(&GpuSelection::List(vec![1]), Device::Cpu, 4, None).unwrap_err().to_string(),
            "--gpus names GPUs, but the recipe's train.device is \"cpu\": leave one of them out"
        );
    }

    #[test]
    fn gpus_are_folders_of_the_driver() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(count_in(&folder.path().join("nothing")), 0);
        for address in ["0000:17:00.0", "0000:65:00.0"] {
            fs::create_dir(folder.path().join(address)).unwrap();
        }
        assert_eq!(count_in(folder.path()), 2);
    }
}
