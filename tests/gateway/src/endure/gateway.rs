//! The gateway under test, as a process.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{net::TcpStream, time::sleep};

use super::backend::Backend;
use crate::rig::{Handshake, tokens::SECRET, within};

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Files that all gateways of a run share.
pub(super) struct Site {
    folder: PathBuf,
    pub(super) address: SocketAddr,
}

impl Site {
    /// Writes the configuration of a gateway before `backend`; `more` is added to it.
    pub(super) fn new(backend: &Backend, more: &str) -> std::io::Result<Site> {
        let folder = std::env::temp_dir().join(format!("trunkline-endure-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        // Free when it is asked for; nobody else is told.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let text = format!(
            // All clients are of one address.
            "[listen]\naddress = \"{address}\"\nhandover_socket = \"handover.sock\"\ntrusted_proxies = \"127.0.0.1\"\n\
             [limits]\nconnections_max = 20000\n\
             [endpoints.lobby]\npath = \"/lobby/{{lobby_id}}\"\nbackend = \"ws://{}/\"\n\
             token.algorithms = [\"HS256\"]\ntoken.secret = \"{SECRET}\"\n{more}",
            backend.address
        );
        fs::write(folder.join("trunkline.toml"), text)?;
        Ok(Site { folder, address })
    }

    /// Starts a gateway.
    pub(super) fn start(&self, program: &Path) -> std::io::Result<Gateway> {
        let log = File::options().create(true).append(true).open(self.folder.join("log"))?;
        let config = self.folder.join("trunkline.toml");
        let child = Command::new(program)
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        Ok(Gateway(child))
    }

    /// Waits until somebody answers that clients are let in.
    pub(super) async fn is_ready(&self) {
        let asked = async {
            loop {
                if TcpStream::connect(self.address).await.is_ok()
                    && Handshake::get("/readyz").ask(self.address).await.1.status == 200
                {
                    return;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        within("the gateway is ready", asked).await;
    }

    /// What its gateways have logged.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What is left is in the system's folder for temporary files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A process, killed when it is dropped.
pub(super) struct Gateway(Child);

impl Gateway {
    /// Resident now, in KiB.
    pub(super) fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Open descriptors.
    pub(super) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0.id())).map_or(0, Iterator::count)
    }

    /// Waits until it has ended by itself. Whether it did so well.
    pub(super) async fn ended(&mut self, limit: Duration) -> Result<bool, String> {
        let ends = async {
            loop {
                match self.0.try_wait() {
                    Ok(Some(status)) => return Ok(status.success()),
                    Ok(None) => sleep(LOOK_EVERY).await,
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        tokio::time::timeout(limit, ends).await.map_err(|_| "the gateway does not end".to_owned())?
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
