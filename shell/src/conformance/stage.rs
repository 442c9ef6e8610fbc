//! The gateway as it is played: one link at a time, over which events go out and actions come in.

use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tokio::time::{sleep, timeout};
use trunkline_core::{
    CloseCode, Identity,
    language::{Data, encode_close, encode_message, encode_open},
};

use super::{
    Plan,
    report::{Check, Fault, Verdict},
    watch::{State, Watch},
};
use crate::{
    config::LinkConfig,
    endpoint::link::{Break, Connection, reach},
    random::Random,
    ws::{Item, Opcode, frame},
};

/// What a gateway lets pass between the end of a link and the next dial.
const REDIAL: Duration = Duration::from_millis(250);
/// How large an action may be: `link.message_bytes_max` unless configured.
const ACTION_BYTES_MAX: usize = 4 << 20;
/// How long a backend is given to say something that it need not say.
const MOMENT: Duration = Duration::from_secs(1);

/// What a backend's application lags behind its library, more often than not: what it does of an event after that shows
/// in the next check.
const LAG: Duration = Duration::from_millis(250);

/// There is no link any more. What has ended it has been noted.
#[derive(Debug)]
pub(super) struct Broken;

pub(super) struct Stage<'p> {
    pub(super) plan: &'p Plan,
    pub(super) watch: Watch,
    wire: Option<Wire>,
    random: Random,
    pings: u64,
    /// Whether anything has been said in the check in hand.
    said: bool,
    /// Whether the backend answers what a user says: `None` as long as that is not known.
    pub(super) answers: Option<bool>,
    /// Whether it has lost a user.
    lost: bool,
    /// Why the check in hand says nothing of what it was to look at.
    unjudged: Option<String>,
}

struct Wire {
    connection: Connection,
    /// What has not been written yet.
    out: Vec<u8>,
}

