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

/// Recordings of an endpoint that are kept; older ones are deleted.
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

/// Writes down what is known of each endpoint whenever `wanted` says so.
pub(crate) async fn keep(front: Rc<Front>, mut wanted: mpsc::Receiver<()>) {
    while wanted.recv().await.is_some() {
        let table = front.table();
        let Some(folder) = &table.folder else {
            tracing::warn!(target: "gateway", "nothing is written down: recording.folder is not configured");
            continue;
        };
        for gate in table.all() {
            let (answer, recorded) = oneshot::channel();
            // One that has gone has nothing to tell.
            if gate.desk.commands.send(Command::Inspect(Question::Recording { answer })).await.is_err() {
                continue;
            }
            let Ok(Some(recording)) = recorded.await else { continue };
            let (folder, endpoint) = (folder.clone(), gate.config.name.clone());
            let written = tokio::task::spawn_blocking(move || write(&folder, &endpoint, &recording)).await;
            let endpoint = &gate.config.name;
            match written.map_err(io::Error::other).flatten() {
                Ok(file) => tracing::info!(target: "gateway", endpoint, ?file, "recording written"),
                Err(error) => tracing::error!(target: "gateway", endpoint, %error, "recording not written"),
            }
        }
    }
}

/// Writes one recording, which is for its owner alone to read: it names users.
fn write(folder: &Path, endpoint: &str, recording: &Recording) -> io::Result<PathBuf> {
    let file = folder.join(format!("{endpoint}.{:013}.jsonl", unix_millis()));
    let part = file.with_extension("part");
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    let mut to = io::BufWriter::new(opened);
    recording.write(endpoint, &mut to)?;
    drop(to);
    fs::rename(&part, &file)?;
    delete_old(folder, endpoint)?;
    Ok(file)
}

fn delete_old(folder: &Path, endpoint: &str) -> io::Result<()> {
    let is_of = |name: &str| {
        let date =
            name.strip_prefix(endpoint).and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".jsonl"));
        date.is_some_and(|date| date.len() == 13 && date.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string().ok().filter(|name| is_of(name)));
    }
    names.sort_unstable();
    for name in names.iter().rev().skip(KEPT_MAX) {
        fs::remove_file(folder.join(name))?;
    }
    Ok(())
}
