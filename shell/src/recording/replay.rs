//! A recording is played again, told as a story, and held against what the machine said when it was made, and against the
//! laws.

use std::{
    collections::HashMap,
    io::{self, BufRead, Write},
};

use trunkline_core::{
    Endpoint, Fact, Input, Output, SessionId, Time,
    language::Action,
    recording::{Weight, words},
};

use trunkline_laws::{
    Laws, Looks, Violation,
    said::{Msg, Said, heard},
};

use super::file;

/// Steps that say something else than they did, and steps that break a law, of which that is shown; once the machine has
/// gone another way, more tell nothing.
const SHOWN_MAX: u64 = 10;

/// What came of a replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Steps that were played.
    pub steps: u64,
    /// Steps in which this version says something else than the one that made the recording.
    pub differences: u64,
    /// Steps in which this version breaks a law.
    pub breaches: u64,
}

/// Plays a recording, and tells it: all of it, or what concerns one user.
///
/// # Errors
///
/// It is no recording, it begins with a state that no machine can be in, or what is told cannot be written.
///
/// # Panics
///
/// The machine finds that it is broken, or the recording was made up so well that this was not seen before.
pub fn replay(from: &mut dyn BufRead, user: Option<&str>, to: &mut dyn Write) -> Result<Outcome, String> {
    let (title, machine) = file::read_head(from)?;
    let laws = Laws::begin(&machine, Looks::ALL, mark);
    let mut player = Player { names: Names::of(&machine), machine, laws, user, outcome: Outcome::default() };
    let told = format!(
        "{} of version {}, {} sessions; 0 ms is {} in Unix milliseconds\n",
        title.endpoint,
        title.version,
        player.names.0.len(),
        title.origin_unix_ms
    );
    let missed = match title.missed {
        0 => String::new(),
        steps => format!("{steps} steps before this are missing: the disk did not keep up\n"),
    };
    let told = told + &missed;
    let unwritten = |error: io::Error| error.to_string();
    to.write_all(told.as_bytes()).map_err(unwritten)?;
    for (index, text) in from.lines().enumerate() {
        let text = text.map_err(unwritten)?;
        let step = file::read_step(index + 2, &text)?;
        to.write_all(player.step(step).as_bytes()).map_err(unwritten)?;
    }
    Ok(player.outcome)
}

struct Player<'a> {
    machine: Endpoint<Weight>,
    laws: Laws,
    names: Names,
    user: Option<&'a str>,
    outcome: Outcome,
}

impl Player<'_> {
    /// Plays a step. What is told of it.
    fn step(&mut self, step: file::Step) -> String {
        let file::Step { at, input, queued, outputs: recorded } = step;
        let asks = match &input {
            Input::Ask { identity, .. } => identity.user().to_owned(),
            _ => String::new(),
        };
        let happened = words::input(&input, |id| self.names.name(id));
        let mut concerns = self.user.is_none_or(|user| concerns(&input, user, &self.names));
        let (mut said, mut lines) = (Vec::new(), Vec::new());
        let names = &mut self.names;
        let mut queued = queued.into_iter();
        // What is due is done first by any input; the laws want to see it by itself.
        let due = self.machine.next_deadline().is_some_and(|due| due <= at) && input != Input::Deadline;
        for input in [due.then_some(Input::Deadline), Some(input)].into_iter().flatten() {
            let (given, mut heard) = (heard(&input, mark), Vec::new());
            file::play(&mut self.machine, at, input, &mut queued, |output, value, bytes| {
                if let Output::Admit { session } = output {
                    names.add(*session, &asks);
                }
                if let (Some(user), Some(session)) = (self.user, session_of(output)) {
                    concerns |= names.user(session) == user;
                }
                lines.push(words::output(output, &asks, |id| names.name(id)));
                heard.push(Said::of(output, bytes, mark));
                said.push(value);
            });
            if let Err(Violation { law, what, .. }) =
                self.laws.step(at, &given, &heard, self.machine.next_deadline())
            {
                self.laws = Laws::begin(&self.machine, Looks::ALL, mark);
                self.outcome.breaches += 1;
                if self.outcome.breaches <= SHOWN_MAX {
                    concerns = true;
                    lines.push(format!("✗ {} is broken: {}", law.name(), line(&what)));
                }
            }
        }
        self.outcome.steps += 1;
        if said != recorded {
            self.outcome.differences += 1;
            if self.outcome.differences <= SHOWN_MAX {
                concerns = true;
                lines.push("≠ when it was recorded, this was said:".to_owned());
                lines.extend(recorded.iter().map(|value| format!("  {value}")));
            }
        }
        if concerns { tell(at, &happened, &lines) } else { String::new() }
    }
}

/// All that is known of a message.
fn mark(&Weight(size): &Weight) -> Msg {
    Msg { number: 0, size }
}

/// On one line, whatever names are in it.
fn line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// A step in the form of the stories of the tests.
fn tell(at: Time, happened: &str, lines: &[String]) -> String {
    let time = format!("{} ms", at.0);
    let mut told = format!("{time:<10}{happened}\n");
    for line in lines {
        told.push_str(&format!("{:10}{line}\n", ""));
    }
    told
}

fn concerns(input: &Input<'_, Weight>, user: &str, names: &Names) -> bool {
    match input {
        Input::Ask { identity, .. } => identity.user() == user,
        Input::Message { session, .. } | Input::Left { session, .. } | Input::ClientSent { session, .. } => {
            names.user(*session) == user
        }
        Input::Action {
            action: Ok(Action::Send { user: named, .. } | Action::Close { user: named, .. }),
            ..
        } => named.as_deref() == Some(user),
        _ => false,
    }
}

fn session_of<P>(output: &Output<'_, P>) -> Option<SessionId> {
    match output {
        Output::Admit { session }
        | Output::Event { session, .. }
        | Output::Message { session, .. }
        | Output::Close { session, .. }
        | Output::Stop { session }
        | Output::Resume { session }
        | Output::Fact(
            Fact::Ended { session, .. }
            | Fact::StatusReplaced { session }
            | Fact::MessagesDropped { session, .. }
            | Fact::QueueDropped { session, .. },
        ) => Some(*session),
        _ => None,
    }
}

/// What sessions are called: by their user, and from a user's second one on with a number.
#[derive(Default)]
struct Names(HashMap<SessionId, (String, u64)>, HashMap<String, u64>);

impl Names {
    fn of(machine: &Endpoint<Weight>) -> Self {
        let mut names = Names::default();
        for (id, identity) in machine.identities() {
            names.add(id, identity.user());
        }
        names
    }

    fn add(&mut self, id: SessionId, user: &str) {
        let count = self.1.entry(user.to_owned()).or_default();
        *count += 1;
        self.0.insert(id, (user.to_owned(), *count));
    }

    fn user(&self, id: SessionId) -> &str {
        self.0.get(&id).map_or("", |(user, _)| user)
    }

    fn name(&self, id: SessionId) -> String {
        match self.0.get(&id) {
            Some((user, 1)) => user.escape_debug().to_string(),
            Some((user, number)) => format!("{}#{number}", user.escape_debug()),
            None => format!("(session {}.{})", id.slot, id.generation),
        }
    }
}
