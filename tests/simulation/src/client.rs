//! A client: comes, talks, listens, leaves, and comes again as somebody else.

use std::{cell::Cell, rc::Rc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{Request, header::AUTHORIZATION},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::{
    net::{self, TcpStream},
    plan::{GATEWAY, LAST_WORD_MS, REST_MS, SECRET, USERS, words},
    record::{Conn, Leaving, Log, What, Who},
    token::{self, Algorithm, NewToken},
    world,
};

/// How long a client waits for an answer, to whatever.
const PATIENCE: Duration = Duration::from_secs(4);
/// The gateway pings a silent client more often than this.
const SILENCE_MAX: Duration = Duration::from_secs(8);

/// What all clients of a host know.
#[derive(Clone)]
pub(crate) struct Crowd {
    pub(crate) host: &'static str,
    pub(crate) log: Log,
    pub(crate) next: Rc<Cell<u32>>,
    /// When nobody new comes any more, but for whoever is not in then.
    pub(crate) heals_at: u64,
    /// The gateway has been told to stop.
    pub(crate) stopping: Rc<Cell<bool>>,
}

/// How a session ends for its client.
type Ended = What;

/// One client after the other, until the run is over.
pub(crate) async fn live(crowd: Crowd, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed ^ world::elapsed_millis());
    while world::elapsed_millis() < crowd.heals_at {
        sleep(Duration::from_millis(chance.random_range(0..1_500))).await;
        visit(&crowd, &mut chance).await;
    }
    // Some are to be there at the end, and to stay.
    sleep(Duration::from_millis(chance.random_range(0..3_000))).await;
    visit(&crowd, &mut chance).await;
    // One more comes when nobody is let in any more.
    while !crowd.stopping.get() {
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_millis(chance.random_range(0..2_000))).await;
    visit(&crowd, &mut chance).await;
}

async fn visit(crowd: &Crowd, chance: &mut StdRng) {
    let conn = Conn(crowd.next.get());
    crowd.next.set(conn.0 + 1);
    let who = somebody(crowd.host, chance);
    crowd.log.note(What::Asks(conn, who.clone()));
    // Some do not wait for their answer, but none that is to be there at the end.
    let is_hasty = world::elapsed_millis() < crowd.heals_at && chance.random_bool(0.1);
    let patience = if is_hasty { Duration::from_millis(chance.random_range(1..150)) } else { PATIENCE };
    match timeout(patience, come_in(&who)).await {
        Ok(Ok(socket)) => {
            crowd.log.note(What::Admitted(conn));
            let ended = Visit { crowd, conn, socket, said: 0, heard_at: Instant::now() }.stay(chance).await;
            crowd.log.note(ended);
        }
        Ok(Err(Error::Http(response))) => {
            crowd.log.note(What::Refused(conn, response.status().as_u16()));
        }
        Err(_) if is_hasty => crowd.log.note(What::DoesNotWait(conn)),
        Ok(Err(_)) | Err(_) => crowd.log.note(What::Unanswered(conn)),
    }
}

fn somebody(host: &'static str, chance: &mut StdRng) -> Who {
    let lifetime = *[3, 45, 3_600, 3_600].choose(chance).unwrap_or(&3_600);
    Who {
        host,
        user: (*USERS.choose(chance).unwrap_or(&USERS[0])).to_owned(),
        endpoint: chance.random_range(0..2),
        room: chance.random_range(0..3).to_string(),
        expires: (world::unix_millis() / 1000 + lifetime) * 1000,
    }
}

async fn come_in(who: &Who) -> Result<WebSocketStream<TcpStream>, Error> {
    let stream = net::connect(GATEWAY, 8080, PATIENCE).await?;
    let (socket, _) = client_async(request(who)?, stream).await?;
    Ok(socket)
}

fn request(who: &Who) -> Result<Request<()>, Error> {
    let claims = NewToken { expires: Some(who.expires / 1000), ..NewToken::of(&who.user, 0, 0) };
    let token = token::make(SECRET.as_bytes(), Algorithm::HS256, &claims).map(|token| token.to_string());
    let bearer = format!("Bearer {}", token.unwrap_or_default());
    let mut request = format!("ws://{GATEWAY}:8080/e{}/{}", who.endpoint, who.room).into_client_request()?;
    request.headers_mut().insert(AUTHORIZATION, bearer.try_into()?);
    Ok(request)
}

