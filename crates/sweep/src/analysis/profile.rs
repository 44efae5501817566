//! Widths and depths: profiles of the best networks with the linear fit, and the structure of the best and the worst.

use regatta_anynet::{Fit, Network, Stem};
use regatta_report::chart::{Axis, Figure, GREY, Mark, Panel, Point, Scale, TEXT, short};
use regatta_report::page::{Part, Section, Table};
use serde::Serialize;

use super::space::{Space, Trained};
use super::text::percent;

/// Number of networks of a space whose profiles are drawn.
const BEST: usize = 3;

/// A network with the linear fit of its widths.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// The space.
    pub space: String,
    /// The result's id.
    pub id: String,
    /// Its error, the mean of its training seeds.
    pub error: f64,
    /// The width of each block, first to last.
    pub widths: Vec<i64>,
    /// The fit to them.
    pub fit: Fit,
}

/// Returns the profiles of the best networks of each space.
pub(super) fn of_all(spaces: &[Space]) -> Vec<Profile> {
    spaces
        .iter()
        .flat_map(|space| space.networks.iter().take(BEST).filter_map(|it| Profile::of(space, it)))
        .collect()
}

impl Profile {
    fn of(space: &Space, network: &Trained) -> Option<Self> {
        let stages = &network.result.network.stages;
        let fit = Fit::of(stages)?;
        let widths = stages.iter().flat_map(|stage| (0..stage.depth).map(|_| stage.width)).collect();
        let (space, id) = (space.label.clone(), network.result.id.clone());
        Some(Self { space, id, error: network.error, widths, fit })
    }

    fn panel(&self, space: &Space) -> Panel {
        let title = format!("{}: {}", self.id, percent(self.error));
        let x = Axis::new("block j").scale(Scale::Whole);
        let mut panel = Panel::new(shortened(&title), x, Axis::new("width").scale(Scale::Log));
        let blocks = 0..self.widths.len();
        let linear = blocks.clone().map(|block| (block as f64, self.fit.linear(block))).collect();
        let steps = blocks.flat_map(|block| {
            let width = self.fit.quantised(block);
            [(block as f64 - 0.5, width), (block as f64 + 0.5, width)]
        });
        let widths: Vec<Point> =
            self.widths.iter().enumerate().map(|(block, &width)| (block as f64, width as f64)).collect();
        panel.marks = vec![
            Mark::Line { points: linear, colour: GREY, width_px: 1 },
            Mark::Line { points: steps.collect(), colour: TEXT, width_px: 1 },
            Mark::Dots { points: widths, colour: space.colour },
        ];
        panel
    }
}

/// Returns the section, if there are networks.
pub(super) fn section(profiles: &[Profile], spaces: &[Space]) -> Option<Section> {
    if profiles.is_empty() {
        return None;
    }
    let mut table = Table::new("The fits", &["network", "error", "depth", "w0", "wa", "wm", "e_fit"]);
    for Profile { id, error, widths, fit, .. } in profiles {
        let numbers = [fit.w0, fit.wa, fit.wm, fit.e_fit].map(|value| short(value).into());
        let row = [id.as_str().into(), percent(*error).into(), widths.len().to_string().into()];
        table.rows.push(row.into_iter().chain(numbers).collect());
    }
    let parts = vec![profiles_figure(profiles, spaces), Part::Table(table), structures_figure(spaces)];
    Some(Section { title: "Width and depth of the best networks".into(), parts })
}

fn profiles_figure(profiles: &[Profile], spaces: &[Space]) -> Part {
    let mut figure = Figure::new("Width of each block of the best networks");
    (figure.columns, figure.panel_px) = (BEST, (330, 250));
    figure.legend = vec![("w0 + wa j".into(), GREY), ("quantised to w0 wm^k".into(), TEXT)];
    for space in spaces {
        let of_space: Vec<&Profile> = profiles.iter().filter(|it| it.space == space.label).collect();
        if !of_space.is_empty() {
            figure.legend.push((space.label.clone(), space.colour));
            figure.panels.extend(of_space.iter().map(|it| it.panel(space)));
            // A row a space.
            let missing = BEST.saturating_sub(of_space.len());
            figure.panels.extend((0..missing).map(|_| empty_panel()));
        }
    }
    let caption = "Dots: the widths of the blocks, first to last. Grey line: the linear widths u_j = w0 + wa j. Steps: their quantisation. \
                   The fit minimises e_fit, the mean over the blocks of |log(fitted / actual width)|.";
    Part::Figure { file: "profiles.svg".into(), svg: figure.svg(), caption: caption.into() }
}

