//! What is looked at: a scene each, which begins with a link and without users.

use std::{pin::Pin, time::Duration};

use trunkline_core::{
    Binary,
    language::{Data, encode_message, encode_open},
};

use super::{
    stage::{Broken, Stage},
    watch::State,
};

type Scene = for<'s, 'p> fn(&'s mut Stage<'p>) -> Pin<Box<dyn Future<Output = Result<(), Broken>> + 's>>;

/// In their order: what later ones rest on comes first.
pub(super) const CHECKS: &[(&str, Scene)] = &[
    // The link that each check begins with is all of it.
    ("upgrade", |_| Box::pin(async { Ok(()) })),
    ("pings", |stage| Box::pin(pings(stage))),
    ("life", |stage| Box::pin(life(stage))),
    ("growth", |stage| Box::pin(growth(stage))),
    ("names", |stage| Box::pin(names(stage))),
    ("texts", |stage| Box::pin(texts(stage))),
    ("large", |stage| Box::pin(large(stage))),
    ("binary", |stage| Box::pin(binary(stage))),
    ("crowd", |stage| Box::pin(crowd(stage))),
    ("unknown_close", |stage| Box::pin(unknown_close(stage))),
    ("takeover", |stage| Box::pin(takeover(stage))),
    ("gone", |stage| Box::pin(gone(stage))),
    ("break", |stage| Box::pin(link_breaks(stage))),
    ("end", |stage| Box::pin(end(stage))),
];

/// What the others rest on.
pub(super) const NEEDED: &[&str] = &["upgrade", "life"];

/// How far a backend's application may lag behind its library: `crossing_window` unless configured.
const CROSSING: Duration = Duration::from_secs(1);
/// Times that what could go wrong by chance is tried.
const ROUNDS: usize = 3;
const CROWD: usize = 200;
/// Names that a user may have, and that programs stumble over.
const NAMES: &[&str] = &[
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "toString",
    "null",
    "0",
    " ",
    " ann",
    "ann ",
    "ANN",
    "a\"b\\c/d",
    "<script>&amp;'%00",
    "tab\tline\nnul\u{0}del\u{7f}",
    "\u{e9}",
    "e\u{301}",
    "\u{2028}\u{2029}",
    "\u{202e}txet",
    "\u{feff}bom",
    "\u{1f980}\u{1f468}\u{200d}\u{1f467}",
    "\u{10ffff}",
];
const TEXTS: &[&str] = &[
    "",
    " ",
    "{\"event\":\"close\",\"user\":{\"username\":\"ann\"},\"params\":{}}",
    "[1,2",
    "null",
    "\"\\\u{0}\u{1}\u{8}\u{c}\n\r\t\u{1f}\u{7f}",
    "\u{2028}\u{2029}\u{feff}\u{fffd}\u{ffff}",
    "\u{1f980}\u{10ffff}",
];

async fn pings(stage: &mut Stage<'_>) -> Result<(), Broken> {
    for _ in 0..ROUNDS {
        stage.confirm().await?;
    }
    stage.open("ann").await?;
    for _ in 0..ROUNDS {
        // The Ping comes in the same breath as what it confirms.
        let say = &stage.plan.say;
        stage.text("ann", say).await?;
        stage.confirm().await?;
    }
    let (pongs, slowest) = (stage.watch.pongs, stage.watch.slowest);
    stage.watch.notes.push(format!("{pongs} were answered, the slowest after {slowest:.1?}"));
    Ok(())
}

async fn life(stage: &mut Stage<'_>) -> Result<(), Broken> {
    stage.open("ann").await?;
    // It answers if it does so twice.
    let mut answers = stage.ask("ann").await?;
    if answers == Some(true) {
        answers = stage.ask("ann").await?;
    }
    stage.answers = answers;
    let say = &stage.plan.say;
    stage.watch.notes.push(match answers {
        Some(true) => format!("it answers {say:?}, so it is seen below whether it loses users"),
        Some(false) => format!("it does not answer {say:?}: --say TEXT says what it would answer"),
        None => format!("it ends the session at {say:?}: --say TEXT says something else"),
    });
    Ok(())
}

