//! How stories say things: those of the tests, and those that a recording tells.

use alloc::{
    borrow::{Cow, ToOwned},
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use crate::{
    ActionFault, DropCause, Duplicates, EndCause, Event, Expiry, Fact, Input, LeaveCause, LinkPhase, Millis,
    OutagePolicy, Output, Payload, Redeliver, Refusal, SessionId, Settings,
    handshake::Answer,
    language::{Action, BadAction, Data, Field, Status},
};

/// Longer texts are cut short: they are about their length.
const CHARACTERS_MAX: usize = 180;

/// What a frame carries, in a form that can be read and leaves one line one line.
pub fn data(data: &Data<'_>) -> String {
    match data {
        Data::Text(text) if text.is_empty() => "(an empty text)".to_owned(),
        Data::Text(text) => line(text),
        Data::Binary(bytes) if bytes.is_empty() => "(binary, empty)".to_owned(),
        Data::Binary(bytes) => match core::str::from_utf8(bytes) {
            Ok(text) => format!("(binary) {}", line(text)),
            Err(_) => format!("(binary) {}", hex(bytes)),
        },
    }
}

fn line(text: &str) -> String {
    let characters = text.chars().count();
    let shown = if characters <= CHARACTERS_MAX { characters } else { 40 };
    let mut line = String::new();
    for character in text.chars().take(shown) {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    if shown < characters {
        line.push_str(&format!("… ({characters} characters)"));
    }
    line
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.join(" ")
}

/// What happened, without what anybody said. `name` is that of a session's client.
pub fn input<P: Payload>(input: &Input<'_, P>, name: impl Fn(SessionId) -> String) -> String {
    match input {
        Input::Ask { identity, expires: None } => format!("{} comes", line(identity.user())),
        Input::Ask { identity, expires: Some(at) } => {
            format!("{} comes with a token until {} ms", line(identity.user()), at.0)
        }
        Input::Message { session, payload } => {
            format!("{} sends a message: {} bytes", name(*session), payload.size())
        }
        Input::Left { session, cause } => format!("{}: {}", name(*session), left(*cause)),
        Input::ClientSent { session, bytes } => format!("{} takes {bytes} bytes", name(*session)),
        Input::LinkUp { .. } => "the link comes up".to_owned(),
        Input::LinkDown { .. } => "the link breaks".to_owned(),
        Input::LinkSent { bytes, .. } => format!("the link takes {bytes} bytes"),
        Input::Pong { counter, .. } => format!("backend: (Pong {counter})"),
        Input::Action { action: Ok(action), .. } => format!("backend: {}", asked(action)),
        Input::Action { action: Err(fault), .. } => format!("backend: no action, {}", bad_action(*fault)),
        Input::Deadline => "time passes".to_owned(),
        Input::WallClockStepped { forward } => {
            let direction = if *forward < 0 { "back" } else { "forward" };
            format!("the wall clock is set {direction} by {} ms", forward.unsigned_abs())
        }
        Input::Drain => "the gateway is told to stop".to_owned(),
        Input::Kick { session } => format!("an operator closes {}", name(*session)),
        Input::Settings(settings) => format!("an operator changes settings, to {}", otherwise(settings)),
        Input::Redial => "an operator moves the backend".to_owned(),
    }
}

fn asked(action: &Action<'_>) -> String {
    let user = |user: &Option<Cow<str>>| user.as_ref().map_or("(nobody)".to_owned(), |user| line(user));
    match action {
        Action::Send { user: to, .. } => format!("send to {}", user(to)),
        Action::Close { user: whom, status, reason } => {
            let status = match status {
                None => String::new(),
                Some(Status::Code(code)) => format!(" with {}", code.get()),
                Some(Status::Unsendable) => " with a status that may not be sent".to_owned(),
            };
            let reason = reason.as_ref().map_or(String::new(), |reason| format!(": {}", line(reason)));
            format!("close {}{status}{reason}", user(whom))
        }
    }
}

/// What the machine says to that, without what anybody said. `name` is that of a session's client; `asks` that of
/// the one who asks to come in. `→` is what it does, `·` a fact.
pub fn output<P: Payload>(output: &Output<'_, P>, asks: &str, name: impl Fn(SessionId) -> String) -> String {
    let does = match output {
        Output::Fact(fact) => return format!("· {}", self::fact(fact, name)),
        Output::Admit { .. } => format!("{asks} is admitted"),
        Output::Refuse { reason } => format!("{asks} is refused: {}", refusal(*reason)),
        Output::Event { session, event: Event::Open { .. }, .. } => {
            format!("backend: open of {}", name(*session))
        }
        Output::Event { session, event: Event::Message { payload, .. }, .. } => {
            format!("backend: message of {}, {} bytes", name(*session), payload.size())
        }
        Output::Event { session, event: Event::Close { .. }, .. } => {
            format!("backend: close of {}", name(*session))
        }
        Output::Message { session, .. } => format!("{} gets a message", name(*session)),
        Output::Close { session, code, reason, .. } => {
            format!("{} is closed: {} {}", name(*session), code.get(), line(reason))
        }
        Output::Stop { session } => format!("{} is not read from", name(*session)),
        Output::Resume { session } => format!("{} is read from again", name(*session)),
        Output::StopAll => "nobody is read from".to_owned(),
        Output::ResumeAll => "all are read from again".to_owned(),
        Output::Dial { .. } => "the backend is dialled".to_owned(),
        Output::Ping { .. } => "backend: (Ping)".to_owned(),
        Output::Abort { .. } => "the connection to the backend is dropped".to_owned(),
        Output::CloseLink { .. } => "the link is closed: 1001".to_owned(),
        Output::Empty { unconfirmed_closes } => {
            format!("the drain is over; closes not confirmed: {unconfirmed_closes}")
        }
    };
    format!("→ {does}")
}

/// The answer to a handshake: status and code.
pub fn refusal(reason: Refusal) -> String {
    let answer = Answer::from(reason);
    format!("{} {}", answer.status(), answer.code())
}

/// A fact. `name` is that of a session's client.
pub fn fact(fact: &Fact<'_>, mut name: impl FnMut(SessionId) -> String) -> String {
    match *fact {
        Fact::Link { phase } => format!("the link is {}", link_phase(phase)),
        Fact::Ended { session, cause, .. } => format!("{}'s session is over: {}", name(session), end(cause)),
        Fact::ActionIgnored { fault, .. } => format!("ignored: {}", action_fault(fault)),
        Fact::StatusReplaced { .. } => "its status may not be sent".to_owned(),
        Fact::MessagesDropped { session, messages, cause } => {
            format!("messages of {} that are lost: {messages}, {}", name(session), drop_cause(cause))
        }
        Fact::QueueDropped { session, bytes } => {
            format!("bytes queued for {} that are lost: {bytes}", name(session))
        }
        Fact::Unconfirmed { messages } => format!("messages that the link did not confirm: {messages}"),
        Fact::PongTimeout => "the Ping was not answered in time".to_owned(),
        Fact::LinkFull => "the link is full".to_owned(),
        Fact::LinkDrained => "the link is full no more".to_owned(),
        Fact::OutageSpread { sessions } => {
            format!("the backend is away, and no more clients are held; to be closed: {sessions}")
        }
        Fact::Stale => "it came too late, and changes nothing".to_owned(),
    }
}

fn link_phase(phase: LinkPhase) -> &'static str {
    match phase {
        LinkPhase::Down => "down",
        LinkPhase::Settling => "settling",
        LinkPhase::Announcing => "announcing",
        LinkPhase::Up => "up",
    }
}

fn end(cause: EndCause) -> String {
    match cause {
        EndCause::Left(cause) => left(cause),
        EndCause::Backend => "the backend ended it".to_owned(),
        EndCause::TakenOver => "taken over".to_owned(),
        EndCause::TooSlow => "its client is too slow".to_owned(),
        EndCause::Expired => "its token expired".to_owned(),
        EndCause::Outage => "the backend is away".to_owned(),
        EndCause::Drained => "the gateway stops".to_owned(),
        EndCause::Kicked => "an operator closed it".to_owned(),
    }
}

fn left(cause: LeaveCause) -> String {
    match cause {
        LeaveCause::Closed => "its client left".to_owned(),
        LeaveCause::Lost => "its client was lost".to_owned(),
        LeaveCause::TimedOut => "its client was silent".to_owned(),
        LeaveCause::Misbehaved(code) => format!("its client broke a rule, {}", code.get()),
    }
}

fn drop_cause(cause: DropCause) -> &'static str {
    match cause {
        DropCause::Parked => "parked when its session ended",
        DropCause::Unconfirmed => "not confirmed, and its session ended",
        DropCause::AfterEnd => "after its session ended",
    }
}

