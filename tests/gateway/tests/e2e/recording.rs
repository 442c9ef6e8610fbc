//! What has happened lately is written down, and played again with the same outcome.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

use serde_json::{Value, json};
use trunkline::recording::replay::{Outcome, replay};
use trunkline_gateway_tests::rig::{Backend, Client, Gateway, Setup, closed, message, opened};

/// A folder for recordings, which is gone with this.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("trunkline-recording-{}-{name}", process::id()));
        fs::create_dir_all(&folder).expect("there is a place for temporary files");
        Folder(folder)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is in the system's place for such.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn setup(backend: &Backend, folder: &Folder) -> Setup {
    Setup::new(backend.address()).with("recording.folder", folder.path().display().to_string())
}

/// The recording told, and whether it went as before.
fn told(recording: &str, user: Option<&str>) -> (String, Outcome) {
    let mut story = Vec::new();
    let outcome = replay(&mut recording.as_bytes(), user, &mut story).expect("it is a recording");
    (String::from_utf8(story).expect("a story is text"), outcome)
}

/// A story without its times and its first line, which say when it was.
fn undated(story: &str) -> Vec<&str> {
    let lines = story.lines().skip(1);
    lines.map(|line| line.split_once(" ms").map_or(line, |(_, what)| what).trim_start()).collect()
}

#[tokio::test]
async fn why_a_client_was_closed_is_told_and_what_was_said_is_not() {
    let folder = Folder::new("why");
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&setup(&backend, &folder)).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    let _bob = Client::enter(&gateway, "bob").await;
    backend.expect(&opened("bob")).await;
    ann.say("a secret of ann").await;
    backend.expect(&message("ann", "a secret of ann")).await;
    backend.send(&json!({ "action": "send", "user": { "username": "ann" }, "data": "a secret answer" }));
    assert_eq!(ann.hear().await, "a secret answer");
    backend.send(
        &json!({ "action": "close", "user": { "username": "ann" }, "status": 4001, "reason": "banned" }),
    );
    assert_eq!(ann.closed().await, (4001, "banned".to_owned()));

    let recording = gateway.record(folder.path()).await;
    assert!(!recording.contains("secret"), "{recording}");
    let (story, outcome) = told(&recording, Some("ann"));
    assert_eq!(outcome.differences, 0, "{story}");
    let lines = undated(&story);
    let expected = [
        "ann comes with a token until",
        "→ ann is admitted",
        "→ backend: open of ann",
        "ann sends a message: 15 bytes",
        "→ backend: message of ann, 15 bytes",
        "backend: send to ann",
        "→ ann gets a message",
        "backend: close ann with 4001: banned",
        "· ann's session is over: the backend ended it",
        "→ ann is closed: 4001 banned",
    ];
    let mut rest = lines.iter();
    for expected in expected {
        let found = rest.any(|line| line.starts_with(expected));
        assert!(found, "{expected} is not told, or not in its place:\n{story}");
    }
    assert!(!story.contains("bob"), "{story}");
}

#[tokio::test]
async fn an_operator_may_ask_for_a_recording_where_there_is_one() {
    for (bytes_max, status) in [(1 << 20, 200), (0, 404)] {
        let mut backend = Backend::start().await;
        let setup = Setup::new(backend.address())
            .with("admin.address", "127.0.0.1:0")
            .with("recording.bytes_max", bytes_max);
        let gateway = Gateway::start(&setup).await;
        let _ann = Client::enter(&gateway, "ann").await;
        backend.expect(&opened("ann")).await;
        let answer = gateway.operator().ask("/api/v1/endpoints/lobby/recording").await;
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 200 {
            let (story, outcome) = told(&answer.body, Some("ann"));
            assert_eq!(outcome.differences, 0, "{story}");
            assert!(story.contains("→ ann is admitted"), "{story}");
        }
        let none = gateway.operator().ask("/api/v1/endpoints/none/recording").await;
        assert_eq!(none.status, 404, "{none:?}");
    }
}

#[tokio::test]
async fn a_recorder_that_has_forgotten_the_beginning_goes_on_from_the_state_as_it_was() {
    let folder = Folder::new("ring");
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend, &folder).with("recording.bytes_max", 2_000)).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    for _ in 0..500 {
        ann.say("again").await;
        assert_eq!(ann.hear().await, "again");
    }
    let recording = gateway.record(folder.path()).await;
    let (story, outcome) = told(&recording, None);
    assert_eq!(outcome.differences, 0, "{story}");
    assert!((20..1_000).contains(&outcome.steps), "{outcome:?}");
    assert!(story.contains("ann sends a message: 5 bytes"), "{story}");
    assert!(!story.contains("ann is admitted"), "it goes back to the beginning");
    assert!(recording.len() < 200_000, "{} bytes", recording.len());
}

#[tokio::test]
async fn where_this_version_says_something_else_both_are_shown() {
    let folder = Folder::new("differs");
    let mut backend = Backend::start().await;
    let gateway = Gateway::start(&setup(&backend, &folder)).await;
    let ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    ann.leave().await;
    backend.expect(&closed("ann")).await;
    let recording = gateway.record(folder.path()).await;

    // As if the version that made it had not closed her.
    let changed: Vec<String> = recording
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).expect("each line is JSON");
            if let Some(outputs) = line["outputs"].as_array_mut() {
                outputs.retain(|output| output["event"]["event"].get("close").is_none());
            }
            line.to_string()
        })
        .collect();
    let changed = changed.join("\n");
    assert_ne!(changed.len() + 1, recording.len(), "nothing was changed");
    let (story, outcome) = told(&changed, None);
    assert_eq!(outcome.differences, 1, "{story}");
    assert!(story.contains("≠ when it was recorded, this was said:"), "{story}");
    assert_eq!(told(&recording, None).1.differences, 0);
}

#[tokio::test]
async fn what_is_no_recording_is_refused_with_the_line_that_is_wrong() {
    let folder = Folder::new("broken");
    let backend = Backend::start().await;
    let gateway = Gateway::start(&setup(&backend, &folder)).await;
    gateway.link_is("up").await;
    let recording = gateway.record(folder.path()).await;
    let fault = |text: &str| replay(&mut text.as_bytes(), None, &mut Vec::new()).expect_err("it is none");
    assert!(fault("").starts_with("line 1 is not that of a recording"), "{}", fault(""));
    let newer = recording.replacen("\"recording\":2", "\"recording\":3", 1);
    assert_eq!(fault(&newer), "is a recording of form 3; this version reads form 2");
    let cut = recording.trim_end();
    let cut = &cut[..cut.len() - 10];
    let last = cut.lines().count();
    assert!(fault(cut).starts_with(&format!("line {last}: ")), "{}", fault(cut));
    let stateless = recording.replacen("\"state\"", "\"condition\"", 1);
    assert!(fault(&stateless).contains("cannot be read by this one"), "{}", fault(&stateless));
}
