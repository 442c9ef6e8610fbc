//! Recordings are written to a folder when that is asked for.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use tokio::sync::{mpsc, oneshot};

use super::{file, ring::Excerpt};
use crate::{
    clock::unix_millis,
    endpoint::{Command, Question},
    server::Front,
};

/// Recordings of one kind that are kept of an endpoint; older ones are deleted.
const KEPT_MAX: usize = 16;

/// What an endpoint's thread hands out.
#[derive(Debug)]
pub struct Recording {
    pub(crate) excerpt: Excerpt,
    /// When the machine's time began.
    pub(crate) origin_unix_ms: u64,
}

impl Recording {
    /// As a file has it. It takes a while.
    pub(crate) fn write(&self, endpoint: &str, to: &mut impl io::Write) -> io::Result<()> {
        file::write(endpoint, self.origin_unix_ms, &self.excerpt, to)
    }
}

/// An endpoint has broken a law.
#[derive(Debug)]
pub(crate) struct Breach {
    /// Which endpoint.
    pub(crate) endpoint: String,
    /// What had happened before, and the step that breaks it.
    pub(crate) recording: Recording,
}

/// Who writes recordings down.
pub(crate) struct Keeper {
    pub(crate) front: Rc<Front>,
}

impl Keeper {
    /// Writes down what is known of each endpoint whenever `wanted` says so, and of one that has broken a law.
    pub(crate) async fn keep(self, wanted: Option<mpsc::Receiver<()>>, mut breaches: mpsc::Receiver<Breach>) {
        let mut wanted = wanted.unwrap_or_else(|| mpsc::channel(1).1);
        loop {
            tokio::select! {
                Some(()) = wanted.recv() => self.keep_all().await,
                Some(breach) = breaches.recv() => {
                    let endpoint = breach.endpoint.clone();
                    self.write(&endpoint, move |folder| write_breach(folder, &breach)).await;
                }
                else => return,
            }
        }
    }

    async fn keep_all(&self) {
        for gate in self.front.table().all() {
            let (answer, recorded) = oneshot::channel();
            // One that has gone has nothing to tell.
            if gate.desk.commands.send(Command::Inspect(Question::Recording { answer })).await.is_err() {
                continue;
            }
            let Ok(Some(recording)) = recorded.await else { continue };
            let name = gate.config.name.clone();
            self.write(&gate.config.name, move |folder| write(folder, &name, &name, &recording)).await;
        }
    }

    async fn write(&self, endpoint: &str, write: impl FnOnce(&Path) -> io::Result<PathBuf> + Send + 'static) {
        let Some(folder) = self.front.table().folder.clone() else {
            tracing::warn!(target: "gateway", "nothing is written down: recording.folder is not configured");
            return;
        };
        let written = tokio::task::spawn_blocking(move || write(&folder)).await;
        match written.map_err(io::Error::other).flatten() {
            Ok(file) => tracing::info!(target: "gateway", endpoint, ?file, "recording written"),
            Err(error) => tracing::error!(target: "gateway", endpoint, %error, "recording not written"),
        }
    }
}

/// Writes down what had happened before a breach, and the step that is one.
pub(crate) fn write_breach(folder: &Path, breach: &Breach) -> io::Result<PathBuf> {
    let Breach { endpoint, recording } = breach;
    write(folder, &format!("{endpoint}.law"), endpoint, recording)
}

/// Creates a file for its owner alone to read: recordings name users.
pub(super) fn create(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Writes one recording.
fn write(folder: &Path, name: &str, endpoint: &str, recording: &Recording) -> io::Result<PathBuf> {
    let file = folder.join(format!("{name}.{:013}.jsonl", unix_millis()));
    let part = file.with_extension("part");
    let mut to = io::BufWriter::new(create(&part)?);
    recording.write(endpoint, &mut to)?;
    drop(to);
    fs::rename(&part, &file)?;
    delete_old(folder, name, KEPT_MAX)?;
    Ok(file)
}

/// Deletes all but the newest files of this name.
pub(super) fn delete_old(folder: &Path, prefix: &str, kept_max: usize) -> io::Result<()> {
    let is_of = |name: &str| {
        let date = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".jsonl"));
        date.is_some_and(|date| date.len() == 13 && date.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| is_of(name)));
    }
    names.sort_unstable();
    for name in names.iter().rev().skip(kept_max) {
        fs::remove_file(folder.join(name))?;
    }
    Ok(())
}