async fn growth(stage: &mut Stage<'_>) -> Result<(), Broken> {
    let ann = stage.identity("ann");
    stage.watch.set("ann", State::Open);
    let more = br#","since":1700000000,"later":{"event":["close"],"more":[null,true,1.5e3]}}"#;
    let grown = |mut event: Vec<u8>| {
        event.pop();
        event.extend_from_slice(more);
        event
    };
    let mut open = Vec::new();
    encode_open(&ann, &mut open);
    stage.say(&grown(open)).await?;
    let mut message = Vec::new();
    encode_message(&ann, &Data::Text((&*stage.plan.say).into()), &mut message);
    stage.say(&grown(message)).await?;
    let another = format!(r#"{{"event":"later",{}{}"#, ann.fields(), String::from_utf8_lossy(more));
    stage.say(another.as_bytes()).await?;
    stage.confirm().await?;
    stage.expect_answer("ann").await
}

async fn names(stage: &mut Stage<'_>) -> Result<(), Broken> {
    // As long as a name may be unless configured.
    let long = "x".repeat(256);
    let all: Vec<&str> = NAMES.iter().copied().chain([&*long]).collect();
    for name in &all {
        stage.open(name).await?;
    }
    for name in &all {
        stage.expect_answer(name).await?;
    }
    Ok(())
}

async fn texts(stage: &mut Stage<'_>) -> Result<(), Broken> {
    stage.open("ann").await?;
    for text in TEXTS {
        stage.text("ann", text).await?;
    }
    stage.confirm().await?;
    stage.expect_answer("ann").await
}

async fn large(stage: &mut Stage<'_>) -> Result<(), Broken> {
    stage.open("ann").await?;
    let size = stage.plan.message_bytes_max;
    // The second is six times as large on the link.
    for text in ["x".repeat(size), "\u{1}".repeat(size)] {
        stage.text("ann", &text).await?;
        stage.confirm().await?;
    }
    stage.expect_answer("ann").await
}

async fn binary(stage: &mut Stage<'_>) -> Result<(), Broken> {
    if stage.plan.binary != Binary::Base64 {
        stage.note_unjudged("only endpoints with binary = \"base64\" pass it on: --binary base64 tries it");
        return Ok(());
    }
    stage.open("ann").await?;
    for bytes in [&b""[..], b"text", b"\x00", b"\xff\xfe", b"\xff\xfe\xfd", &[0xa5; 1000]] {
        stage.message("ann", &Data::Binary(bytes.into())).await?;
    }
    stage.confirm().await?;
    stage.expect_answer("ann").await
}

async fn crowd(stage: &mut Stage<'_>) -> Result<(), Broken> {
    let all: Vec<_> = (0..CROWD).map(|number| format!("crowd-{number}")).collect();
    let say = &stage.plan.say;
    for user in &all {
        stage.open(user).await?;
        stage.text(user, say).await?;
    }
    stage.confirm().await?;
    for user in &all {
        stage.close(user).await?;
    }
    stage.confirm().await
}

async fn unknown_close(stage: &mut Stage<'_>) -> Result<(), Broken> {
    stage.open("ann").await?;
    stage.close_of("nobody").await?;
    stage.open("bob").await?;
    stage.close("bob").await?;
    // As when the first was not confirmed.
    stage.close_of("bob").await?;
    stage.confirm().await?;
    stage.expect_answer("ann").await
}

async fn takeover(stage: &mut Stage<'_>) -> Result<(), Broken> {
    stage.needs_answers();
    let users = ["ann", "bob", "__proto__"];
    for user in users {
        stage.open(user).await?;
    }
    still_there(stage, &users).await?;
    for _ in 0..ROUNDS {
        for user in users {
            stage.close(user).await?;
        }
        stage.pause(stage.plan.reopen_gap).await?;
        for user in users {
            stage.open(user).await?;
        }
        for user in users {
            stage.expect_answer(user).await?;
        }
        still_there(stage, &users).await?;
    }
    Ok(())
}

/// Asks once more, when whatever lags behind has caught up: an answer at once may come from before the user was lost,
/// and what goes wrong twice may be right again.
async fn still_there(stage: &mut Stage<'_>, users: &[&str]) -> Result<(), Broken> {
    stage.pause(CROSSING).await?;
    for user in users {
        stage.expect_answer(user).await?;
    }
    Ok(())
}

async fn gone(stage: &mut Stage<'_>) -> Result<(), Broken> {
    stage.needs_answers();
    stage.open("ann").await?;
    stage.open("bob").await?;
    stage.expect_answer("ann").await?;
    stage.close("ann").await?;
    stage.confirm().await?;
    stage.pause(CROSSING).await?;
    stage.confirm().await?;
    stage.watch.set("ann", State::Gone);
    stage.expect_answer("bob").await?;
    stage.close("bob").await?;
    stage.confirm().await
}

async fn link_breaks(stage: &mut Stage<'_>) -> Result<(), Broken> {
    stage.needs_answers();
    for user in ["ann", "bob", "cid"] {
        stage.open(user).await?;
        stage.expect_answer(user).await?;
    }
    for _ in 0..ROUNDS {
        stage.break_link().await?;
        // What is owed comes first, and is confirmed; then all who are there, whether or not it knows them.
        stage.close("cid").await?;
        stage.confirm().await?;
        stage.pause(stage.plan.reopen_gap).await?;
        for user in ["ann", "bob", "cid"] {
            stage.open(user).await?;
            stage.expect_answer(user).await?;
        }
        still_there(stage, &["ann", "bob", "cid"]).await?;
    }
    Ok(())
}

async fn end(stage: &mut Stage<'_>) -> Result<(), Broken> {
    stage.open("ann").await?;
    stage.close("ann").await?;
    stage.confirm().await?;
    stage.close_link().await;
    stage.link_up().await
}
