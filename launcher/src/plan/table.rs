//! A plan as text for a terminal.

use std::iter::once;

use regatta_run_folder::{counted, duration};

use super::Plan;
use super::scaling::{Row, Span};

const HEADER: [&str; 8] =
    ["ranks", "micro-batches", "step ms", "exposed ms", "images/s", "efficiency", "epoch", "total"];
const MIB: f64 = 1024.0 * 1024.0;

/// Formats the inputs, the prediction by number of ranks, and where scaling ends.
pub(crate) fn render(plan: &Plan) -> String {
    let Plan { global_batch_size, micro_batches, micro_batch_size, train_images, epochs, .. } = plan;
    [
        format!("cluster       {}", cluster(plan)),
        format!("network       {}", network(plan)),
        format!(
            "global batch  {global_batch_size} images, {micro_batches} micro-batches of {micro_batch_size}"
        ),
        format!("micro-batch   {}", micro_batch(plan)),
        format!("              from {}", plan.micro_batch_source),
        format!("memory        {}", memory(plan)),
        format!(
            "              and {:.1} MiB of host memory for images loaded ahead",
            plan.loader_bytes as f64 / MIB
        ),
        format!(
            "training      {train_images} images, {}; without evaluation and checkpoints",
            counted(*epochs, "epoch")
        ) + &sizes(&plan.sizes),
        String::new(),
        by_ranks(&plan.rows),
        plan.verdict.to_string(),
    ]
    .map(|line| line + "\n")
    .concat()
}

/// Lines for the sizes of the training images, if there are several.
fn sizes(spans: &[Span]) -> String {
    let [_, _, ..] = spans else { return String::new() };
    let line = |&Span { px, epochs, work }: &Span| {
        format!("\n              {px}x{px} in {}: {work:.3} of the multiply-adds", counted(epochs, "epoch"))
    };
    let lines: String = spans.iter().map(line).collect();
    lines + "\n              the total covers all epochs, all other values are for the largest images"
}

fn cluster(plan: &Plan) -> String {
    let (nodes, ranks) = (counted(plan.nodes, "node"), counted(plan.gpus_per_node, "rank"));
    format!("{nodes} of {ranks}; all-reduce: {}", plan.all_reduce_source)
}

fn network(plan: &Plan) -> String {
    let Plan { parameters, bucket_bytes, .. } = plan;
    let when = if plan.overlap { "during backward (NCCL)" } else { "after backward (MPI)" };
    let (mib, buckets) = (bucket_bytes / MIB, counted(plan.buckets, "bucket"));
    format!("{parameters} parameters, {mib:.1} MiB summed a step in {buckets} {when}")
}

fn micro_batch(plan: &Plan) -> String {
    let times = plan.micro_batch_seconds;
    let seconds = [times.micro_batch(), times.data, times.forward, times.backward, times.optimizer];
    let [whole, data, forward, backward, update] = seconds.map(|seconds| format!("{:.2}", seconds * 1e3));
    format!("{whole} ms on one rank: data {data}, forward {forward}, backward {backward}; update {update}")
}

fn memory(plan: &Plan) -> String {
    let memory = plan.memory_bytes;
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / MIB);
    let parts = [
        ("weights", memory.weights),
        ("gradients", memory.gradients),
        ("optimizer", memory.optimizer),
        ("ema", memory.ema),
        ("statistics", memory.statistics),
        ("activations", memory.activations),
    ];
    let parts: Vec<_> = parts.map(|(name, bytes)| format!("{name} {}", mib(bytes))).into();
    format!("{} MiB a rank: {}", mib(memory.total()), parts.join(", "))
}

fn by_ranks(rows: &[Row]) -> String {
    let lines: Vec<[String; 8]> = once(HEADER.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let widths = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let padded = |line: &[String; 8]| {
        let cells =
            line.iter().enumerate().map(|(column, cell)| format!("{cell:>width$}", width = widths(column)));
        cells.collect::<Vec<_>>().join("  ") + "\n"
    };
    lines.iter().map(padded).collect()
}

fn cells(row: &Row) -> [String; 8] {
    [
        row.gpus.to_string(),
        row.micro_batches_per_rank.to_string(),
        format!("{:.2}", row.step_seconds * 1e3),
        format!("{:.3}", row.exposed_seconds * 1e3),
        format!("{:.1}", row.images_per_second),
        format!("{:.3}", row.efficiency),
        duration(row.epoch_seconds),
        duration(row.total_seconds),
    ]
}
