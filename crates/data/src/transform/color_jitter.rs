//! Random changes of brightness, contrast, saturation and hue, in random order.

use regatta_random::SplitMix64;

use super::geometry::uniform;
use super::operation::Operation;
use super::settings::ColorJitter;

/// The operations of one image, in their order (torchvision's `ColorJitter.make_params`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter(pub [Operation; 4]);

impl ColorJitter {
    /// Returns whether it leaves every image unchanged.
    pub fn is_identity(&self) -> bool {
        *self == Self::default()
    }

    /// Draws the factors and the order. Each draw depends on its own range only.
    pub fn draw(&self, random: &mut SplitMix64) -> Jitter {
        let mut order = [0, 1, 2, 3];
        random.shuffle(&mut order);
        let mut factor = |width: f64| uniform(random, [(1.0 - width).max(0.0), 1.0 + width]);
        let operations = [
            operation(self.brightness, Operation::Brightness(factor(self.brightness))),
            operation(self.contrast, Operation::Contrast(factor(self.contrast))),
            operation(self.saturation, Operation::Saturation(factor(self.saturation))),
            operation(self.hue, Operation::Hue(uniform(random, [-self.hue, self.hue]))),
        ];
        Jitter(order.map(|place: usize| operations[place]))
    }
}

/// The operation, unless its range is 0: a hue turned by nothing would still be rounded.
fn operation(range: f64, operation: Operation) -> Operation {
    if range > 0.0 { operation } else { Operation::Identity }
}
