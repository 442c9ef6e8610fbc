//! What an endpoint is told from outside its thread, and the task that does it.

use std::{net::IpAddr, rc::Rc};

use tokio::sync::{mpsc, oneshot, watch};
use trunkline_core::{Identity, Input, LeaveCause, Refusal, SessionId, Time};

use super::{Hub, Question, Status};
use crate::{config::EndpointConfig, server::Place, spans::Parent, stream::Stream, transport::Transport};

/// Commands in a row before others get their turn.
const COMMANDS_PER_TURN: usize = 64;

/// What an endpoint is told from outside its thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// A client with a verified token asks to come in.
    Ask {
        /// Its user and parameters.
        identity: Identity,
        /// When its token expires, in Unix seconds, the leeway included.
        expires: Option<u64>,
        /// Where the answer goes.
        answer: oneshot::Sender<Result<SessionId, Refusal>>,
    },
    /// The connection of an admitted client.
    Attach {
        /// Which client.
        session: SessionId,
        /// Its connection, detached.
        transport: Transport,
        /// What was read beyond the handshake.
        early: Vec<u8>,
        /// Its place among the gateway's connections.
        place: Place,
        /// Its address.
        client: IpAddr,
        /// What the spans of its session have for their parent, where there are any.
        trace: Option<Parent>,
    },
    /// An admitted client did not stay for the handshake's end.
    Abandon {
        /// Which client.
        session: SessionId,
    },
    /// An operator asks something, or wants sessions closed.
    Inspect(Question),
    /// An operator has decided otherwise.
    Change {
        /// What holds from now on.
        config: Box<EndpointConfig>,
        /// Whether the backend is elsewhere, or met otherwise.
        moved: bool,
        /// Told when it holds.
        done: oneshot::Sender<()>,
    },
    /// The gateway stops, or has no such endpoint any more.
    Drain,
}

/// Does what the endpoint is told until nobody is left who could tell it anything, and then drains it.
pub(super) async fn obey(hub: Rc<Hub>, mut commands: mpsc::Receiver<Command>, status: watch::Sender<Status>) {
    let mut some = Vec::new();
    loop {
        let is_over = commands.recv_many(&mut some, COMMANDS_PER_TURN).await == 0;
        let now = hub.begin_turn();
        some.extend(is_over.then_some(Command::Drain));
        some.drain(..).for_each(|command| hub.obey(now, command));
        hub.end_turn(now);
        hub.publish(&status);
        if is_over {
            return;
        }
    }
}

impl Hub {
    fn obey(self: &Rc<Self>, now: Time, command: Command) {
        match command {
            Command::Ask { identity, expires, answer } => {
                // When its token expires depends on the wall clock as it stands now.
                self.look_at_wall_clock(now);
                let admitted = self.ask(now, identity, expires);
                if let (Err(_), Ok(session)) = (answer.send(admitted), admitted) {
                    self.client_left(session, LeaveCause::Lost);
                }
            }
            Command::Attach { session, transport, early, place, client: address, trace } => {
                match (self.client(session), transport.attach()) {
                    (Some(client), Ok(transport)) => {
                        let stream = Stream::new(transport);
                        // They are set here only.
                        let _ = client.address.set(address);
                        client.trace.set(trace);
                        self.check(&client, now);
                        self.client_tasks.set(self.client_tasks.get() + 1);
                        tokio::task::spawn_local(client.serve(Rc::clone(self), stream, early, place));
                    }
                    _ => self.client_left(session, LeaveCause::Lost),
                }
            }
            Command::Abandon { session } => self.client_left(session, LeaveCause::Lost),
            Command::Inspect(question) => self.inspect(now, question),
            Command::Change { config, moved, done } => {
                self.change(now, *config, moved);
                // Nobody may wait for it any more.
                let _ = done.send(());
            }
            Command::Drain => self.input(now, Input::Drain),
        }
    }
}
