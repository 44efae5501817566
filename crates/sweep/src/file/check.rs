//! Checks a sweep file: values out of their ranges, and values that contradict each other.

use std::collections::BTreeSet;

use super::{LimitsSection, Mode, SpaceSection, SweepFile};

/// Largest number of networks of a space, and of seeds of a network.
const MAX_COUNT: u64 = 1_000_000;

impl SweepFile {
    /// Returns the key of the first value that contradicts another or is out of its range, and the problem.
    pub(super) fn check(&self) -> Result<(), (String, String)> {
        let fail = |key: &str, problem: String| Err((key.to_owned(), problem));
        if self.spaces.is_empty() {
            return fail(
                "space",
                "there is no [[space]]: add at least one, such as draw = \"regnet_x\"".into(),
            );
        }
        for (key, count) in [("samples", self.samples), ("seeds_per_sample", self.seeds_per_sample)] {
            if !(1..=MAX_COUNT).contains(&count) {
                return fail(key, format!("{key} = {count}, must be from 1 to {MAX_COUNT}"));
            }
        }
        if !(1..=4096).contains(&self.start.ranks) {
            return fail(
                "start.ranks",
                format!("start.ranks = {}, must be from 1 to 4096", self.start.ranks),
            );
        }
        if self.start.slots == Some(0) {
            return fail(
                "start.slots",
                "start.slots = 0, must be at least 1: leave it out for one a core or GPU".into(),
            );
        }
        self.check_mode()?;
        self.check_limits("limits", &self.limits)?;
        let mut slugs = BTreeSet::new();
        for (index, space) in self.spaces.iter().enumerate() {
            let key = |name: &str| format!("space[{index}].{name}");
            self.check_space(space, index)?;
            if !slugs.insert(space.slug()) {
                let problem = format!(
                    "two spaces are called {:?}: give each [[space]] a name of its own",
                    space.slug()
                );
                return fail(&key("name"), problem);
            }
        }
        Ok(())
    }

    fn check_mode(&self) -> Result<(), (String, String)> {
        let fail = |key: &str, problem: String| Err((key.to_owned(), problem));
        match (self.mode, &self.search) {
            (Mode::Study, Some(_)) => fail(
                "search",
                "mode is \"study\", which trains every network to its end, since stopping bad ones early would cut off the \
                 distribution of errors: leave [search] out, or set mode = \"search\""
                    .into(),
            ),
            (Mode::Search, None) => {
                fail("mode", "mode is \"search\", which needs [search] with a method, such as \"asha\"".into())
            }
            (Mode::Search, Some(_)) => {
                if self.spaces.len() > 1 {
                    return fail("space", format!("a search draws from one [[space]], not {}", self.spaces.len()));
                }
                if self.seeds_per_sample > 1 {
                    return fail("seeds_per_sample", "a search trains each network with one seed: leave seeds_per_sample out".into());
                }
                Ok(())
            }
            (Mode::Study, None) => Ok(()),
        }
    }

    fn check_space(&self, space: &SpaceSection, index: usize) -> Result<(), (String, String)> {
        let key = |name: &str| format!("space[{index}].{name}");
        if space.name.as_ref().is_some_and(|name| name.trim().is_empty() || name.len() > 80) {
            return Err((key("name"), "name must have 1 to 80 characters".into()));
        }
        if space.name.is_none() && space.draw.is_none() {
            let problem = "this [[space]] draws no networks and has no name: set name, or draw".to_owned();
            return Err((key("sample"), problem));
        }
        if space.samples.is_some_and(|count| !(1..=MAX_COUNT).contains(&count)) {
            return Err((key("samples"), format!("samples must be from 1 to {MAX_COUNT}")));
        }
        if space.draw.is_none() && space.block.is_some() {
            return Err((
                key("block"),
                "block replaces that of drawn networks, but draw is not set: set model.anynet.block".into(),
            ));
        }
        if space.draw.is_none() && (space.limits.is_some()) {
            return Err((
                key("limits"),
                "limits apply to drawn networks, but draw is not set: leave them out".into(),
            ));
        }
        match &space.limits {
            Some(limits) => self.check_limits(&key("limits"), limits),
            None => Ok(()),
        }
    }

    fn check_limits(&self, key: &str, limits: &LimitsSection) -> Result<(), (String, String)> {
        for (name, window) in limits.windows() {
            let [low, high] = window;
            if low > high || high == 0 {
                let problem =
                    format!("{key}.{name} = [{low}, {high}], must be the smallest and the largest value");
                return Err((format!("{key}.{name}"), problem));
            }
        }
        Ok(())
    }
}