fn action_fault(fault: ActionFault) -> String {
    match fault {
        ActionFault::NoSession => "no_session".to_owned(),
        ActionFault::NotAnnounced => "not_announced".to_owned(),
        ActionFault::Bad(fault) => bad_action(fault),
    }
}

fn bad_action(fault: BadAction) -> String {
    match fault {
        BadAction::NotUtf8 => "not UTF-8".to_owned(),
        BadAction::NotJson => "not JSON".to_owned(),
        BadAction::TooDeep => "nested too deep".to_owned(),
        BadAction::NotObject => "not an object".to_owned(),
        BadAction::Missing(missing) => format!("no {}", field(missing)),
        BadAction::WrongType(wrong) => format!("{} of the wrong type", field(wrong)),
        BadAction::UnknownAction => "no such action".to_owned(),
        BadAction::NotBase64 => "not base64".to_owned(),
    }
}

fn field(field: Field) -> &'static str {
    match field {
        Field::Action => "action",
        Field::User => "user",
        Field::Username => "username",
        Field::Data => "data",
        Field::Status => "status",
        Field::Reason => "reason",
    }
}

/// A line that names the settings that are not the default, with their values; none where all are.
pub fn changed_settings(settings: &Settings) -> String {
    let changed = changed(settings);
    if changed.is_empty() { String::new() } else { format!("with      {}\n", changed.join(", ")) }
}

