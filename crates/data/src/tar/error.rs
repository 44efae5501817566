//! Errors of tar shards, with the shard and the member.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// A set of tar shards that cannot be used.
#[derive(Debug, Error)]
pub enum TarError {
    /// A shard has wrong content.
    #[error("{}: {fault}", .shard.display())]
    Shard {
        /// The shard.
        shard: PathBuf,
        /// What is wrong.
        fault: ShardFault,
    },
    /// A member of a shard, or the sample that it belongs to, has wrong content.
    #[error("{}: {member}: {fault}", .shard.display())]
    Member {
        /// The shard.
        shard: PathBuf,
        /// The member's name, or the sample's key.
        member: String,
        /// What is wrong.
        fault: MemberFault,
    },
    /// A pattern names no shards.
    #[error("the pattern {pattern} of shards is not usable: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A shard does not exist.
    #[error("there is no shard {}", .shard.display())]
    Missing {
        /// The shard.
        shard: PathBuf,
    },
    /// The same shard is named twice.
    #[error("the shard {} is named twice", .shard.display())]
    Twice {
        /// The shard.
        shard: PathBuf,
    },
    /// The shards contain no images.
    #[error("there is no image in {}", in_words(*.shards, .first))]
    NoImages {
        /// Number of shards.
        shards: usize,
        /// The first of them.
        first: PathBuf,
    },
    /// More images than an index numbers, or names of more than 4 GiB.
    #[error("the shards have too many images")]
    TooManyImages,
    /// The file of the classes' names cannot be used.
    #[error("{}: {reason}", .path.display())]
    Classes {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The validation shards have classes that the training shards lack.
    #[error(
        "the validation shards do not have the classes of the training shards: {validation} classes, and {train} in \
         training, or other names"
    )]
    ClassesDiffer {
        /// Number of classes of the training shards.
        train: usize,
        /// Number of classes of the validation shards.
        validation: usize,
    },
}

fn in_words(shards: usize, first: &Path) -> String {
    match shards {
        1 => first.display().to_string(),
        _ => format!("the {shards} shards from {} on", first.display()),
    }
}

/// What is wrong with a shard.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum ShardFault {
    /// No bytes.
    #[error("the shard is empty (0 bytes)")]
    Empty,
    /// The file ends within a header or before the block of zeros that ends an archive.
    #[error("the shard is cut: it ends at byte {length} without the mark of a tar archive's end")]
    Cut {
        /// Length of the file.
        length: u64,
    },
    /// A header's checksum is not that of its bytes.
    #[error("no tar header at byte {offset}: the checksum is wrong")]
    Checksum {
        /// Position of the header.
        offset: u64,
    },
    /// The archive is compressed with gzip.
    #[error("the shard is compressed; unpack it with gunzip, since images are read at their places in it")]
    Compressed,
    /// An archive of one archive for each class was expected.
    #[error("it holds no archive CLASS.tar, as ILSVRC2012_img_train.tar has one for each class")]
    NoClasses,
    /// A number in a header is not one.
    #[error("the tar header at byte {offset} has no valid size")]
    Size {
        /// Position of the header.
        offset: u64,
    },
    /// An extended header (PAX, or a long name of GNU tar) is invalid or too large.
    #[error("the extended tar header at byte {offset} is invalid or larger than 1 MiB")]
    Extended {
        /// Position of the header.
        offset: u64,
    },
    /// Something follows the mark of the archive's end.
    #[error(
        "the shard goes on at byte {offset} after the mark of its end; archives must not be joined with cat"
    )]
    Joined {
        /// Position of the content.
        offset: u64,
    },
    /// A shard where a writer of shards is to continue was written by something else.
    #[error("the keys of its images are not numbers: another program wrote it")]
    NotNumbered,
    /// The shard has another size than when its index was built.
    #[error("the shard has changed since its index was built: {found} bytes instead of {expected}")]
    Changed {
        /// Bytes then.
        expected: u64,
        /// Bytes now.
        found: u64,
    },
}

/// What is wrong with a member of a shard or with a sample.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum MemberFault {
    /// The file ends within the member.
    #[error("the shard is cut in this member, which ends at byte {end} of {length}")]
    Cut {
        /// End of the member.
        end: u64,
        /// Length of the shard.
        length: u64,
    },
    /// An absolute name, or one with `..`.
    #[error("the name leaves the shard: absolute names and .. are not accepted")]
    Outside,
    /// A link, device, pipe or file with holes.
    #[error("{0} is not accepted in a shard, only files and folders")]
    Kind(&'static str),
    /// Two members with the same name, or a key that occurs again after another one.
    #[error("the key occurs twice; the members of a sample must follow each other")]
    Duplicate,
    /// Two images in one sample.
    #[error("the sample has a second image, {0}")]
    SecondImage(String),
    /// A label without an image.
    #[error("the sample has a label and no image (.jpg, .jpeg, .png, .webp)")]
    NoImage,
    /// An image without a label.
    #[error("the sample has no label: neither .cls nor .json with an integer label or cls")]
    NoLabel,
    /// A label that is not an integer in range.
    #[error("the label {found} is not an integer from 0 to {most}")]
    Label {
        /// The beginning of what was found.
        found: String,
        /// The largest label.
        most: u32,
    },
    /// A label that has no name in classes.txt.
    #[error("the label {label} is out of range: classes.txt has {classes} lines")]
    LabelWithoutClass {
        /// The label.
        label: u32,
        /// Number of classes.
        classes: usize,
    },
    /// An image or label that is too large.
    #[error("{bytes} bytes, where {most} are accepted")]
    TooLarge {
        /// Size of the member.
        bytes: u64,
        /// The largest size.
        most: u64,
    },
}
