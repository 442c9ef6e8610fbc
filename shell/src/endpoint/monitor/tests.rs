//! A machine that breaks a law, beside the monitor that a gateway has: what is counted, told and written down.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use trunkline_core::{Identity, LinkId, Settings};

use super::*;
use crate::{
    config::Config,
    recording::{Ring, write_breach},
};

/// A machine at work under the monitor, which can be made to say what it must not.
struct Works {
    machine: Endpoint<Payload>,
    recorder: Option<Ring>,
    monitor: Monitor,
    metrics: Arc<EndpointMetrics>,
    breaches: mpsc::Receiver<Breach>,
    /// What clients and the backend got.
    queued: usize,
}

impl Works {
    /// The link is up.
    fn new() -> Self {
        let text = "[endpoints.lobby]\npath = \"/lobby\"\nbackend = \"ws://127.0.0.1:9\"\n\
                    token = { algorithms = [\"HS256\"], secret = \"hush-hush-hush-hush-hush-hush-hush-hush\" }";
        let config = Config::parse(text, Path::new("."), |_| None).expect("nothing is wrong with it");
        let config = config.endpoints.into_iter().next().expect("there is one endpoint");
        let (metrics, (tell, breaches)) = (Arc::new(EndpointMetrics::default()), mpsc::channel(4));
        let machine = Endpoint::new(Settings::default(), Time(0));
        let mut works = Works {
            recorder: Ring::new(1 << 20, &machine, Time(0)),
            machine,
            monitor: Monitor::new(Rc::new(config), Arc::clone(&metrics), tell, 1),
            metrics,
            breaches,
            queued: 0,
        };
        works.step(0, Input::Deadline, false);
        works.step(0, Input::LinkUp { link: LinkId(1) }, false);
        works
    }

    fn step(&mut self, at: u64, input: Input<'_, Payload>, spoilt: bool) {
        let Works { machine, recorder, monitor, queued, .. } = self;
        let mut out = |output: Output<'_, Payload>| {
            let bytes = if matches!(output, Output::Event { .. } | Output::Ping { .. }) { 10 } else { 0 };
            *queued += bytes;
            bytes
        };
        let broken = monitor.step(machine, Time(at), input, &mut out, |machine, input, out| {
            if let Some(recorder) = recorder {
                recorder.step(machine, Time(at), input, out);
            }
            if spoilt {
                out.emit(Output::ResumeAll);
            }
        });
        if let Some(broken) = broken {
            monitor.report(&broken, Time(at), || {
                let excerpt = recorder.as_ref()?.excerpt();
                Some(Recording { excerpt, origin_unix_ms: 0 })
            });
        }
    }

    fn ask(&mut self, at: u64, user: &str, spoilt: bool) {
        self.step(at, Input::Ask { identity: Identity::new(user, []), expires: None }, spoilt);
    }

    fn counted(&self) -> (u64, u64) {
        let of_pings =
            Law::WATCHED.iter().position(|law| *law == Law::PingDiscipline).expect("it is watched");
        let all = self.metrics.law_breaches.all();
        (all[of_pings], all.iter().sum())
    }
}