fn otherwise(settings: &Settings) -> String {
    let changed = changed(settings);
    if changed.is_empty() { "the defaults".to_owned() } else { changed.join(", ") }
}

/// The settings that are not the default.
fn changed(settings: &Settings) -> Vec<String> {
    let default = named(&Settings::default());
    let changed = named(settings).into_iter().zip(default).filter(|(set, default)| set != default);
    changed.map(|((name, value), _)| format!("{name} = {value}")).collect()
}

/// The settings, by their names in docs/configuration.md.
fn named(settings: &Settings) -> Vec<(&'static str, String)> {
    let Settings { link, outage, drain, .. } = settings;
    let ms = |Millis(span): Millis| format!("{span} ms");
    let bytes = |bytes: usize| format!("{bytes} bytes");
    let on_duplicate = match settings.duplicates {
        Duplicates::TakeOver => "take_over",
        Duplicates::Reject => "reject",
    };
    let on_expiry = match settings.expiry {
        Expiry::Close => "close",
        Expiry::Ignore => "ignore",
    };
    let redeliver = match settings.redeliver {
        Redeliver::Never => "never",
        Redeliver::Unconfirmed => "unconfirmed",
    };
    let policy = match outage.policy {
        OutagePolicy::Hold => "hold",
        OutagePolicy::Close => "close",
    };
    vec![
        ("sessions_max", settings.sessions_max.to_string()),
        ("on_duplicate", on_duplicate.to_owned()),
        ("reopen_gap", ms(settings.reopen_gap)),
        ("crossing_window", ms(settings.crossing_window)),
        ("on_expiry", on_expiry.to_owned()),
        ("redeliver", redeliver.to_owned()),
        ("parked.bytes_max", bytes(settings.parked_bytes_max)),
        ("parked.total_bytes_max", bytes(settings.parked_bytes_total_max)),
        ("client_queue.bytes_max", bytes(settings.client_queue_bytes_max)),
        ("client_queue.total_bytes_max", bytes(settings.client_queue_bytes_total_max)),
        ("link.redial_min", ms(link.redial_min)),
        ("link.backoff_first", ms(link.backoff_first)),
        ("link.backoff_max", ms(link.backoff_max)),
        ("link.queue_high", bytes(link.high_bytes)),
        ("link.queue_low", bytes(link.low_bytes)),
        ("link.client_share", bytes(link.share_bytes)),
        ("link.confirm_delay", ms(link.confirm_delay)),
        ("link.ping_interval", ms(link.ping_interval)),
        ("link.pong_timeout", ms(link.pong_timeout)),
        ("outage.policy", policy.to_owned()),
        ("outage.grace", ms(outage.grace)),
        ("outage.spread", ms(outage.spread)),
        ("drain.time", ms(drain.time)),
        ("drain.confirm_timeout", ms(drain.confirm_timeout)),
    ]
}
