//! The demo: a chat on loopback, with nothing to set up.
//!
//! Its backend is a program of its own in all but name: it listens on a port, speaks the language over a real link and
//! uses another WebSocket implementation than the gateway. `docs/backends.md` shows the like of it in other languages.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    path::Path,
    sync::{Arc, OnceLock},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    accept_async,
    tungstenite::{self, Message},
};

use crate::{
    clock::unix_seconds,
    config::{Config, Problems, Trial},
    random::Random,
    token::{self, Algorithm, NewToken},
};

/// The port that the demo listens on, if it is free.
const PORT: u16 = 8080;
/// Who is ready to try it, and where they meet.
const USERS: [&str; 2] = ["ann", "bob"];
const LOBBY: &str = "/lobby/1";
/// How long the demo's tokens are valid, in seconds.
const TOKEN_SECONDS: u64 = 24 * 60 * 60;

/// A demo, ready to run.
#[derive(Debug)]
pub struct Demo {
    secret: [u8; 32],
    backend: TcpListener,
    /// What the page for trying it is given, once the gateway listens.
    trial: Arc<OnceLock<Trial>>,
}

impl Demo {
    /// Takes a free port for the backend, and makes a secret that nobody knows.
    ///
    /// # Errors
    ///
    /// There is no free port on loopback.
    pub async fn prepare() -> io::Result<Demo> {
        let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Demo { secret: Random::new().bytes(), backend, trial: Arc::default() })
    }

    /// The configuration of a gateway with a chat.
    ///
    /// # Errors
    ///
    /// None that a user could mend: the text below is not what the configuration takes.
    pub fn config(&self) -> Result<Config, Problems> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let port = self.backend.local_addr().map_or(0, |address| address.port());
        let secret = STANDARD.encode(self.secret);
        let text = format!(
            r#"
            listen.address = "{listen}"
            drain.time = "1s"
            admin.address = "127.0.0.1:0"
            laws.endpoints = "all"
            [log]
            level = "warn"
            [endpoints.chat]
            path = "/lobby/{{lobby_id}}"
            backend = "ws://127.0.0.1:{port}/"
            [endpoints.chat.token]
            algorithms = ["HS256"]
            secret_base64 = "{secret}"
            sources = ["header", "query:token"]
            "#
        );
        let mut config = Config::parse(&text, Path::new("."), |_| None)?;
        if let Some(admin) = &mut config.admin {
            admin.trial = Some(Arc::clone(&self.trial));
        }
        Ok(config)
    }

    /// The gateway listens there: from now on it can be tried with a browser. Returns what to show to whoever has started it.
    pub fn greet(&self, address: SocketAddr, admin: Option<SocketAddr>, program: &str) -> String {
        let (origin, path) = (format!("ws://{address}"), LOBBY.to_owned());
        let url = format!("{origin}{path}");
        let tokens =
            USERS.iter().filter_map(|user| Some(((*user).to_owned(), (*self.token(user).ok()?).to_owned())));
        // Nobody has set it before.
        let _ = self.trial.set(Trial { origin, path, clients: tokens.collect() });
        let line = |user: &str| match self.token(user) {
            Ok(token) => format!("  {program} connect {url} --token {}\n", &*token),
            Err(fault) => format!("  (no token for {user}: {fault})\n"),
        };
        let moved = if address.port() == PORT { "" } else { " (port 8080 is in use)" };
        format!(
            "Trunkline demo: a chat at {url}{moved}, its backend behind one link.\n\n\
             Two users are ready. Copy each line into a terminal of its own, and type:\n\n\
             {ann}\n{bob}\n{browser}\
             Health: http://{address}/readyz{admin}. Ctrl-C drains and stops.\n\
             For a gateway of your own: {program} run --config FILE (docs/configuration.md).\n",
            ann = line(USERS[0]),
            bob = line(USERS[1]),
            browser = admin.map_or(String::new(), |admin| format!("Or in a browser: http://{admin}/try\n\n")),
            admin = admin.map_or(String::new(), |admin| {
                format!("; for operators: http://{admin}/, http://{admin}/metrics")
            }),
        )
    }

    fn token(&self, user: &str) -> Result<token::Token<'static>, token::MakeFault> {
        let new = NewToken::of(user, unix_seconds(), TOKEN_SECONDS);
        token::make(&self.secret, Algorithm::HS256, &new)
    }

    /// Runs the chat's backend for as long as the gateway runs.
    pub async fn serve(self) {
        while let Ok((stream, _)) = self.backend.accept().await {
            tokio::task::spawn_local(async move {
                // The link will be made again.
                let _ = chat(stream).await;
            });
        }
    }
}

fn free_port() -> u16 {
    if StdListener::bind((Ipv4Addr::LOCALHOST, PORT)).is_ok() { PORT } else { 0 }
}

/// What the gateway says (docs/language.md, "Events").
#[derive(Deserialize)]
struct Event {
    event: String,
    user: User,
    params: Params,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Params {
    lobby_id: String,
}

/// A chat over one link: whatever one says, all in the same lobby hear.
async fn chat(stream: TcpStream) -> Result<(), tungstenite::Error> {
    use futures_util::{SinkExt, StreamExt};

    let mut link = accept_async(stream).await?;
    let mut lobbies: BTreeMap<String, String> = BTreeMap::new();
    while let Some(frame) = link.next().await {
        let Message::Text(text) = frame? else { continue };
        let Ok(Event { event, user, params, data }) = serde_json::from_str(&text) else { continue };
        let User { username: user } = user;
        let Params { lobby_id: lobby } = params;
        let line = match event.as_str() {
            "open" => {
                lobbies.insert(user.clone(), lobby.clone());
                format!("* {user} has joined")
            }
            "close" => {
                lobbies.remove(&user);
                format!("* {user} has left")
            }
            _ => format!("{user}: {data}"),
        };
        for (member, _) in lobbies.iter().filter(|(_, in_lobby)| **in_lobby == lobby) {
            let action = json!({ "action": "send", "user": { "username": member }, "data": line });
            link.feed(Message::text(action.to_string())).await?;
        }
        link.flush().await?;
    }
    Ok(())
}
