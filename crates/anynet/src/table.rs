//! Formats a summary as text, one line per layer.

use crate::complexity::Summary;

const HEADER: [&str; 6] = ["layer", "kind", "output", "params", "multiply-adds", "activations"];
/// The first column with numbers, from which on columns are right-aligned.
const FIRST_NUMBER_COLUMN: usize = 3;

impl Summary {
    /// Formats a table for a terminal: a header, the layers, the totals. Multiply-adds and activations are those of one image.
    pub fn to_table(&self) -> String {
        let mut lines = vec![HEADER.map(str::to_owned)];
        lines.extend(self.rows.iter().map(|row| {
            let [params, flops, activations] = [row.params, row.flops, row.activations].map(with_thousands);
            [row.name.clone(), row.kind.to_string(), shape(&row.output_shape), params, flops, activations]
        }));
        let [params, flops, activations] = [self.params, self.flops, self.activations].map(with_thousands);
        let input = format!("input {}", shape(&self.input_shape));
        lines.push(["total".to_owned(), String::new(), input, params, flops, activations]);
        aligned(&lines)
    }
}

fn aligned(lines: &[[String; HEADER.len()]]) -> String {
    let widths: [usize; HEADER.len()] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].len()).max().unwrap_or(0));
    let rule = "-".repeat(widths.iter().sum::<usize>() + 2 * (HEADER.len() - 1));
    let mut table = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index == 1 || index == lines.len() - 1 {
            table += &format!("{rule}\n");
        }
        let cells: Vec<String> = (0..HEADER.len())
            .map(|column| {
                let (cell, width) = (&line[column], widths[column]);
                if column < FIRST_NUMBER_COLUMN {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            })
            .collect();
        table += &format!("{}\n", cells.join("  "));
    }
    table
}

/// Formats a shape as `1x32x48x48`.
fn shape(sizes: &[i64]) -> String {
    sizes.iter().map(i64::to_string).collect::<Vec<_>>().join("x")
}

/// Formats a number as `5,495,976`.
pub(crate) fn with_thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}
