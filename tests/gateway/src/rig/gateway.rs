//! The gateway under test.

use std::{
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, oneshot},
    time::sleep,
};
use trunkline::{
    gateway::{Gateway as Program, Listening},
    reload::Source,
};

use super::{Answer, Handshake, Operator, Raw, Setup, within};

/// Between two looks at what nobody tells.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Gateways that this process has started.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// A gateway that runs on threads of its own. Once it is dropped it drains, and nobody waits for that.
#[derive(Debug)]
pub struct Gateway {
    listening: Listening,
    stop: Option<oneshot::Sender<()>>,
    recordings: mpsc::Sender<()>,
    /// Where it reads its configuration again, and what tells it to.
    file: PathBuf,
    hangups: mpsc::Sender<()>,
    ended: oneshot::Receiver<io::Result<()>>,
}

impl Gateway {
    /// Starts one, and waits until it listens.
    ///
    /// # Panics
    ///
    /// It does not start.
    pub async fn start(setup: &Setup) -> Gateway {
        super::laws::insist();
        let (recordings, wanted) = mpsc::channel(1);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let file = env::temp_dir().join(format!("trunkline-gateway-{}-{number}.toml", process::id()));
        let (hangups, hung_up) = mpsc::channel(1);
        let source = Source { file: file.clone(), wanted: hung_up, begins: || {}, ends: || {} };
        let program = Program::new(setup.config()).recorded_when(wanted).reloaded_from(source);
        let (ready, listening) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            let runtime = runtime.expect("the system has descriptors for a runtime");
            let run = program.run(|listening| ready.send(listening).expect("the test waits for it"), async {
                // Dropped or told: both mean that it is to stop.
                let _ = stopped.await;
            });
            let result = runtime.block_on(run);
            // Not every test waits for the end.
            let _ = end.send(result);
        });
        let listening = within("the gateway listens", listening).await.expect("the gateway listens");
        Gateway { listening, stop: Some(stop), recordings, file, hangups, ended }
    }

    /// Where it listens for clients.
    pub fn address(&self) -> SocketAddr {
        self.listening.clients[0]
    }

    /// Where it answers questions about health.
    pub fn health_address(&self) -> SocketAddr {
        self.listening.health.unwrap_or(self.address())
    }

    /// Where it listens for operators.
    ///
    /// # Panics
    ///
    /// It does not.
    pub fn admin_address(&self) -> SocketAddr {
        self.listening.admin.expect("there is an admin listener")
    }

    /// Who asks where it listens for operators.
    pub fn operator(&self) -> Operator {
        Operator::at(self.admin_address())
    }

    /// Tells it to stop.
    pub fn drain(&mut self) {
        drop(self.stop.take());
    }

    /// Where it reads its configuration again.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Puts something else into the file that it reads again, whole at any moment.
    ///
    /// # Panics
    ///
    /// There is no room for a small file.
    pub fn configure(&self, text: &str) {
        let part = self.file.with_extension("part");
        fs::write(&part, text).expect("a small file can be written");
        fs::rename(&part, &self.file).expect("it can be put in its place");
    }

    /// Tells it as SIGHUP does to read its configuration again.
    ///
    /// # Panics
    ///
    /// It has ended.
    pub async fn hang_up(&self) {
        self.hangups.send(()).await.expect("the gateway runs");
    }

    /// Has it read this configuration, which is right, and returns what has changed.
    ///
    /// # Panics
    ///
    /// It is not reloaded.
    pub async fn reload(&self, setup: &Setup) -> Value {
        self.configure(&setup.text());
        let answer = self.operator().act("POST", "/api/v1/reload", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Has it write down what has happened lately, into this folder of its configuration. Returns the recording of the
    /// endpoint `lobby`, and removes it.
    ///
    /// # Panics
    ///
    /// It has ended, or the folder is not what it should be.
    pub async fn record(&self, folder: &Path) -> String {
        self.recordings.send(()).await.expect("the gateway runs");
        let written = async {
            loop {
                let files = fs::read_dir(folder).expect("the folder is there");
                let mut files = files.map(|file| file.expect("the folder can be read").path());
                if let Some(file) = files.find(|file| file.extension().is_some_and(|e| e == "jsonl")) {
                    let text = fs::read_to_string(&file).expect("a recording is text");
                    fs::remove_file(&file).expect("it can be removed");
                    return text;
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        within("a recording is written", written).await
    }

    /// Waits until it has stopped.
    ///
    /// # Panics
    ///
    /// It ended with an error, or panicked.
    pub async fn stopped(&mut self) {
        let result = within("the gateway stops", &mut self.ended).await;
        result.expect("the gateway does not panic").expect("the gateway ends well");
    }

    /// What it answers to `GET path` where it is asked about health.
    pub async fn ask(&self, path: &str) -> Answer {
        Handshake::get(path).ask(self.health_address()).await.1
    }

    /// Waits until the link of the endpoint `lobby` is in this phase.
    pub async fn link_is(&self, phase: &str) {
        self.is(phase, |ready| ready["endpoints"]["lobby"]["link"] == phase).await;
    }

    /// Waits until the endpoint `lobby` lets clients in, or does not.
    pub async fn accepts(&self, accepting: bool) {
        self.is("accepting", |ready| ready["endpoints"]["lobby"]["accepting"] == accepting).await;
    }

    /// Waits until it says that it drains.
    pub async fn drains(&self) {
        self.is("draining", |ready| ready["draining"] == true).await;
    }

    /// Waits until what `/readyz` says is as wished.
    async fn is(&self, what: &str, is: impl Fn(&Value) -> bool) {
        let mut raw = Raw::connect(self.health_address()).await;
        let request = Handshake::get("/readyz").text();
        let asked = async {
            while !is(&raw.request(request.as_bytes()).await.json()) {
                sleep(LOOK_AGAIN).await;
            }
        };
        within(&format!("readyz says: {what}"), asked).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may never have been written.
        let _ = fs::remove_file(&self.file);
    }
}
