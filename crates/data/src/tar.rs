//! Images in tar shards (WebDataset): reading, writing and staging.

mod error;
mod header;
mod sample;
mod scan;

mod archive;
mod classes;
mod index;
mod numbering;

mod open_files;
mod read_ahead;
mod source;

mod braces;
mod stage;
mod writer;

pub use self::braces::{check_shard_pattern, expand_shards};
pub use self::classes::write_classes;
pub use self::error::{MemberFault, ShardFault, TarError};
pub use self::index::ShardIndex;
pub use self::read_ahead::ReadAhead;
pub use self::source::TarShards;
pub use self::stage::stage;
pub use self::writer::ShardWriter;
