//! Reads the files that a configuration names, none of them without bound.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    time::SystemTime,
};

/// What shows that a file is another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
    inode: u64,
}

impl Stamp {
    /// Of a file as it is now; `None`: there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Stamp { modified: found.modified().ok(), bytes: found.len(), inode: found.ino() })
    }
}

/// Why a file could not be read, to follow its name.
#[derive(Debug)]
pub(crate) enum Fault {
    Unreadable(io::ErrorKind),
    TooLong(u64),
}

/// Reads a file of at most `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    match read {
        Err(error) => Err(Fault::Unreadable(error.kind())),
        Ok(_) if bytes.len() as u64 > bytes_max => Err(Fault::TooLong(bytes_max)),
        Ok(_) => Ok(bytes),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable(kind) => {
                write!(f, "cannot be read: {kind}; check its path and its permissions")
            }
            Fault::TooLong(max) => write!(f, "is too long; it may have {max} bytes"),
        }
    }
}
