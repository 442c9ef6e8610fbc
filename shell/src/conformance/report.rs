//! What has been found, for people and for programs.

use std::fmt;

use serde_json::{Value, json};
use trunkline_core::language::{BadAction, Field};

/// All that was looked at.
#[derive(Debug)]
pub struct Report {
    /// The backend, without its query.
    pub backend: String,
    /// What was looked at, in its order.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Check {
    /// What programs call it.
    pub name: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// What is wrong.
    pub found: Vec<Found>,
    /// What was seen besides, or why nothing can be said.
    pub notes: Vec<String>,
}

/// What came of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing is wrong.
    Passed,
    /// Something is wrong.
    Failed,
    /// There is no telling.
    NotJudged,
}

/// Something wrong, as often as it came.
#[derive(Debug)]
pub struct Found {
    /// What.
    pub fault: Fault,
    /// The frame that shows it, escaped and cut, where one does.
    pub frame: Option<String>,
    /// How often, in this check.
    pub times: u64,
}

/// What a backend does wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It does not let the gateway connect.
    Upgrade(String),
    /// It broke the link, or the protocol.
    LinkBroken(String),
    /// A Ping was not answered in time.
    PongMissing {
        /// Pongs that bore something else came meanwhile.
        others: bool,
    },
    /// It did not read what it was sent.
    NotRead,
    /// A frame that is no action.
    BadAction(BadAction),
    /// A `close` with a status that cannot be sent.
    Status,
    /// A `close` with a reason that must be cut.
    Reason,
    /// An action for a user whom it has not heard of.
    UnknownUser,
    /// An action for a user who left long ago.
    GoneUser,
    /// A user whose messages were answered is answered no more.
    UserLost,
    /// The closing of a link was not answered.
    CloseUnanswered,
}

impl Fault {
    /// What programs call it.
    pub const fn name(&self) -> &'static str {
        match self {
            Fault::Upgrade(_) => "upgrade",
            Fault::LinkBroken(_) => "link_broken",
            Fault::PongMissing { .. } => "pong_missing",
            Fault::NotRead => "not_read",
            Fault::BadAction(_) => "bad_action",
            Fault::Status => "status",
            Fault::Reason => "reason",
            Fault::UnknownUser => "unknown_user",
            Fault::GoneUser => "gone_user",
            Fault::UserLost => "user_lost",
            Fault::CloseUnanswered => "close_unanswered",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Upgrade(what) => write!(f, "no link: {what}"),
            Fault::LinkBroken(what) => write!(f, "the link broke: {what}"),
            Fault::PongMissing { others: false } => f.write_str("a Ping was not answered in time"),
            Fault::PongMissing { others: true } => {
                f.write_str("a Ping was not answered in time: the Pongs that came bear another payload")
            }
            Fault::NotRead => f.write_str("it does not read what it is sent: clients would wait"),
            Fault::BadAction(fault) => {
                write!(f, "an action that cannot be carried out: {}", describe(*fault))
            }
            Fault::Status => f.write_str(
                "a close with a status that cannot be sent: 1000-1003, 1007-1014 and 3000-4999 can",
            ),
            Fault::Reason => f.write_str("a close with a reason of more than 123 bytes: it is cut"),
            Fault::UnknownUser => f.write_str(
                "an action for a user whose open it has not heard: names are compared byte for byte",
            ),
            Fault::GoneUser => {
                f.write_str("an action for a user whose close it heard more than a second ago")
            }
            Fault::UserLost => f.write_str(
                "a user whose messages it answered before is answered no more: it has forgotten who is there",
            ),
            Fault::CloseUnanswered => f.write_str("it did not answer the gateway's Close frame with its own"),
        }
    }
}

fn describe(fault: BadAction) -> String {
    let field = |field| match field {
        Field::Action => "action",
        Field::User => "user",
        Field::Username => "user.username",
        Field::Data => "data",
        Field::Status => "status",
        Field::Reason => "reason",
    };
    match fault {
        BadAction::NotUtf8 => "it is not UTF-8".to_owned(),
        BadAction::NotJson => "it is not JSON".to_owned(),
        BadAction::TooDeep => "it nests deeper than 127 levels".to_owned(),
        BadAction::NotObject => "it is no object".to_owned(),
        BadAction::Missing(missing) => format!("{} is missing", field(missing)),
        BadAction::WrongType(wrong) => format!("{} is of the wrong type", field(wrong)),
        BadAction::UnknownAction => "there are only send and close".to_owned(),
        BadAction::NotBase64 => "data is not base64 (standard alphabet, padded)".to_owned(),
    }
}

impl Check {
    pub(super) fn not_judged(name: &'static str, why: &str) -> Check {
        Check { name, verdict: Verdict::NotJudged, found: Vec::new(), notes: vec![why.to_owned()] }
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn passed(&self) -> bool {
        self.count(Verdict::Failed) == 0
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let found = |found: &Found| {
            let (fault, what) = (found.fault.name(), found.fault.to_string());
            json!({ "fault": fault, "what": what, "frame": found.frame, "times": found.times })
        };
        let checks = self.checks.iter().map(|check| {
            let faults: Vec<_> = check.found.iter().map(found).collect();
            json!({ "name": check.name, "verdict": check.verdict.name(), "faults": faults, "notes": check.notes })
        });
        json!({ "backend": self.backend, "passed": self.passed(), "checks": checks.collect::<Vec<_>>() })
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.checks.iter().filter(|check| check.verdict == verdict).count()
    }
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::NotJudged => "not_judged",
        }
    }
}

/// For people: a line for each check, and more where there is more to say.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let verdict = match check.verdict {
                Verdict::Passed => "ok",
                Verdict::Failed => "WRONG",
                Verdict::NotJudged => "?",
            };
            writeln!(f, "{verdict:<6}{}", check.name)?;
            for Found { fault, frame, times } in &check.found {
                let often = if *times > 1 { format!(" ({times} times)") } else { String::new() };
                writeln!(f, "      - {fault}{often}")?;
                if let Some(frame) = frame {
                    writeln!(f, "        {frame}")?;
                }
            }
            for note in &check.notes {
                writeln!(f, "      {note}")?;
            }
        }
        let [passed, failed, open] =
            [Verdict::Passed, Verdict::Failed, Verdict::NotJudged].map(|v| self.count(v));
        write!(f, "{}: {passed} in order, {failed} wrong, {open} not judged", self.backend)
    }
}