struct Visit<'a> {
    crowd: &'a Crowd,
    conn: Conn,
    socket: WebSocketStream<TcpStream>,
    said: u32,
    heard_at: Instant,
}

impl Visit<'_> {
    /// Stays until it is closed, or leaves.
    async fn stay(mut self, chance: &mut StdRng) -> Ended {
        let last_word_at = self.crowd.heals_at + REST_MS;
        loop {
            let now = world::elapsed_millis();
            let (ended, wait) = if now < self.crowd.heals_at {
                (self.act(chance).await, chance.random_range(10..700))
            } else if now < last_word_at {
                // It stays, and is silent; one last word is to show that it is heard.
                (None, last_word_at - now)
            } else if now < last_word_at + LAST_WORD_MS {
                (self.say().await, LAST_WORD_MS)
            } else {
                (None, 1_000)
            };
            if let Some(ended) = ended {
                return ended;
            }
            if let Some(ended) = self.listen(Duration::from_millis(wait)).await {
                return ended;
            }
        }
    }

    /// Does something.
    async fn act(&mut self, chance: &mut StdRng) -> Option<Ended> {
        match chance.random_range(0..100) {
            0..60 => self.say().await,
            60..65 => {
                // It does not read for a while.
                sleep(Duration::from_millis(chance.random_range(100..3_000))).await;
                self.heard_at = Instant::now();
                None
            }
            65..68 => {
                for _ in 0..20 {
                    if let Some(ended) = self.say().await {
                        return Some(ended);
                    }
                }
                None
            }
            68..71 => self.send(Message::Ping(vec![7; 20].into())).await,
            71 => {
                // No text.
                self.crowd.log.note(What::Misbehaves(self.conn, 1007));
                let ended = self.send(Message::binary(vec![0xff, 0xfe])).await;
                if ended.is_some() { ended } else { self.hear_the_end().await }
            }
            72 => {
                // A reserved bit, and no mask.
                self.crowd.log.note(What::Misbehaves(self.conn, 1002));
                let _ = timeout(PATIENCE, self.socket.get_mut().write_all(&[0xf1, 0x01, 0x00])).await;
                self.hear_the_end().await
            }
            73..77 => {
                let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                let ended = self.send(Message::Close(Some(frame))).await;
                ended.or_else(|| Some(self.left(Leaving::Closing)))
            }
            77..80 => Some(self.left(Leaving::Dropping)),
            _ => None,
        }
    }

    /// It has broken the protocol, and is told so, if it waits.
    async fn hear_the_end(&mut self) -> Option<Ended> {
        let ended = self.listen(PATIENCE).await;
        Some(ended.unwrap_or_else(|| self.left(Leaving::Misbehaving)))
    }

    fn left(&self, how: Leaving) -> Ended {
        What::Leaves(self.conn, how)
    }

    async fn say(&mut self) -> Option<Ended> {
        self.said += 1;
        self.crowd.log.note(What::Says(self.conn, self.said));
        self.send(Message::text(words(self.conn.0, self.said))).await
    }

    async fn send(&mut self, message: Message) -> Option<Ended> {
        match timeout(PATIENCE, self.socket.send(message)).await {
            // One that has been closed is told so when it reads.
            Ok(_) => None,
            Err(_) => Some(self.left(Leaving::GivingUp)),
        }
    }

    /// Reads for so long.
    async fn listen(&mut self, span: Duration) -> Option<Ended> {
        let until = Instant::now() + span;
        loop {
            let patience = self.heard_at + SILENCE_MAX;
            let read = tokio::select! {
                biased;
                read = self.socket.next() => read,
                () = sleep_until(until.min(patience)) => {
                    return (Instant::now() >= patience).then(|| self.left(Leaving::GivingUp));
                }
            };
            self.heard_at = Instant::now();
            match read {
                Some(Ok(Message::Text(text))) => {
                    self.crowd.log.note(What::Hears(self.conn, text.to_string()));
                }
                Some(Ok(Message::Close(frame))) => {
                    // The library has answered it; that has to go out.
                    let _ = timeout(PATIENCE, self.socket.flush()).await;
                    let (code, reason) = frame
                        .map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
                    return Some(What::Closed(self.conn, code, reason));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Some(What::Lost(self.conn)),
            }
        }
    }
}
