//! Finds the images of a class folder in the order of torchvision's `make_dataset`.

use std::ffi::OsString;
use std::fs::{self, DirEntry, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::FolderError;
use crate::cache::Stamp;
use crate::error::DataError;
use crate::names::{NameList, TooManyNames};

/// Extensions of the formats that are read, in lower case.
const READ: [&str; 4] = [".jpg", ".jpeg", ".png", ".webp"];
/// Extensions that torchvision's `ImageFolder` also takes.
const NOT_READ: [&str; 5] = [".ppm", ".bmp", ".pgm", ".tif", ".tiff"];

/// Files that torchvision's `ImageFolder` would take and that are left out, since their formats are not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Their number.
    pub files: u64,
    /// The first of them; empty if there is none.
    pub example: String,
}

impl Skipped {
    pub(super) fn add(&mut self, other: &Self) {
        if self.files == 0 {
            self.example.clone_from(&other.example);
        }
        self.files += other.files;
    }

    /// Returns the end of a sentence; empty if no file was skipped.
    pub(super) fn remark(&self) -> String {
        match self.files {
            0 => String::new(),
            files => format!("; {files} files of other formats were skipped, such as {}", self.example),
        }
    }
}

/// The images of a folder.
#[derive(Debug, Default)]
pub(super) struct Walked {
    /// Their paths below the folder.
    pub(super) names: NameList,
    /// All folders that were read; their paths are relative to the split's.
    pub(super) stamps: Vec<Stamp>,
    pub(super) skipped: Skipped,
}

/// Lists the images in `folder` of the split's folder and in all folders below it, following links. As in torchvision, folders
/// come in the order of their whole paths, files within a folder in that of their names, and hidden ones are like others.
///
/// # Errors
/// A folder that cannot be read or contains itself; something with an image's name that is no file.
pub(super) fn walk(split_folder: &Path, folder: &Path) -> Result<Walked, DataError> {
    let mut walk =
        Walk { split_folder, folder, found: Vec::new(), stamps: Vec::new(), ancestors: Vec::new() };
    walk.visit(PathBuf::new())?;
    let Walk { mut found, stamps, .. } = walk;
    found.sort_by(|(one, _), (other, _)| one.as_os_str().as_bytes().cmp(other.as_os_str().as_bytes()));
    let mut walked = Walked { stamps, ..Walked::default() };
    for (subfolder, mut files) in found {
        files.sort();
        for file in files {
            walked
                .add(&subfolder.join(file), folder)
                .map_err(|TooManyNames| FolderError::TooManyNames { folder: split_folder.to_owned() })?;
        }
    }
    Ok(walked)
}

impl Walked {
    fn add(&mut self, path: &Path, folder: &Path) -> Result<(), TooManyNames> {
        let name = path.as_os_str().as_bytes();
        if is_image(name) {
            return self.names.push(name);
        }
        self.skipped.add(&Skipped { files: 1, example: folder.join(path).display().to_string() });
        Ok(())
    }
}

struct Walk<'a> {
    split_folder: &'a Path,
    folder: &'a Path,
    /// Every folder below `folder`, with the files in it that torchvision would take.
    found: Vec<(PathBuf, Vec<OsString>)>,
    stamps: Vec<Stamp>,
    /// Device and inode of the folders that contain the current one, and its own.
    ancestors: Vec<(u64, u64)>,
}

impl Walk<'_> {
    fn visit(&mut self, subfolder: PathBuf) -> Result<(), DataError> {
        let below_split = self.folder.join(&subfolder);
        let path = self.split_folder.join(&below_split);
        let failed = |source| DataError::Read { path: path.clone(), source };
        let metadata = fs::metadata(&path).map_err(failed)?;
        let identity = (metadata.dev(), metadata.ino());
        if self.ancestors.contains(&identity) {
            return Err(FolderError::LinkLoop { path }.into());
        }
        self.ancestors.push(identity);
        self.stamps.push(Stamp::of(self.split_folder, &below_split));
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            match Kind::of(&entry) {
                Kind::Folder => folders.push(entry.file_name()),
                _ if !is_taken(&entry.file_name()) => (),
                Kind::File => files.push(entry.file_name()),
                Kind::Other => return Err(FolderError::NotAFile { path: entry.path() }.into()),
            }
        }
        for folder in folders {
            self.visit(subfolder.join(folder))?;
        }
        self.found.push((subfolder, files));
        self.ancestors.pop();
        Ok(())
    }
}

/// What an entry of a folder is, or is a link to.
#[derive(PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    /// A file; or a link to nothing, which is an error when it is read.
    File,
    Other,
}

impl Kind {
    pub(super) fn of(entry: &DirEntry) -> Self {
        let followed = |metadata: Metadata| metadata.file_type();
        match entry.file_type() {
            Ok(kind) if kind.is_symlink() => fs::metadata(entry.path()).map(followed),
            kind => kind,
        }
        .map_or(Self::File, |kind| match kind {
            _ if kind.is_dir() => Self::Folder,
            _ if kind.is_file() => Self::File,
            _ => Self::Other,
        })
    }
}

/// Returns whether a file's name is that of an image in a format that is read.
pub(crate) fn is_image(name: &[u8]) -> bool {
    has_extension(name, &READ)
}

fn is_taken(name: &OsString) -> bool {
    is_image(name.as_bytes()) || has_extension(name.as_bytes(), &NOT_READ)
}

fn has_extension(name: &[u8], extensions: &[&str]) -> bool {
    extensions.iter().any(|extension| {
        let start = name.len().saturating_sub(extension.len());
        name[start..].eq_ignore_ascii_case(extension.as_bytes())
    })
}
