//! What recordings say of inputs: what happened to whom, and nothing of what was said.

use trunkline_core::{
    CloseCode, Event, Identity, Input, LeaveCause, LinkId, Output, SessionId, Settings, Time,
    language::{Action, BadAction, Data, Status},
    recording::{Weight, words},
};

const SESSION: SessionId = SessionId { slot: 0, generation: 0 };
const LINK: LinkId = LinkId(1);

fn told(inputs: impl IntoIterator<Item = Input<'static, Weight>>) -> String {
    let told = inputs.into_iter().map(|input| words::input(&input, |_| "ann".to_owned()) + "\n");
    told.collect()
}

fn acts(action: Action<'static>) -> Input<'static, Weight> {
    Input::Action { link: LINK, action: Ok(action) }
}

fn closes(status: Option<Status>, reason: Option<&'static str>) -> Input<'static, Weight> {
    acts(Action::Close { user: Some("ann".into()), status, reason: reason.map(Into::into) })
}

#[test]
fn each_input_is_told_in_one_line_without_what_was_said() {
    let ann = || Identity::new("ann\n", [("lobby", "7")]);
    let left = |cause| Input::Left { session: SESSION, cause };
    insta::assert_snapshot!(told([
        Input::Ask { identity: ann(), expires: None },
        Input::Ask { identity: ann(), expires: Some(Time(1_000)) },
        Input::Message { session: SESSION, payload: Weight(7) },
        Input::ClientSent { session: SESSION, bytes: 9 },
        left(LeaveCause::Closed),
        left(LeaveCause::Lost),
        left(LeaveCause::TimedOut),
        left(LeaveCause::Misbehaved(CloseCode::POLICY)),
        Input::LinkUp { link: LINK },
        Input::LinkSent { link: LINK, bytes: 12 },
        Input::Pong { link: LINK, counter: 3 },
        Input::LinkDown { link: LINK },
        acts(Action::Send { user: Some("bob\n".into()), data: Data::Text("a secret".into()) }),
        acts(Action::Send { user: None, data: Data::Binary(b"a secret"[..].into()) }),
        closes(None, None),
        closes(Some(Status::Code(CloseCode::POLICY)), Some("bye\n")),
        closes(Some(Status::Unsendable), None),
        Input::Action { link: LINK, action: Err(BadAction::NotJson) },
        Input::Deadline,
        Input::WallClockStepped { forward: 0 },
        Input::WallClockStepped { forward: 5 },
        Input::WallClockStepped { forward: -5 },
        Input::Kick { session: SESSION },
        Input::Settings(Box::default()),
        Input::Settings(Box::new(Settings { sessions_max: 7, ..Settings::default() })),
        Input::Redial,
        Input::Drain,
    ]), @r"
    ann\n comes
    ann\n comes with a token until 1000 ms
    ann sends a message: 7 bytes
    ann takes 9 bytes
    ann: its client left
    ann: its client was lost
    ann: its client was silent
    ann: its client broke a rule, 1008
    the link comes up
    the link takes 12 bytes
    backend: (Pong 3)
    the link breaks
    backend: send to bob\n
    backend: send to (nobody)
    backend: close ann
    backend: close ann with 1008: bye\n
    backend: close ann with a status that may not be sent
    backend: no action, not JSON
    time passes
    the wall clock is set forward by 0 ms
    the wall clock is set forward by 5 ms
    the wall clock is set back by 5 ms
    an operator closes ann
    an operator changes settings, to the defaults
    an operator changes settings, to sessions_max = 7
    an operator moves the backend
    the gateway is told to stop
    ");
}

#[test]
fn of_data_its_kind_and_length_are_written_down_and_nothing_else() {
    let written = |data: Data<'static>| {
        let text = serde_json::to_string(&data).expect("it can be written");
        let read: Data<'_> = serde_json::from_str(&text).expect("it can be read");
        (text, read)
    };
    let text = written(Data::Text("a secret".into()));
    assert_eq!(text, (r#"{"text":8}"#.to_owned(), Data::Text("".into())));
    let binary = written(Data::Binary(b"a secret"[..].into()));
    assert_eq!(binary, (r#"{"binary":8}"#.to_owned(), Data::Binary(b""[..].into())));
}

#[test]
fn what_goes_to_a_backend_is_told_without_what_was_said() {
    let (ann, payload) = (Identity::new("ann", []), Weight(5));
    let event = |event| Output::Event { link: LINK, session: SESSION, event };
    let told = [
        event(Event::Open { who: &ann }),
        event(Event::Message { who: &ann, payload: &payload }),
        event(Event::Close { who: &ann }),
        Output::Ping { link: LINK, counter: 1 },
    ]
    .map(|output| words::output(&output, "somebody", |_| "ann".to_owned()));
    insta::assert_snapshot!(told.join("\n"), @r"
    → backend: open of ann
    → backend: message of ann, 5 bytes
    → backend: close of ann
    → backend: (Ping)
    ");
}