impl<'p> Stage<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        Stage {
            plan,
            watch: Watch::new(plan.binary),
            wire: None,
            random: Random::new(),
            pings: 0,
            said: false,
            answers: None,
            lost: false,
            unjudged: None,
        }
    }

    // --- The link ---

    /// Sees to it that there is a link.
    pub(super) async fn link_up(&mut self) -> Result<(), Broken> {
        if self.wire.is_some() {
            return Ok(());
        }
        let key = STANDARD.encode(self.random.bytes::<16>());
        let link = LinkConfig { connect_timeout: self.plan.patience, message_bytes_max: ACTION_BYTES_MAX };
        match reach(&self.plan.backend, self.plan.tls.clone(), &key, &link).await {
            Ok(connection) => {
                self.wire = Some(Wire { connection, out: Vec::new() });
                Ok(())
            }
            Err(fault) => {
                self.watch.fault(Fault::Upgrade(fault.to_string()), None);
                Err(Broken)
            }
        }
    }

    /// Cuts the link in the middle of a frame, and makes another.
    pub(super) async fn break_link(&mut self) -> Result<(), Broken> {
        if let Some(wire) = &mut self.wire {
            let mask = self.random.mask();
            let whole = wire.out.len();
            frame::write_masked(Opcode::Text, mask, 0, &mut wire.out, |out| {
                out.extend_from_slice(b"{\"event\":")
            });
            wire.out.truncate(whole + 6);
            // What the backend does with it is not asked, but it is to be on its way.
            let _ = timeout(self.plan.patience, poll_fn(|cx| wire.poll_write(cx))).await;
        }
        self.wire = None;
        sleep(REDIAL).await;
        self.link_up().await
    }

    /// Closes the link as a gateway that stops does.
    pub(super) async fn close_link(&mut self) {
        let payload = frame::close_payload(CloseCode::GOING_AWAY, "");
        self.queue(Opcode::Close, &payload);
        if !matches!(self.turns(|_| false, self.plan.patience).await, Err(Break::Closed(_))) {
            self.watch.fault(Fault::CloseUnanswered, None);
        }
        self.wire = None;
    }

    // --- Events ---

    pub(super) async fn open(&mut self, user: &str) -> Result<(), Broken> {
        let mut event = Vec::new();
        encode_open(&self.identity(user), &mut event);
        self.watch.set(user, State::Open);
        self.say(&event).await
    }

    /// Says nothing for a user whom the backend has ended.
    pub(super) async fn message(&mut self, user: &str, data: &Data<'_>) -> Result<(), Broken> {
        if self.watch.state_of(user) != Some(State::Open) {
            return Ok(());
        }
        let mut event = Vec::new();
        encode_message(&self.identity(user), data, &mut event);
        self.say(&event).await
    }

    pub(super) async fn text(&mut self, user: &str, text: &str) -> Result<(), Broken> {
        self.message(user, &Data::Text(text.into())).await
    }

    /// Says nothing for a user whom the backend has ended.
    pub(super) async fn close(&mut self, user: &str) -> Result<(), Broken> {
        if self.watch.state_of(user) != Some(State::Open) {
            return Ok(());
        }
        self.watch.set(user, State::Left);
        self.close_of(user).await
    }

    /// A `close`, whether or not the backend knows of the user.
    pub(super) async fn close_of(&mut self, user: &str) -> Result<(), Broken> {
        let mut event = Vec::new();
        encode_close(&self.identity(user), &mut event);
        self.say(&event).await
    }

    /// Any event.
    pub(super) async fn say(&mut self, event: &[u8]) -> Result<(), Broken> {
        self.said = true;
        self.queue(Opcode::Text, event);
        if self.wait(|_| true, self.plan.patience).await? {
            return Ok(());
        }
        self.watch.fault(Fault::NotRead, None);
        self.wire = None;
        Err(Broken)
    }

    /// Whom an event is about, with the parameters that were asked for.
    pub(super) fn identity(&self, user: &str) -> Identity {
        Identity::new(user, self.plan.params.iter().map(|(name, value)| (&**name, &**value)))
    }

    // --- Waiting ---

    /// Waits until the backend has received all that was sent.
    pub(super) async fn confirm(&mut self) -> Result<(), Broken> {
        self.pings += 1;
        self.watch.pinged(self.pings);
        self.queue(Opcode::Ping, &self.pings.to_be_bytes());
        if self.wait(|watch| !watch.awaits_pong(), self.plan.patience).await? {
            return Ok(());
        }
        self.watch.fault(Fault::PongMissing { others: self.watch.other_pongs() }, None);
        self.wire = None;
        Err(Broken)
    }

    /// Lets time pass.
    pub(super) async fn pause(&mut self, time: Duration) -> Result<(), Broken> {
        self.wait(|_| false, time).await.map(|_| ())
    }

    /// Lets a user say what is answered, if anything is. Whether it was; `None`: the backend has ended the session.
    pub(super) async fn ask(&mut self, user: &str) -> Result<Option<bool>, Broken> {
        let before = self.watch.sent_to(user);
        let say = &self.plan.say;
        self.text(user, say).await?;
        // One that has lost a user is not given long for the next.
        let patient = self.answers == Some(true) && !self.lost;
        let limit = if patient { self.plan.patience } else { MOMENT };
        let over = |watch: &Watch| watch.sent_to(user) > before || watch.state_of(user) != Some(State::Open);
        self.wait(over, limit).await?;
        let answered = self.watch.sent_to(user) > before;
        Ok((answered || self.watch.state_of(user) == Some(State::Open)).then_some(answered))
    }

    /// Lets a user say something. A backend that has answered that before must do so again.
    pub(super) async fn expect_answer(&mut self, user: &str) -> Result<(), Broken> {
        if self.answers != Some(true) {
            let say = &self.plan.say;
            return self.text(user, say).await;
        }
        match self.ask(user).await? {
            Some(true) => {}
            Some(false) => {
                self.lost = true;
                self.watch.fault(Fault::UserLost, None);
            }
            None => self.note_unjudged("it ended a session that was to be gone on with"),
        }
        Ok(())
    }

    /// Waits until it is `done` and all that was queued has gone; false: not within the limit.
    async fn wait(&mut self, done: impl Fn(&Watch) -> bool, limit: Duration) -> Result<bool, Broken> {
        match self.turns(done, limit).await {
            Ok(done) => Ok(done),
            Err(why) => {
                self.watch.fault(Fault::LinkBroken(why.to_string()), None);
                self.wire = None;
                Err(Broken)
            }
        }
    }

    async fn turns(&mut self, done: impl Fn(&Watch) -> bool, limit: Duration) -> Result<bool, Break> {
        let Stage { wire, watch, random, .. } = self;
        let Some(wire) = wire else { return Err(Break::Ended) };
        let turn = poll_fn(|cx| {
            wire.poll_read(cx, watch, random)?;
            ready!(wire.poll_write(cx))?;
            if done(watch) { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        match timeout(limit, turn).await {
            Ok(turn) => turn.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    fn queue(&mut self, opcode: Opcode, payload: &[u8]) {
        let mask = self.random.mask();
        if let Some(wire) = &mut self.wire {
            frame::write_masked(opcode, mask, payload.len(), &mut wire.out, |out| {
                out.extend_from_slice(payload)
            });
        }
    }

    // --- The end of a check ---

    /// Says of the check in hand that it shows little of a backend that answers nothing.
    pub(super) fn needs_answers(&mut self) {
        if self.answers != Some(true) {
            self.note_unjudged(
                "the link held; whether it keeps its users cannot be seen, for it answers no messages",
            );
        }
    }

    /// Ends all sessions, and waits for what the backend makes of the check, if it was told anything.
    pub(super) async fn clear(&mut self) -> Result<(), Broken> {
        if self.wire.is_none() || !std::mem::take(&mut self.said) {
            return Ok(());
        }
        for user in self.watch.all_in(State::Open) {
            self.close(&user).await?;
        }
        self.confirm().await?;
        self.pause(LAG).await
    }

    /// Something of the check in hand cannot be judged, for this reason.
    pub(super) fn note_unjudged(&mut self, why: &str) {
        self.unjudged.get_or_insert_with(|| why.to_owned());
    }

    /// What has come of a check.
    pub(super) fn conclude(&mut self, name: &'static str) -> Check {
        // Sessions that a broken link leaves behind are not gone on with.
        if self.wire.is_none() {
            for user in self.watch.all_in(State::Open) {
                self.watch.set(&user, State::Left);
            }
        }
        let found = self.watch.take_found();
        let broke = found.iter().any(|found| matches!(found.fault, Fault::LinkBroken(_)));
        let mut notes = std::mem::take(&mut self.watch.notes);
        let unjudged = self.unjudged.take();
        let verdict = match (found.is_empty(), &unjudged) {
            (false, _) => Verdict::Failed,
            (true, Some(_)) => Verdict::NotJudged,
            (true, None) => Verdict::Passed,
        };
        if verdict == Verdict::NotJudged {
            notes.extend(unjudged);
        }
        if broke && self.plan.params.is_empty() {
            notes.push("if its endpoint's path has parameters, --param NAME=VALUE gives them".to_owned());
        }
        Check { name, verdict, found, notes }
    }
}

impl Wire {
    /// Takes all that has come.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        watch: &mut Watch,
        random: &mut Random,
    ) -> Result<(), Break> {
        loop {
            while let Some(item) = self.connection.next()? {
                match item {
                    Item::Text(text) => watch.action(text.as_bytes()),
                    Item::Binary(bytes) => watch.action(bytes),
                    Item::Pong(payload) => watch.pong(payload),
                    Item::Ping(payload) => {
                        let put = |out: &mut Vec<u8>| out.extend_from_slice(payload);
                        frame::write_masked(Opcode::Pong, random.mask(), payload.len(), &mut self.out, put);
                    }
                    Item::Close(code, _) => return Err(Break::Closed(code)),
                }
            }
            match self.connection.poll_read(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(read) => read?,
            }
        }
    }

    /// Writes all that is queued.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Break>> {
        let stream = &self.connection.stream;
        while !self.out.is_empty() {
            match ready!(stream.poll_write(cx, &self.out)) {
                Ok(bytes) => drop(self.out.drain(..bytes)),
                Err(error) => return Poll::Ready(Err(Break::Failed(error))),
            }
        }
        stream.poll_flush(cx).map_err(Break::Failed)
    }
}