/// What is logged while `does` runs.
fn logged(does: impl FnOnce()) -> String {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&lines);
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || Lines(Arc::clone(&to))).finish();
    tracing::subscriber::with_default(subscriber, does);
    let lines = lines.lock().expect("nobody has panicked").clone();
    String::from_utf8(lines).expect("a log is text")
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody has panicked").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_breach_is_counted_told_and_recorded_and_the_machine_goes_on() {
    let mut works = Works::new();
    let log = logged(|| {
        works.ask(1, "ann\n\u{1b}[31m", false);
        assert_eq!(works.counted(), (0, 0));
        works.ask(2, "bob", true);
    });
    assert_eq!(works.counted(), (1, 1));
    let said = "a law is broken endpoint=\"lobby\" law=\"ping_discipline\" \
                what=\"all are resumed, and were not stopped\" at_ms=2";
    assert!(log.contains(said), "{log}");
    let Breach { endpoint, recording } = works.breaches.try_recv().expect("the breach is to be recorded");
    let mut text = Vec::new();
    recording.write(&endpoint, &mut text).expect("memory takes it");
    let text = String::from_utf8(text).expect("it is text");
    assert!(text.lines().last().is_some_and(|last| last.contains("bob")), "{text}");

    // While the laws pause nothing is held against them, and everybody is served.
    let (steps, queued) = (works.metrics.law_steps.get(), works.queued);
    works.ask(3, "cid", true);
    assert_eq!((works.counted(), works.metrics.law_steps.get()), ((1, 1), steps));
    assert!(works.queued > queued && works.machine.session_of("cid").is_some());

    // Then they begin anew, from what is. The same law within a minute is counted, and no more.
    works.ask(2_000, "dan", false);
    assert_eq!((works.counted(), works.metrics.law_steps.get()), ((1, 1), steps + 1));
    let log = logged(|| works.ask(2_001, "eve", true));
    assert_eq!((works.counted(), log.as_str()), ((2, 2), ""));
    assert!(works.breaches.try_recv().is_err());

    // The second pause is twice as long as the first.
    let steps = works.metrics.law_steps.get();
    works.ask(4_000, "gil", false);
    assert_eq!(works.metrics.law_steps.get(), steps);
    works.ask(4_001, "hal", false);
    assert_eq!(works.metrics.law_steps.get(), steps + 1);
    works.step(70_000, Input::Deadline, false);
    let log = logged(|| works.ask(70_001, "fay", true));
    assert!(log.contains("a law is broken"), "{log}");
    assert!(works.breaches.try_recv().is_ok());
}

#[test]
fn what_peers_are_called_forges_no_line_of_the_log() {
    let mut works = Works::new();
    let user = "ann\n\u{1b}[31m\u{202e}";
    let log = logged(|| {
        works.ask(1, user, false);
        let [said] = [Input::Kick { session: works.machine.session_of(user).expect("she is in").id }];
        let broken = Violation { law: Law::Order1, at: Time(2), what: format!("{user} is wrong") };
        works.step(2, said, false);
        works.monitor.report(&broken, Time(2), || None);
    });
    let line = log.lines().next().expect("something is logged");
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(line.contains(r"ann\n\u{1b}[31m\u{202e} is wrong"), "{line}");
}

/// A folder that is gone with this.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is in the system's place for such.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn recordings_of_breaches_are_few_and_push_out_no_others() {
    let folder = Folder(std::env::temp_dir().join(format!("trunkline-breaches-{}", std::process::id())));
    fs::create_dir_all(&folder.0).expect("there is a place for temporary files");
    let older: Vec<String> = (0..20).map(|number| format!("lobby.law.{number:013}.jsonl")).collect();
    let others = ["lobby.0000000000001.jsonl", "lobby2.law.0000000000001.jsonl"];
    for name in older.iter().map(String::as_str).chain(others) {
        fs::write(folder.0.join(name), "").expect("the folder takes files");
    }
    let mut works = Works::new();
    works.ask(1, "ann", true);
    let breach = works.breaches.try_recv().expect("the breach is to be recorded");
    let written = write_breach(&folder.0, &breach).expect("the folder takes files");
    let text = fs::read_to_string(&written).expect("it is text");
    assert!(text.starts_with("{\"recording\":"), "{text}");
    let names = fs::read_dir(&folder.0).expect("the folder is there");
    let names = names.map(|name| name.expect("it can be read").file_name().into_string().expect("a name"));
    let names: Vec<String> = names.collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("lobby.law.")).count(), 16, "{names:?}");
    assert!(others.iter().all(|other| names.iter().any(|name| name == other)), "{names:?}");
}
