//! What replaces a space's own blocks and stem in each network that is drawn.

use super::Space;
use super::error::SpaceError;
use crate::network::{BlockKind, Network, Stage, Stem};
use crate::validation::{MAX_CHANNELS, check_count};

/// The replaced parts of a network; the default replaces none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Replacement {
    block: Option<BlockKind>,
    stem: Option<Stem>,
    stem_width: Option<i64>,
}

impl Replacement {
    pub(super) fn with_block(self, space: Space, block: BlockKind) -> Result<Self, SpaceError> {
        refuse_fully_connected(space, "block")?;
        if block == BlockKind::Mlp {
            return Err(SpaceError::FullyConnectedBlock { space, block });
        }
        Ok(Self { block: Some(block), ..self })
    }

    pub(super) fn with_stem(
        self,
        space: Space,
        stem: Stem,
        stem_width: Option<i64>,
    ) -> Result<Self, SpaceError> {
        refuse_fully_connected(space, "stem")?;
        if stem == Stem::Flatten {
            return Err(SpaceError::FlatteningStem { space });
        }
        if let Some(width) = stem_width {
            check_count("stem_width", width, MAX_CHANNELS)?;
        }
        Ok(Self { stem: Some(stem), stem_width, ..self })
    }

    /// Returns the network with the parts replaced.
    pub(super) fn apply(self, network: Network) -> Network {
        let stem = self.stem.unwrap_or(network.stem);
        let stem_width = self.stem_width.unwrap_or(network.stem_width);
        let network = Network { stem, stem_width, ..network };
        match self.block {
            None | Some(BlockKind::Resnext) => network,
            Some(block) => {
                let plain = |stage: &Stage| Stage::plain(stage.depth, stage.width, stage.stride);
                Network { block, stages: network.stages.iter().map(plain).collect(), ..network }
            }
        }
    }
}

fn refuse_fully_connected(space: Space, key: &'static str) -> Result<(), SpaceError> {
    if space == Space::Mlp { Err(SpaceError::FullyConnectedSpace { key }) } else { Ok(()) }
}
