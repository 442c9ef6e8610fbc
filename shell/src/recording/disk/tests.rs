//! What a crash leaves on disk: whole files, few of them, and a word about what they do not have.

use std::{fs, process};

use trunkline_core::{Identity, Input, LinkId, Output, Settings};

use super::*;
use crate::recording::{
    Ring,
    replay::{Outcome, replay},
};

/// An endpoint that is recorded, a channel, and the writer at its other end, who works when he is told to.
struct Recorded {
    folder: PathBuf,
    machine: Endpoint<crate::endpoint::Payload>,
    ring: Ring,
    metrics: Arc<EndpointMetrics>,
    chunks: mpsc::Receiver<Chunk>,
    writer: Option<Writer>,
    file_bytes_max: u64,
}

impl Recorded {
    fn new(name: &str, chunks_max: usize, file_bytes_max: u64) -> Self {
        let folder = std::env::temp_dir().join(format!("trunkline-disk-{}-{name}", process::id()));
        fs::create_dir_all(&folder).expect("there is a place for temporary files");
        let (to, chunks) = mpsc::channel(chunks_max);
        let metrics = Arc::new(EndpointMetrics::default());
        let tap = Disk(to).tap("lobby", 0, Arc::clone(&metrics));
        let machine = Endpoint::new(Settings::default(), Time(0));
        let ring = Ring::new(1 << 20, &machine, Time(0)).expect("something is recorded").on_disk(tap);
        let mut recorded = Recorded { folder, machine, ring, metrics, chunks, writer: None, file_bytes_max };
        recorded.step(0, Input::Deadline);
        recorded.step(0, Input::LinkUp { link: LinkId(1) });
        recorded
    }

    fn step(&mut self, at: u64, input: Input<'_, crate::endpoint::Payload>) {
        let mut out = |output: Output<'_, crate::endpoint::Payload>| match output {
            Output::Event { .. } | Output::Ping { .. } => 10,
            _ => 0,
        };
        self.ring.step(&mut self.machine, Time(at), input, &mut out);
    }

    fn ask(&mut self, at: u64, user: &str) {
        self.step(at, Input::Ask { identity: Identity::new(user, []), expires: None });
    }

    fn write(&mut self) {
        while let Ok(chunk) = self.chunks.try_recv() {
            let file_bytes_max = self.file_bytes_max;
            let on_disk = OnDisk { folder: self.folder.clone(), file_bytes_max, files_max: 3 };
            match &mut self.writer {
                Some(writer) => writer.take(chunk),
                None => self.writer = Writer::new(&on_disk, chunk),
            }
        }
    }

    /// The files, oldest first: the bytes of their state and of their steps, what is told of each, and what comes of it.
    fn files(&self) -> Vec<(usize, usize, String, Outcome)> {
        let names = fs::read_dir(&self.folder).expect("the folder is there");
        let mut names: Vec<PathBuf> = names.map(|name| name.expect("it can be read").path()).collect();
        names.sort();
        let told = |name: PathBuf| {
            let text = fs::read(name).expect("it can be read");
            let mut story = Vec::new();
            let outcome = replay(&mut &text[..], None, &mut story).expect("it is a recording");
            let head = text.iter().position(|byte| *byte == b'\n').expect("there is a line");
            (head, text.len() - head, String::from_utf8(story).expect("a story is text"), outcome)
        };
        names.into_iter().map(told).collect()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        // What is left is in the system's place for such.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn files_are_few_and_small_and_each_can_be_played() {
    let mut recorded = Recorded::new("rotated", 64, 8_000);
    for number in 0..200 {
        recorded.ask(2 + number * 50, &format!("user{}", number % 7));
        recorded.write();
    }
    drop(std::mem::replace(&mut recorded.ring, Ring::new(1, &recorded.machine, Time(0)).expect("a ring")));
    recorded.write();
    let files = recorded.files();
    assert_eq!(files.len(), 3);
    for (head, bytes, story, Outcome { steps, differences, breaches }) in &files {
        assert!(*bytes < 1_000 + *head.max(&8_000), "{bytes} bytes of {steps} steps");
        assert_eq!((*differences, *breaches), (0, 0), "{story}");
        assert!(!story.contains("missing"), "{story}");
    }
    let last = &files[2].2;
    assert!(last.contains("user3 comes"), "the last step is there: {last}");
}

#[test]
fn a_disk_that_does_not_keep_up_leaves_a_gap_that_is_counted_and_told() {
    let mut recorded = Recorded::new("gap", 1, 1 << 20);
    // The one place is taken by the beginning.
    recorded.ask(1_500, "ann");
    recorded.ask(1_600, "bob");
    assert_eq!(recorded.metrics.recording_missed.get(), 4);
    recorded.write();
    recorded.ask(2_400, "cid");
    assert!(recorded.chunks.try_recv().is_err(), "a state is handed on once a second");
    recorded.ask(2_600, "dan");
    recorded.write();
    recorded.ask(4_000, "eve");
    recorded.write();
    let files = recorded.files();
    let told: Vec<&str> = files.iter().map(|(_, _, story, _)| story.as_str()).collect();
    let [first, second] = told[..] else { panic!("two files, and not {}", files.len()) };
    assert_eq!(files[0].3.steps, 0, "{first}");
    assert!(second.contains("6 steps before this are missing") && second.contains("4 sessions"), "{second}");
    assert!(second.contains("eve comes") && !second.contains("dan comes"), "{second}");
    assert_eq!(files[1].3, Outcome { steps: 1, differences: 0, breaches: 0 }, "{second}");
    assert_eq!(recorded.metrics.recording_missed.get(), 6);
}

#[test]
fn where_the_folder_is_gone_the_endpoint_goes_on() {
    let mut recorded = Recorded::new("gone", 64, 8_000);
    fs::remove_dir_all(&recorded.folder).expect("it was there");
    for number in 0..50 {
        recorded.ask(2 + number * 500, "ann");
        recorded.write();
    }
    assert!(recorded.machine.session_of("ann").is_some());
    assert!(recorded.writer.as_ref().is_some_and(|writer| writer.file.is_none() && writer.missed > 0));
}

#[test]
fn an_endpoint_that_is_taken_away_and_put_in_again_is_dated_anew() {
    let mut recorded = Recorded::new("again", 64, 1 << 20);
    recorded.write();
    let (to, chunks) = mpsc::channel(64);
    let tap = Disk(to).tap("lobby", 1_000, Arc::clone(&recorded.metrics));
    recorded.machine = Endpoint::new(Settings::default(), Time(0));
    recorded.ring =
        Ring::new(1 << 20, &recorded.machine, Time(0)).expect("something is recorded").on_disk(tap);
    recorded.chunks = chunks;
    recorded.write();
    assert!(recorded.writer.as_ref().is_some_and(|writer| writer.origin_unix_ms == 1_000));
}

#[test]
fn what_is_old_enough_is_handed_on_though_nothing_more_happens() {
    let mut recorded = Recorded::new("old", 16, 1 << 20);
    recorded.ask(500, "ann");
    recorded.ring.pass_on(Time(999));
    let handed_on = recorded.chunks.len();
    recorded.ring.pass_on(Time(2_000));
    assert_eq!(recorded.chunks.len(), handed_on + 1);
    recorded.ring.pass_on(Time(9_000));
    assert_eq!(recorded.chunks.len(), handed_on + 1, "there is nothing more");
}
