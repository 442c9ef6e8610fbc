//! An echoing backend that keeps its users across links, and holds each event against the laws as it comes.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

/// What is kept of what broke a law; the rest is counted by its absence from nothing.
const BROKEN_MAX: usize = 100;

/// The backend. Its links can be cut.
pub(super) struct Backend {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    cuts: watch::Sender<u64>,
}

/// What it has seen so far.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) opens: u64,
    pub(super) messages: u64,
    pub(super) closes: u64,
    pub(super) links: u64,
    pub(super) broken: Vec<String>,
    /// Users that are there, each with the link that said so last.
    users: HashMap<String, u64>,
}

#[derive(Deserialize)]
struct Event {
    event: String,
    user: User,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

impl Backend {
    pub(super) async fn start() -> std::io::Result<Backend> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (cuts, cut) = watch::channel(0);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared), cut.clone()));
            }
        });
        Ok(Backend { address, seen, cuts })
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Cuts all links, with no word.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Seen {
    pub(super) fn live(&self) -> usize {
        self.users.len()
    }

    /// Takes an event of a link. Whether it is to be echoed.
    fn take(&mut self, link: u64, event: &Event) -> bool {
        let user = &event.user.username;
        let there = self.users.get(user).copied();
        let broken = match event.event.as_str() {
            "open" => {
                self.opens += 1;
                // A second `open` is for what an earlier link had announced.
                let again = there.is_some_and(|before| before >= link);
                self.users.insert(user.clone(), link);
                again.then_some("a second open")
            }
            "message" => {
                self.messages += 1;
                (there != Some(link)).then_some("a message of one who is not there")
            }
            "close" => {
                self.closes += 1;
                self.users.remove(user);
                None
            }
            _ => Some("an event that there is not"),
        };
        if let Some(what) = broken
            && self.broken.len() < BROKEN_MAX
        {
            self.broken.push(format!("link {link}: {what}: {} of {user}", event.event));
        }
        event.event == "message"
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(stream: TcpStream, seen: Arc<Mutex<Seen>>, mut cut: watch::Receiver<u64>) {
    cut.mark_unchanged();
    let Ok(mut socket) = accept_async(stream).await else { return };
    let link = {
        let mut seen = lock(&seen);
        seen.links += 1;
        seen.links
    };
    loop {
        let message = tokio::select! {
            _ = cut.changed() => {
                let _ = socket.get_ref().set_zero_linger();
                return;
            }
            message = socket.next() => message,
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                let Ok(event) = serde_json::from_str::<Event>(&text) else {
                    lock(&seen).broken.push(format!("link {link}: no event: {text:.100}"));
                    continue;
                };
                if lock(&seen).take(link, &event) {
                    let user = json!({ "username": event.user.username });
                    let action = json!({ "action": "send", "user": user, "data": event.data });
                    // A link that has broken is noticed when it is read.
                    let _ = socket.send(Message::text(action.to_string())).await;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
}
