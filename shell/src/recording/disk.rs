//! The recording goes on to disk while it is made, so that a crash leaves what came before it.
//!
//! The endpoint's thread only hands on what its ring has written down anyway, in chunks, through a channel that is bounded.
//! A thread of its own plays it through a machine of its own, from which each file can begin, and writes files in the form
//! that [`file`](super::file) has. Where it does not keep up, steps are missed: then the endpoint hands on its state, and
//! the next file begins with that and says how many were.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::Arc,
};

use tokio::sync::mpsc;
use trunkline_core::{Endpoint, Millis, Time, recording::Weight};

use super::{
    file::{self, Title},
    keep,
};
use crate::{clock::unix_millis, metrics::EndpointMetrics, world};

/// Chunks of all endpoints that may wait for the disk.
const CHUNKS_MAX: usize = 64;
/// A chunk goes on once it is as large as this, or this old.
const CHUNK_BYTES: usize = 32 << 10;
const CHUNK_AGE: Millis = Millis(1_000);
/// After an error of the disk nothing is tried for so long.
const RETRY_MS: u64 = 10_000;

/// Where and how much is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OnDisk {
    pub(crate) folder: PathBuf,
    /// A file whose steps are larger is not continued, unless the state before them is larger still: a state is written
    /// down no more often than it is small beside the steps.
    pub(crate) file_bytes_max: u64,
    /// Files of an endpoint; older ones are deleted.
    pub(crate) files_max: usize,
}

/// What the writing thread is told.
#[derive(Debug)]
enum Chunk {
    /// An endpoint's machine is in this state, and so many steps before it are missing.
    Begin { endpoint: Arc<str>, origin_unix_ms: u64, from: Time, state: Vec<u8>, missed: u64 },
    /// Further steps of it.
    Steps { endpoint: Arc<str>, steps: Vec<u8> },
}

/// The way to the writing thread.
#[derive(Clone, Debug)]
pub(crate) struct Disk(mpsc::Sender<Chunk>);

impl Disk {
    /// Starts the thread. It ends once nobody hands anything on any more.
    ///
    /// # Errors
    ///
    /// The system has no thread.
    pub(crate) fn start(on_disk: OnDisk) -> io::Result<Disk> {
        let (to, mut chunks) = mpsc::channel(CHUNKS_MAX);
        world::start_thread("recordings".to_owned(), move || async move {
            let mut writers: Vec<Writer> = Vec::new();
            while let Some(chunk) = chunks.recv().await {
                let (Chunk::Begin { endpoint, .. } | Chunk::Steps { endpoint, .. }) = &chunk;
                match writers.iter_mut().find(|writer| writer.endpoint == *endpoint) {
                    Some(writer) => writer.take(chunk),
                    None => writers.extend(Writer::new(&on_disk, chunk)),
                }
            }
        })?;
        Ok(Disk(to))
    }

    /// The tap of one endpoint, whose time began then.
    pub(crate) fn tap(&self, endpoint: &str, origin_unix_ms: u64, metrics: Arc<EndpointMetrics>) -> Tap {
        Tap {
            to: self.0.clone(),
            endpoint: endpoint.into(),
            origin_unix_ms,
            metrics,
            steps: Vec::new(),
            count: 0,
            since: Time(0),
            missed: None,
        }
    }
}

/// What an endpoint's thread hands on to the disk.
pub(crate) struct Tap {
    to: mpsc::Sender<Chunk>,
    endpoint: Arc<str>,
    origin_unix_ms: u64,
    metrics: Arc<EndpointMetrics>,
    /// Steps that have not been handed on, how many, and since when.
    steps: Vec<u8>,
    count: u64,
    since: Time,
    /// Where a state has to be handed on first: steps that are missing before it.
    missed: Option<u64>,
}

impl Tap {
    /// The machine is in this state, with which what follows begins.
    pub(super) fn begin(&mut self, state: Vec<u8>, from: Time) {
        let (endpoint, origin_unix_ms) = (Arc::clone(&self.endpoint), self.origin_unix_ms);
        let missed = self.missed.unwrap_or(0);
        let begin = Chunk::Begin { endpoint, origin_unix_ms, from, state, missed };
        self.missed = self.to.try_send(begin).is_err().then_some(missed);
        (self.count, self.since) = (0, from);
        self.steps.clear();
    }

    /// A step, as the ring has it. Whether the state has to be handed on: [`Tap::begin`] is to be called with it.
    pub(super) fn step(&mut self, step: &[u8], now: Time) -> bool {
        if let Some(missed) = &mut self.missed {
            *missed += 1;
            self.metrics.recording_missed.add(1);
            // Not at once: it takes a while.
            return self.is_old(now);
        }
        self.steps.extend_from_slice(step);
        self.count += 1;
        self.pass_on(now);
        false
    }