fn empty_panel() -> Panel {
    Panel { axes: false, ..Panel::new("", Axis::new(""), Axis::new("")) }
}

fn structures_figure(spaces: &[Space]) -> Part {
    let mut figure = Figure::new("Structure of the best and the worst network of each space");
    (figure.columns, figure.panel_px) = (2, (500, 210));
    for space in spaces {
        let [Some(best), Some(worst)] = [space.networks.first(), space.networks.last()] else { continue };
        for (name, network) in [("best", best), ("worst", worst)] {
            let title = format!("{}, {name}: {}", space.label, percent(network.error));
            figure.panels.push(structure(shortened(&title), &network.result.network, space));
        }
    }
    let caption = "Stem, stages and head; each slice of a stage is a block. The height of a box grows with the logarithm of its width. g is the group width, b the ratio of \
                   bottleneck to block width, se that of squeeze-and-excitation.";
    Part::Figure { file: "structures.svg".into(), svg: figure.svg(), caption: caption.into() }
}

/// Returns a drawing of a network: a box for the stem, each stage and the head, with their numbers below.
fn structure(title: String, network: &Network, space: &Space) -> Panel {
    let mut boxes = vec![(1, network.stem_width, stem_lines(network))];
    for (number, stage) in (1..).zip(&network.stages) {
        let blocks = format!("{} x {}", stage.depth, stage.width);
        let groups = format!("g{} b{}", stage.group_width, short(stage.bottleneck_ratio));
        let se = if stage.se_ratio > 0.0 { format!("se{}", short(stage.se_ratio)) } else { String::new() };
        boxes.push((stage.depth, stage.width, [format!("stage {number}"), blocks, groups, se]));
    }
    boxes.push((
        1,
        network.classes,
        ["head".into(), network.classes.to_string(), String::new(), String::new()],
    ));

    let count = boxes.len() as f64;
    let (x, y) = (Axis::new("").shown(0.0..count), Axis::new("").shown(-11.0..11.0));
    let mut panel = Panel { axes: false, ..Panel::new(title, x, y) };
    let tallest = boxes.iter().map(|it| (it.1 as f64).log2()).fold(1.0, f64::max);
    for (index, (depth, width, lines)) in boxes.into_iter().enumerate() {
        let (left, half) = (index as f64, (5.0 * (width as f64).log2().max(0.5) / tallest).max(0.6));
        let edge = |block: i64| left + 0.06 + 0.88 * block as f64 / depth as f64;
        let slices = (0..depth).map(|block| ((edge(block), 5.0 - half), (edge(block + 1), 5.0 + half)));
        panel.marks.extend(slices.map(|(from, to)| Mark::Box { from, to, colour: space.colour }));
        let labels = lines.into_iter().zip([-1.7, -4.3, -6.9, -9.5]);
        panel.marks.extend(labels.map(|(text, y)| Mark::Label { at: (left + 0.5, y), text }));
    }
    panel
}

fn stem_lines(network: &Network) -> [String; 4] {
    let kind = match network.stem {
        Stem::Simple => "3x3, /2",
        Stem::Resnet => "7x7, pool",
        Stem::Cifar => "3x3",
        Stem::Flatten => "flatten",
    };
    ["stem".into(), network.stem_width.to_string(), kind.into(), String::new()]
}

/// Returns a title that fits over a panel.
fn shortened(title: &str) -> String {
    let most = 36;
    if title.chars().count() <= most {
        return title.to_owned();
    }
    let end: Vec<char> = title.chars().rev().take(most - 1).collect();
    std::iter::once('…').chain(end.into_iter().rev()).collect()
}
