//! Options of `launcher plan`: the recipe, the cluster, and the measurements.

use std::path::PathBuf;

use clap::ArgGroup;
use regatta_settings::RecipeArgs;

/// `launcher plan`.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("written").args(["svg", "save"]).multiple(true)))]
pub(crate) struct PlanCommand {
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,

    /// Nodes of the cluster
    #[arg(long, default_value_t = 1, value_parser = count)]
    pub(crate) nodes: usize,

    /// GPUs per node, or ranks per node on CPUs
    #[arg(long, value_parser = count)]
    pub(crate) gpus_per_node: usize,

    /// Measured milliseconds of one micro-batch on one GPU, forward, backward and update
    #[arg(long, value_name = "MS", value_parser = above_zero, required_unless_present = "from_run", conflicts_with = "from_run")]
    pub(crate) step_ms: Option<f64>,

    /// Folder of an earlier run of this network, preferably on one rank, whose metrics contain step times
    #[arg(long, value_name = "RUN")]
    pub(crate) from_run: Option<PathBuf>,

    /// Output of `mpirun -n N trainer probe --json` on the cluster; may be repeated for several N
    #[arg(long, value_name = "FILE", conflicts_with_all = ["intra_gb_s", "inter_gb_s", "latency_us"])]
    pub(crate) all_reduce: Vec<PathBuf>,

    /// Bus bandwidth of all-reduces within a node
    #[arg(long, value_name = "GB/S", default_value_t = 150.0, value_parser = above_zero)]
    pub(crate) intra_gb_s: f64,

    /// Bus bandwidth of all-reduces between nodes: all links of a node together
    #[arg(long, value_name = "GB/S", default_value_t = 25.0, value_parser = above_zero)]
    pub(crate) inter_gb_s: f64,

    /// Duration of an all-reduce of a few bytes over the whole cluster
    #[arg(long, value_name = "US", default_value_t = 60.0, value_parser = at_least_zero)]
    pub(crate) latency_us: f64,

    /// Number of training images [default: that of the recipe's data set, if known]
    #[arg(long, value_name = "IMAGES", value_parser = count)]
    pub(crate) train_images: Option<usize>,

    /// Draws images per second and efficiency by number of GPUs into this SVG file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// Writes the prediction to plan.json in this run folder; report and watch show it beside the measured speed
    #[arg(long, value_name = "RUN")]
    pub(crate) save: Option<PathBuf>,

    /// Replaces an existing --svg file or a saved prediction
    #[arg(long, requires = "written")]
    pub(crate) force: bool,

    /// Prints JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl PlanCommand {
    /// GPUs of the cluster.
    pub(crate) fn gpus(&self) -> usize {
        self.nodes * self.gpus_per_node
    }

    /// Describes the cluster.
    pub(crate) fn world(&self) -> String {
        let (nodes, each) = (self.nodes, self.gpus_per_node);
        format!("--nodes {nodes} and --gpus-per-node {each} make a world of {} ranks", self.gpus())
    }
}

/// Largest accepted number of nodes, or of GPUs per node: their product still fits a number of ranks.
const MOST: usize = 1 << 30;

fn count(text: &str) -> Result<usize, String> {
    let accepted = || format!("expected an integer from 1 to {MOST}");
    text.parse().ok().filter(|count| (1..=MOST).contains(count)).ok_or_else(accepted)
}

fn above_zero(text: &str) -> Result<f64, String> {
    at_least_zero(text).ok().filter(|&number| number > 0.0).ok_or("expected a number above 0".to_owned())
}

fn at_least_zero(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|&number: &f64| number.is_finite() && number >= 0.0);
    number.ok_or("expected a number, at least 0".to_owned())
}