    /// Hands on what is large or old enough.
    pub(super) fn pass_on(&mut self, now: Time) {
        if self.steps.is_empty() || self.steps.len() < CHUNK_BYTES && !self.is_old(now) {
            return;
        }
        let steps = std::mem::take(&mut self.steps);
        let chunk = Chunk::Steps { endpoint: Arc::clone(&self.endpoint), steps };
        if self.to.try_send(chunk).is_err() {
            self.metrics.recording_missed.add(self.count);
            self.missed = Some(self.count);
        }
        (self.count, self.since) = (0, now);
    }

    fn is_old(&self, now: Time) -> bool {
        now - self.since >= CHUNK_AGE
    }
}

impl Drop for Tap {
    /// What an endpoint has done last is worth the most.
    fn drop(&mut self) {
        if !self.steps.is_empty() {
            let steps = std::mem::take(&mut self.steps);
            // Where there is no room, it is missed.
            let _ = self.to.try_send(Chunk::Steps { endpoint: Arc::clone(&self.endpoint), steps });
        }
    }
}

/// Writes the files of one endpoint.
struct Writer {
    on_disk: OnDisk,
    endpoint: Arc<str>,
    origin_unix_ms: u64,
    /// As the endpoint's own one was.
    machine: Endpoint<Weight>,
    at: Time,
    file: Option<BufWriter<File>>,
    /// Of the steps in there, and how many they may have.
    bytes: u64,
    bytes_max: u64,
    /// Steps that no file has, since the last that one has.
    missed: u64,
    /// When the last file began, by which it is called; and when the disk may be tried again.
    named: u64,
    again_at: u64,
}

impl Writer {
    /// `None`: the endpoint has not said in what state it is.
    fn new(on_disk: &OnDisk, chunk: Chunk) -> Option<Self> {
        let Chunk::Begin { endpoint, origin_unix_ms, from, state, missed } = chunk else { return None };
        let machine = postcard::from_bytes(&state).ok()?;
        let mut writer = Writer {
            on_disk: on_disk.clone(),
            endpoint,
            origin_unix_ms,
            machine,
            at: from,
            file: None,
            bytes: 0,
            bytes_max: 0,
            missed,
            named: 0,
            again_at: 0,
        };
        writer.attempt(Writer::begin);
        Some(writer)
    }

    fn take(&mut self, chunk: Chunk) {
        match chunk {
            Chunk::Begin { origin_unix_ms, from, state, missed, .. } => {
                let Ok(machine) = postcard::from_bytes(&state) else { return };
                // An endpoint of that name may have begun anew.
                (self.machine, self.at, self.origin_unix_ms) = (machine, from, origin_unix_ms);
                self.missed += missed;
                self.attempt(Writer::begin);
            }
            Chunk::Steps { steps, .. } => {
                let mut left = &steps[..];
                while let Ok(Some(step)) = file::take_step(&mut left, &mut self.at) {
                    let step = step.played(&mut self.machine);
                    if self.file.is_none() && unix_millis() >= self.again_at {
                        self.missed += 1;
                        self.attempt(Writer::begin);
                    } else {
                        self.attempt(|writer| writer.write(&step));
                    }
                }
                self.attempt(|writer| writer.file.as_mut().map_or(Ok(()), Write::flush));
            }
        }
    }

    /// Does something with the disk. Where that fails, the file ends, and nothing is tried for a while.
    fn attempt(&mut self, does: impl FnOnce(&mut Self) -> io::Result<()>) {
        if let Err(error) = does(self) {
            let endpoint = &*self.endpoint;
            tracing::error!(target: "gateway", endpoint, %error, "the recording does not go on to disk");
            self.file = None;
            self.again_at = unix_millis() + RETRY_MS;
        }
    }

    /// Begins a file with the state that is now.
    fn begin(&mut self) -> io::Result<()> {
        self.file = None;
        self.named = unix_millis().max(self.named + 1);
        let name = format!("{}.disk", self.endpoint);
        let path = self.on_disk.folder.join(format!("{name}.{:013}.jsonl", self.named));
        let mut file = BufWriter::new(keep::create(&path)?);
        let title = Title { missed: self.missed, ..Title::new(&self.endpoint, self.origin_unix_ms, self.at) };
        let state_bytes = file::write_head(title, &self.machine, &mut file)?;
        (self.bytes, self.bytes_max) = (0, self.on_disk.file_bytes_max.max(state_bytes));
        file.flush()?;
        self.missed = 0;
        self.file = Some(file);
        keep::delete_old(&self.on_disk.folder, &name, self.on_disk.files_max)
    }

    fn write(&mut self, step: &file::Step) -> io::Result<()> {
        let Some(to) = &mut self.file else {
            self.missed += 1;
            return Ok(());
        };
        self.bytes += file::line(step, to)?;
        if self.bytes >= self.bytes_max {
            to.flush()?;
            return self.begin();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
