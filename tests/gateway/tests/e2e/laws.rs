//! A gateway at work is held against the laws, and so is a recording that is played again.

use serde_json::Value;
use trunkline::recording::replay::{Outcome, replay};
use trunkline_gateway_tests::rig::{Backend, Client, Gateway, Scrape, Setup, message, opened};

const STEPS: &str = "trunkline_law_steps_total";

fn setup(backend: &Backend, endpoints: &str) -> Setup {
    Setup::new(backend.address()).with("admin.address", "127.0.0.1:0").with("laws.endpoints", endpoints)
}

/// The figures of this name.
fn of(scrape: &Scrape, name: &str) -> Vec<f64> {
    let figures = scrape.figures();
    figures.into_iter().filter(|(full, _)| full.split('{').next() == Some(name)).map(|(_, it)| it).collect()
}

fn breaches(scrape: &Scrape) -> f64 {
    of(scrape, "trunkline_law_breaches_total").into_iter().sum()
}

#[tokio::test]
async fn what_a_gateway_does_is_held_against_the_laws_while_it_does_it() {
    let mut backend = Backend::echo().await;
    let gateway = Gateway::start(&setup(&backend, "all")).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    for text in ["one", "two", "three"] {
        ann.say(text).await;
        assert_eq!(ann.hear().await, text);
    }
    let mut again = Client::enter(&gateway, "ann").await;
    assert_eq!(ann.closed().await.0, 1008);
    again.say("four").await;
    assert_eq!(again.hear().await, "four");
    again.leave().await;
    backend.until("it is closed", |events| events.iter().filter(|e| e.kind() == "close").count() == 2).await;
    let steps = format!("{STEPS}{{endpoint=\"lobby\"}}");
    let scrape = gateway.operator().until_scraped(&steps, |steps| steps >= 20.0).await;
    assert_eq!(breaches(&scrape), 0.0);
    assert_eq!(of(&scrape, "trunkline_law_breaches_total").len(), 19);
}

#[tokio::test]
async fn as_many_endpoints_are_held_against_the_laws_as_is_wanted() {
    for (endpoints, watched) in [("none", 0), ("one", 1), ("all", 3)] {
        let backend = Backend::start().await;
        let setup = setup(&backend, endpoints).endpoint("second", "/second", backend.address()).endpoint(
            "third",
            "/third",
            backend.address(),
        );
        let gateway = Gateway::start(&setup).await;
        let ready = "trunkline_link_state{endpoint=\"lobby\",state=\"up\"}";
        let scrape = gateway.operator().until_scraped(ready, |up| up == 1.0).await;
        assert_eq!(of(&scrape, STEPS).len(), watched, "{endpoints}");
    }
}

/// A recording that begins when ann and bob are in; then the link breaks and comes again.
async fn recorded() -> String {
    let mut backend = Backend::start().await;
    let setup =
        Setup::new(backend.address()).with("admin.address", "127.0.0.1:0").with("recording.bytes_max", 300);
    let gateway = Gateway::start(&setup).await;
    let mut ann = Client::enter(&gateway, "ann").await;
    backend.expect(&opened("ann")).await;
    let _bob = Client::enter(&gateway, "bob").await;
    backend.expect(&opened("bob")).await;
    while state(&recording_of(&gateway).await)["live"]["len"] != 2 {
        ann.say("again").await;
        backend.expect(&message("ann", "again")).await;
    }
    backend.cut();
    backend.linked(2).await;
    backend.expect_all([opened("ann"), opened("bob")]).await;
    recording_of(&gateway).await
}

async fn recording_of(gateway: &Gateway) -> String {
    gateway.operator().ask("/api/v1/endpoints/lobby/recording").await.body
}

fn state(recording: &str) -> Value {
    let head = recording.lines().next().expect("there is a first line");
    serde_json::from_str::<Value>(head).expect("each line is JSON")["state"].clone()
}

/// The recording with another state in its first line.
fn with_state(recording: &str, edit: impl FnOnce(&mut Value)) -> String {
    let (head, rest) = recording.split_once('\n').expect("there is a first line");
    let mut head: Value = serde_json::from_str(head).expect("each line is JSON");
    edit(&mut head["state"]);
    format!("{head}\n{rest}")
}

fn told(recording: &str) -> Result<(Outcome, String), String> {
    let mut story = Vec::new();
    let outcome = replay(&mut recording.as_bytes(), None, &mut story)?;
    Ok((outcome, String::from_utf8(story).expect("a story is text")))
}

#[tokio::test]
async fn a_recording_that_is_played_again_is_held_against_the_laws() {
    let recording = recorded().await;
    let (outcome, story) = told(&recording).expect("it is a recording");
    assert_eq!((outcome.differences, outcome.breaches), (0, 0), "{story}");
    assert!(story.contains("the link breaks"), "{story}");

    // A machine that thinks that bob is the older one opens him first, which is said nowhere but in a law.
    let broken = with_state(&recording, |state| {
        (state["live"]["head"], state["live"]["tail"]) = (1.into(), 0.into());
        for (slot, before, after) in [(0, Value::from(1), Value::Null), (1, Value::Null, 0.into())] {
            let place = &mut state["sessions"]["slots"][slot]["session"]["links"][0];
            (place["before"], place["after"]) = (before, after);
        }
    });
    let (outcome, story) = told(&broken).expect("such a machine can be");
    assert_eq!(outcome.breaches, 1, "{story}");
    let line = story.lines().find(|line| line.contains('✗')).expect("the breach is told");
    assert!(line.contains("✗ reference is broken: `open` of SessionId"), "{line}");
}

#[tokio::test]
async fn a_state_that_no_machine_can_be_in_is_refused() {
    type Edit = fn(&mut Value);
    let edits: [(&str, Edit); 6] = [
        ("a list that leads nowhere, or round", |state| state["live"]["head"] = 9.into()),
        ("a list that leads nowhere, or round", |state| {
            state["sessions"]["slots"][0]["session"]["links"][0]["after"] = 0.into();
        }),
        ("a free slot that is taken", |state| state["sessions"]["free"] = serde_json::json!([0])),
        ("a free place of a user that is taken", |state| state["users"]["users"][0] = Value::Null),
        ("parked bytes", |state| state["parked_bytes"] = 7.into()),
        ("a deadline lies in the past", |state| state["now"] = (1_u64 << 40).into()),
    ];
    let recording = recorded().await;
    for (what, edit) in edits {
        let fault = told(&with_state(&recording, edit)).expect_err(what);
        let said = "the state that is written down is none that a machine can be in";
        assert!(fault.starts_with(said) && fault.contains(what), "{fault}, expected {what}");
    }
}
