//! Learning curves of the best, the median and the worst network of each space.

use regatta_report::chart::{Axis, BLUE, Colour, Figure, GREY, Mark, Panel, Point, Scale, VERMILLION};
use regatta_report::page::{Part, Section};

use super::space::{Space, Trained};
use super::text::{error_axis, percent};

/// Returns the section, if a network has been evaluated.
pub(super) fn section(spaces: &[Space]) -> Option<Section> {
    let curves: Vec<(&Space, Vec<Curve>)> = spaces.iter().map(|space| (space, curves(space))).collect();
    let errors = || curves.iter().flat_map(|it| &it.1).flat_map(|curve| &curve.points).map(|point| point.1);
    let last = curves.iter().flat_map(|it| &it.1).flat_map(|curve| &curve.points).map(|point| point.0);
    let last = last.fold(0.0, f64::max);
    if last == 0.0 {
        return None;
    }
    let legend = [("best network", BLUE), ("median", GREY), ("worst", VERMILLION)];
    let mut figure = Figure::new("Validation error by epoch (%)");
    figure.legend = legend.map(|(name, colour)| (name.to_owned(), colour)).to_vec();
    (figure.columns, figure.panel_px) = (3, (330, 260));
    let (low, high) = errors().fold((f64::INFINITY, 0.0_f64), |(low, high), it| (low.min(it), high.max(it)));
    for (space, curves) in curves.iter().filter(|it| !it.1.is_empty()) {
        let y = error_axis("", errors()).shown(0.95 * low.max(1e-3)..(1.05 * high).max(1e-2));
        let x = Axis::new("epoch").scale(Scale::Whole).shown(0.5..last + 0.5);
        let mut panel = Panel::new(space.label.clone(), x, y);
        for Curve { points, colour } in curves {
            panel.marks.push(Mark::Line { points: points.clone(), colour: *colour, width_px: 2 });
            panel.marks.push(Mark::Dots { points: points.clone(), colour: *colour });
        }
        figure.panels.push(panel);
    }
    let caption = "Error on the validation images after each epoch, of the network with the smallest, the median and the largest error \
                   of each space, its first training seed. Networks that diverged are not drawn.";
    let part = Part::Figure { file: "curves.svg".into(), svg: figure.svg(), caption: caption.into() };
    let list = Part::List(spaces.iter().filter_map(names).collect());
    Some(Section { title: "Learning curves".into(), parts: vec![part, list] })
}

struct Curve {
    points: Vec<Point>,
    colour: Colour,
}

fn curves(space: &Space) -> Vec<Curve> {
    // The worst first, so that the best is in front.
    let curves = chosen(space).into_iter().zip([BLUE, GREY, VERMILLION]).rev();
    let curve = |(network, colour): (&Trained, Colour)| {
        let evaluated =
            network.result.epochs.iter().filter_map(|row| Some((row.epoch as f64, row.val_top1?)));
        let points = evaluated.map(|(epoch, top1)| (epoch, 100.0 * (1.0 - top1)));
        Curve { points: points.filter(|point| point.1.is_finite()).collect(), colour }
    };
    curves.map(curve).filter(|curve| !curve.points.is_empty()).collect()
}

/// Returns the best network, the median and the worst, as far as they are different ones.
fn chosen<'a>(space: &'a Space) -> Vec<&'a Trained<'a>> {
    let networks = &space.networks;
    match networks.len() {
        0 => Vec::new(),
        1 => vec![&networks[0]],
        2 => vec![&networks[0], &networks[1]],
        count => vec![&networks[0], &networks[(count - 1) / 2], &networks[count - 1]],
    }
}

fn names(space: &Space) -> Option<String> {
    let name = |it: &Trained| format!("{} ({})", it.result.id, percent(it.error));
    let names: Vec<String> = chosen(space).into_iter().map(name).collect();
    (!names.is_empty()).then(|| format!("{}, from the best to the worst: {}", space.label, names.join(", ")))
}
